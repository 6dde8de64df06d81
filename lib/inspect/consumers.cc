#include "inspect/consumers.h"

#include <onnx/onnx_pb.h>

#include <cstdint>
#include <map>
#include <unordered_map>
#include <utility>

#include "model/name_budget.h"
#include "model/tensor_sites.h"
#include "model/walk.h"

namespace wshare {
namespace {

// Names are looked up from the inner scope outwards, since branches may use one name for different
// tensors.
class ReaderWalk : public GraphVisitor {
 public:
  using Place = WalkPlace<const onnx::GraphProto>;

  explicit ReaderWalk(const onnx::ModelProto& model) : budget_(model) {}

  std::unordered_map<const onnx::TensorProto*, TensorReaders> readers;

  void enter(const Place& place) {
    Names& names = scopes_.emplace_back();
    for (const onnx::ValueInfoProto& input : place.graph->input()) names[input.name()];
    for (const onnx::TensorProto& tensor : place.graph->initializer()) {
      names[tensor.name()].push_back(&tensor);
    }
    for (const onnx::SparseTensorProto& tensor : place.graph->sparse_initializer()) {
      add_sparse(tensor.values().name(), tensor);
    }
  }

  void leave(const Place& place) {
    for (const onnx::ValueInfoProto& output : place.graph->output()) read(output.name(), "");
    scopes_.pop_back();
  }

  void enter_function(const onnx::FunctionProto&) { scopes_.emplace_back(); }

  void leave_function(const onnx::FunctionProto& function) {
    for (const std::string& output : function.output()) read(output, "");
    scopes_.pop_back();
  }

  void node(const onnx::NodeProto& node, const Place&) {
    if (pass_on(node)) return;
    for (const std::string& input : node.input()) read(input, node.op_type());
    const bool gives_value = is_constant_node(node);
    for (const onnx::AttributeProto& attribute : node.attribute()) {
      if (gives_value && attribute.has_t()) {
        scopes_.back()[node.output(0)].push_back(&attribute.t());
      } else if (gives_value && attribute.has_sparse_tensor()) {
        add_sparse(node.output(0), attribute.sparse_tensor());
      } else {
        if (attribute.has_t()) add(attribute.t(), node.op_type());
        for (const onnx::TensorProto& tensor : attribute.tensors()) add(tensor, node.op_type());
      }
    }
  }

 private:
  using Names = std::map<std::string, std::vector<const onnx::TensorProto*>>;

  void add_sparse(const std::string& name, const onnx::SparseTensorProto& tensor) {
    std::vector<const onnx::TensorProto*>& parts = scopes_.back()[name];
    parts.push_back(&tensor.values());
    parts.push_back(&tensor.indices());
  }

  using Tensors = std::vector<const onnx::TensorProto*>;

  static size_t elements(const Tensors* tensors) {
    size_t count = tensors == nullptr || tensors->size() != 1 ? 0 : 1;
    if (count == 0) return 0;
    for (const int64_t dim : (*tensors)[0]->dims()) {
      if (dim <= 0 || count > SIZE_MAX / static_cast<size_t>(dim)) return 0;
      count *= static_cast<size_t>(dim);
    }
    return count;
  }

  // The input that `node` gives in another form, -1: none. Mul and Sub of a weight and its scale or
  // zero point, as DequantizeLinear, make of integers the weight that is meant.
  int handed_on(const onnx::NodeProto& node) const {
    const std::string& op = node.op_type();
    if (!node.domain().empty() || node.output_size() != 1 || node.input_size() == 0) return -1;
    if (node.input_size() == 1)
      return op == "Identity" || op == "Cast" || op == "Transpose" ? 0 : -1;
    if (op == "DequantizeLinear") return 0;
    if (node.input_size() != 2 || (op != "Mul" && op != "Sub")) return -1;
    const size_t first = elements(find(node.input(0))), second = elements(find(node.input(1)));
    if (first == 0 || second == 0) return -1;
    return first >= second ? 0 : 1;
  }

  // True for a node that hands tensors on: who reads them reads its output.
  bool pass_on(const onnx::NodeProto& node) {
    const int handed = handed_on(node);
    if (handed < 0) return false;
    const Tensors* tensors = find(node.input(handed));
    constexpr size_t kMost = 2;  // those of a sparse tensor; of more, a name is given twice
    if (tensors == nullptr || tensors->empty() || tensors->size() > kMost) return false;
    for (const onnx::TensorProto* tensor : *tensors) {
      TensorReaders& of_tensor = readers[tensor];
      of_tensor.is_used = true;
      if (of_tensor.passed_by.empty()) {
        budget_.spend(node.op_type().size());
        of_tensor.passed_by = node.op_type();
      }
    }
    for (int i = 0; i < node.input_size(); ++i) {
      if (i != handed) read(node.input(i), node.op_type());
    }
    scopes_.back()[node.output(0)] = Tensors(*tensors);
    return true;
  }

  void add(const onnx::TensorProto& tensor, std::string_view op) {
    TensorReaders& of_tensor = readers[&tensor];
    if (of_tensor.first_op.empty()) {
      budget_.spend(op.size());
      of_tensor.first_op = op;
    }
    of_tensor.is_used = true;
  }

  void read(const std::string& name, std::string_view op) {
    const Tensors* tensors = find(name);
    if (tensors == nullptr) return;
    for (const onnx::TensorProto* tensor : *tensors) add(*tensor, op);
  }

  // What `name` means here; null: it is left out, or of none of the scopes.
  const Tensors* find(const std::string& name) const {
    if (name.empty()) return nullptr;
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      const auto found = scope->find(name);
      if (found != scope->end()) return &found->second;
    }
    return nullptr;
  }

  std::vector<Names> scopes_;
  NameBudget budget_;
};

}  // namespace

std::vector<TensorReaders> find_readers(onnx::ModelProto& model) {
  ReaderWalk walk(model);
  walk_model(std::as_const(model), walk);
  std::vector<TensorReaders> readers;
  visit_tensors(model, [&](const TensorSite& site) {
    TensorReaders& of_tensor = readers.emplace_back(walk.readers[site.tensor]);
    if (of_tensor.first_op.empty()) of_tensor.first_op = of_tensor.passed_by;
  });
  return readers;
}

}  // namespace wshare

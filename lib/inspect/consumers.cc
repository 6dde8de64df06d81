#include "inspect/consumers.h"

#include <onnx/onnx_pb.h>

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

  void add(const onnx::TensorProto& tensor, std::string_view op) {
    TensorReaders& of_tensor = readers[&tensor];
    if (of_tensor.first_op.empty()) {
      budget_.spend(op.size());
      of_tensor.first_op = op;
    }
    of_tensor.is_used = true;
  }

  void read(const std::string& name, std::string_view op) {
    if (name.empty()) return;  // an input that is left out
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      const auto found = scope->find(name);
      if (found == scope->end()) continue;
      for (const onnx::TensorProto* tensor : found->second) add(*tensor, op);
      return;
    }
  }

  std::vector<Names> scopes_;
  NameBudget budget_;
};

}  // namespace

std::vector<TensorReaders> find_readers(onnx::ModelProto& model) {
  ReaderWalk walk(model);
  walk_model(std::as_const(model), walk);
  std::vector<TensorReaders> readers;
  visit_tensors(model,
                [&](const TensorSite& site) { readers.push_back(walk.readers[site.tensor]); });
  return readers;
}

}  // namespace wshare

#include "inspect/consumers.h"

#include <onnx/onnx_pb.h>

#include <map>
#include <unordered_map>

#include "model/tensors.h"

namespace wshare {
namespace {

// Walks nodes in order, subgraphs at the place of the node that holds them. Names are looked up
// from the inner scope outwards, since branches may use one name for different tensors.
class Walk {
 public:
  std::unordered_map<const onnx::TensorProto*, TensorReaders> readers;

  void graph(const onnx::GraphProto& graph) {
    Names& names = scopes_.emplace_back();
    for (const onnx::ValueInfoProto& input : graph.input()) names[input.name()];
    for (const onnx::TensorProto& tensor : graph.initializer()) {
      names[tensor.name()].push_back(&tensor);
    }
    for (const onnx::SparseTensorProto& tensor : graph.sparse_initializer()) {
      add_sparse(tensor.values().name(), tensor);
    }
    for (const onnx::NodeProto& node : graph.node()) this->node(node);
    for (const onnx::ValueInfoProto& output : graph.output()) read(output.name(), "");
    scopes_.pop_back();
  }

  void function(const onnx::FunctionProto& function) {
    scopes_.emplace_back();
    for (const onnx::NodeProto& node : function.node()) this->node(node);
    for (const std::string& output : function.output()) read(output, "");
    scopes_.pop_back();
  }

 private:
  using Names = std::map<std::string, std::vector<const onnx::TensorProto*>>;

  void add_sparse(const std::string& name, const onnx::SparseTensorProto& tensor) {
    std::vector<const onnx::TensorProto*>& parts = scopes_.back()[name];
    parts.push_back(&tensor.values());
    parts.push_back(&tensor.indices());
  }

  void node(const onnx::NodeProto& node) {
    for (const std::string& input : node.input()) read(input, node.op_type());
    const bool gives_value = node.op_type() == "Constant" && node.output_size() == 1;
    for (const onnx::AttributeProto& attribute : node.attribute()) {
      if (gives_value && attribute.has_t()) {
        scopes_.back()[node.output(0)].push_back(&attribute.t());
      } else if (gives_value && attribute.has_sparse_tensor()) {
        add_sparse(node.output(0), attribute.sparse_tensor());
      } else {
        hold(attribute, node.op_type());
      }
    }
  }

  void hold(const onnx::AttributeProto& attribute, const std::string& op) {
    if (attribute.has_t()) add(attribute.t(), op);
    for (const onnx::TensorProto& tensor : attribute.tensors()) add(tensor, op);
    if (attribute.has_g()) graph(attribute.g());
    for (const onnx::GraphProto& each : attribute.graphs()) graph(each);
  }

  void add(const onnx::TensorProto& tensor, const std::string& op) {
    TensorReaders& of_tensor = readers[&tensor];
    if (of_tensor.first_op.empty()) of_tensor.first_op = op;
    of_tensor.is_used = true;
  }

  void read(const std::string& name, const std::string& op) {
    if (name.empty()) return;  // an input that is left out
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      const auto found = scope->find(name);
      if (found == scope->end()) continue;
      for (const onnx::TensorProto* tensor : found->second) add(*tensor, op);
      return;
    }
  }

  std::vector<Names> scopes_;
};

}  // namespace

std::vector<TensorReaders> find_readers(onnx::ModelProto& model) {
  Walk walk;
  walk.graph(model.graph());
  for (const onnx::FunctionProto& function : model.functions()) walk.function(function);
  for (const onnx::TrainingInfoProto& training : model.training_info()) {
    walk.graph(training.initialization());
    walk.graph(training.algorithm());
  }
  std::vector<TensorReaders> readers;
  visit_tensors(model,
                [&](const TensorSite& site) { readers.push_back(walk.readers[site.tensor]); });
  return readers;
}

}  // namespace wshare

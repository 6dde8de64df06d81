#include "inspect/consumers.h"

#include <onnx/onnx_pb.h>

#include <map>
#include <unordered_map>

namespace wshare {
namespace {

// Walks nodes in order, subgraphs at the place of the node that holds them. Names are looked up
// from the inner scope outwards, since branches may use one name for different tensors.
class Walk {
 public:
  std::unordered_map<const onnx::TensorProto*, std::string> op_of;

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
    scopes_.pop_back();
  }

  void function(const onnx::FunctionProto& function) {
    scopes_.emplace_back();
    for (const onnx::NodeProto& node : function.node()) this->node(node);
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
    if (attribute.has_t()) op_of.emplace(&attribute.t(), op);
    for (const onnx::TensorProto& tensor : attribute.tensors()) op_of.emplace(&tensor, op);
    if (attribute.has_g()) graph(attribute.g());
    for (const onnx::GraphProto& each : attribute.graphs()) graph(each);
  }

  void read(const std::string& name, const std::string& op) {
    if (name.empty()) return;  // an input that is left out
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      const auto found = scope->find(name);
      if (found == scope->end()) continue;
      for (const onnx::TensorProto* tensor : found->second) op_of.emplace(tensor, op);
      return;
    }
  }

  std::vector<Names> scopes_;
};

}  // namespace

std::vector<std::string> first_consumers(const ScannedModel& model) {
  Skeleton skeleton = model.file.skeleton();
  onnx::ModelProto& proto = skeleton.model();
  Walk walk;
  walk.graph(proto.graph());
  for (const onnx::FunctionProto& function : proto.functions()) walk.function(function);
  for (const onnx::TrainingInfoProto& training : proto.training_info()) {
    walk.graph(training.initialization());
    walk.graph(training.algorithm());
  }
  std::vector<std::string> ops;
  visit_tensors(proto, [&](const TensorSite& site) {
    const auto found = walk.op_of.find(site.tensor);
    ops.push_back(found == walk.op_of.end() ? "" : found->second);
  });
  return ops;
}

}  // namespace wshare

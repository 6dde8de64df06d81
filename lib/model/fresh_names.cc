#include "model/fresh_names.h"

#include "model/walk.h"

namespace wshare {
namespace {

// Collects every name that stands in a graph and its nodes.
struct NameWalk : GraphVisitor {
  std::unordered_set<std::string>& names;

  void enter(const WalkPlace<const onnx::GraphProto>& place) {
    const onnx::GraphProto& graph = *place.graph;
    for (const auto* values : {&graph.input(), &graph.output(), &graph.value_info()}) {
      for (const onnx::ValueInfoProto& value : *values) {
        names.insert(value.name());
        for (const auto& dim : value.type().tensor_type().shape().dim()) {
          if (dim.has_dim_param()) names.insert(dim.dim_param());
        }
      }
    }
    for (const onnx::TensorProto& tensor : graph.initializer()) names.insert(tensor.name());
    for (const onnx::SparseTensorProto& tensor : graph.sparse_initializer()) {
      names.insert(tensor.values().name());
    }
  }

  void node(const onnx::NodeProto& node, const WalkPlace<const onnx::GraphProto>&) {
    names.insert(node.name());
    names.insert(node.input().begin(), node.input().end());
    names.insert(node.output().begin(), node.output().end());
  }
};

}  // namespace

FreshNames::FreshNames(const onnx::ModelProto& model) { walk_model(model, NameWalk{{}, taken_}); }

std::string FreshNames::make(const std::string& wish) {
  if (taken_.insert(wish).second) return wish;
  int& number = next_.emplace(wish, 2).first->second;
  for (;;) {
    std::string name = wish + "_" + std::to_string(number++);
    if (taken_.insert(name).second) return name;
  }
}

}  // namespace wshare

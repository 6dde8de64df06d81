#pragma once

#include <functional>
#include <string_view>

namespace onnx {
class GraphProto;
class ModelProto;
class NodeProto;
class TensorProto;
}  // namespace onnx

namespace wshare {

// The place of a tensor in a model. kFunction: a Constant's value or an initializer of a subgraph,
// inside a model-local function.
enum class Home { kInitializer, kConstant, kAttribute, kSparse, kFunction, kTraining };

const char* text_of(Home home);

// One TensorProto of a parsed model and what is around it. Messages are valid while that model is,
// texts until the visitor returns.
struct TensorSite {
  std::string_view scope;  // as in format/scope.h
  Home home = Home::kInitializer;
  std::string_view name;  // of the value in the graph: for a Constant the node's output
  onnx::TensorProto* tensor = nullptr;
  onnx::GraphProto* graph = nullptr;  // the nearest graph; none inside functions
  onnx::NodeProto* node = nullptr;    // for a Constant: the node
};

// Calls `visit` for every TensorProto of `model`, always in the same order: a graph's initializers,
// then its nodes in order with their subgraphs. The visitor must not add or remove tensors or
// nodes.
//
// Throws Error(kUnsupported) if scopes and names are more than NameBudget allows.
void visit_tensors(onnx::ModelProto& model, const std::function<void(const TensorSite&)>& visit);

}  // namespace wshare

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace onnx {
class AttributeProto;
class GraphProto;
class ModelProto;
class NodeProto;
class TensorProto;
class TensorShapeProto;
}  // namespace onnx

namespace wshare {

// One graph of a model and what it defines.
struct IndexedGraph {
  onnx::GraphProto* proto = nullptr;
  std::string scope;                             // as in format/scope.h
  int32_t outer = -1;                            // the graph around it; none for the main graph
  std::unordered_map<std::string, int> defined;  // names, and how often
  // Initializers that are no inputs, and values of Constant nodes; null where a list stands there.
  std::unordered_map<std::string, onnx::TensorProto*> constants;
  std::unordered_map<std::string, onnx::NodeProto*> producers;
  std::unordered_map<std::string, const onnx::TensorShapeProto*> shapes;  // as the model says
  std::unordered_set<std::string> inputs, outputs;
};

// An operand of a node.
struct Reader {
  int32_t graph = 0;
  onnx::NodeProto* node = nullptr;
  int operand = 0;
};

// The main graph of a model and all graphs inside it (functions are left out), and who reads what.
// Holds for the names as they were when it was made; nodes may move inside their graphs.
class GraphIndex {
 public:
  explicit GraphIndex(onnx::ModelProto& model);

  const IndexedGraph& graph(int32_t number) const { return graphs_[static_cast<size_t>(number)]; }
  int32_t size() const { return static_cast<int32_t>(graphs_.size()); }

  // The graph with this scope.
  std::optional<int32_t> find(const std::string& scope) const;

  // The graph that defines what `name` means in `graph`: itself or one around it.
  std::optional<int32_t> owner(int32_t graph, const std::string& name) const;

  // Who reads the value `name` of `graph`, there and in graphs inside it.
  const std::vector<Reader>& readers(int32_t graph, const std::string& name) const;

  // True if the value `name` of `graph` is an output of it or of a graph inside it.
  bool is_output(int32_t graph, const std::string& name) const;

  // True if the value of `name` in `graph` is known when the model is loaded: a constant, also
  // through nodes that only change its form.
  bool is_constant(int32_t graph, const std::string& name) const;

  // The tensor that is the value of `name` in `graph`, where a tensor in the model says it; else
  // null.
  const onnx::TensorProto* constant(int32_t graph, const std::string& name) const;

  // The shape that the model declares for the value `name` in `graph`, else null.
  const onnx::TensorShapeProto* shape(int32_t graph, const std::string& name) const;

  // True if the model says every dimension of all its inputs.
  bool has_fixed_inputs() const;

 private:
  struct Filler;
  // What becomes of the values of one name, by the graphs that define them: many may.
  struct Named {
    std::unordered_map<int32_t, std::vector<Reader>> readers;
    std::unordered_set<int32_t> outputs;
  };

  void add(onnx::GraphProto& proto, std::string_view scope, int32_t outer);

  std::vector<IndexedGraph> graphs_;
  std::unordered_map<std::string, int32_t> by_scope_;
  std::unordered_map<std::string, Named> named_;
};

// Puts the nodes of `graph` into the order of `order`, which has each of them once. Every node
// keeps its address.
void reorder_nodes(onnx::GraphProto& graph, const std::vector<const onnx::NodeProto*>& order);

}  // namespace wshare

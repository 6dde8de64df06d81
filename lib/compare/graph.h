#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/scan.h"

namespace wshare {

inline constexpr int32_t kAbsent = -1;

// The operand of a node that a value is.
struct Use {
  int32_t node = kAbsent;
  uint32_t slot = 0;
};

// What flows between nodes, numbered over all scopes of a model.
struct GraphValue {
  std::string name;
  int32_t producer = kAbsent;  // node; none for tensors and inputs
  uint32_t output = 0;         // of the producer
  int32_t tensor = kAbsent;    // index in ScannedModel::tensors
  bool transposed = false;     // the tensor comes through a Transpose of two axes
  std::vector<Use> uses;       // in the order of nodes
};

// The inputs and outputs of a graph, a subgraph or a function, in order.
struct GraphBorder {
  std::vector<int32_t> inputs, outputs;                // values
  std::vector<std::string> input_names, output_names;  // as the model calls them
  std::vector<std::vector<int32_t>> output_paths;      // as GraphNode::input_paths
};

struct GraphNode {
  // Of all nodes in the order of the file: graphs before functions and training graphs, a node
  // before those of its subgraphs. Says which NodeProto it is.
  int32_t number = 0;
  std::string op;  // "MatMul", "com.microsoft:MatMulNBits"
  std::string name;
  std::string attributes;  // serialized in the order of their names, without graphs and tensors
  // Of them, those that no change of opset moves or adds. Of a Gemm those that are no default, and
  // transB only where operand 1 is not stored: else it says how that lies.
  std::string traits;
  std::map<std::string, std::string> attribute_bytes;  // each of them, by name
  std::vector<int32_t> inputs, outputs;                // values, kAbsent where omitted
  // Of each input: the nodes in ComputeGraph::passed between its value and this node, nearest
  // first.
  std::vector<std::vector<int32_t>> input_paths;
  std::map<std::string, GraphBorder> bodies;         // subgraphs by attribute
  std::map<std::string, int32_t> attribute_tensors;  // by attribute
  bool transposes_b = false;                         // Gemm with transB
  bool is_matmul = false;                            // a Gemm of x and a stored matrix, no more
  bool in_lora = false;                              // part of an unmerged LoRA pair
};

// The nodes of a model, of all scopes, and how values connect them.
//
// Nodes that only hand a value on (Identity, Cast, Dropout, the Quantize/Dequantize pair, Transpose
// of a stored matrix, Constant) are looked through, since exporters add and drop them freely: they
// are in `passed` and on the paths of what reads them.
struct ComputeGraph {
  std::vector<GraphNode> nodes;
  std::vector<GraphValue> values;
  GraphBorder main;
  std::map<std::string, GraphBorder> others;  // functions and training graphs by scope
  std::vector<GraphNode> passed;              // looked through
  std::vector<std::vector<int32_t>> views;    // [tensor]: values that are this tensor
};

// Returns the graph of `model`.
ComputeGraph build_graph(const ScannedModel& model);

// Returns what people find a node by: its name, or the first value that it makes.
std::string label_of(const ComputeGraph& graph, const GraphNode& node);

// Returns where each of `names`, which the result borrows, stands first.
std::unordered_map<std::string_view, size_t> first_places(const std::vector<std::string>& names);

// Returns the operator as which `node` has counterparts: "MatMul" also of a Gemm that is one.
const std::string& paired_op(const GraphNode& node);

// Returns the integer that a node has as attribute `name`, or `otherwise`.
int64_t integer_attribute(const GraphNode& node, const std::string& name, int64_t otherwise);

// Makes every use of the values in `replaced` a use of what they map to, and counts uses anew.
void replace_values(ComputeGraph& graph, const std::map<int32_t, int32_t>& replaced);

}  // namespace wshare

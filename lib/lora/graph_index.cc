#include "lora/graph_index.h"

#include <onnx/onnx_pb.h>

#include "model/name_budget.h"
#include "model/walk.h"

namespace wshare {
namespace {

constexpr int kMostSteps = 8;  // from a constant to what adds it

// Operators whose output is their first operand in another form. Further operands (shapes, axes)
// of a constant are taken to be constant, too.
bool changes_form(const std::string& op) {
  static const std::unordered_set<std::string> ops = {"Identity", "Cast",      "Transpose",
                                                      "Reshape",  "Unsqueeze", "Squeeze"};
  return ops.count(op) != 0;
}

}  // namespace

struct GraphIndex::Filler : GraphVisitor {
  GraphIndex& index;
  NameBudget budget;
  std::vector<int32_t> around = {-1};  // the graphs that the walk is in, the nearest last
  std::vector<Reader> readers = {};

  void enter(const WalkPlace<onnx::GraphProto>& place) {
    budget.spend(place.scope.size());
    index.add(*place.graph, place.scope, around.back());
    around.push_back(index.size() - 1);
  }
  void node(onnx::NodeProto& node, const WalkPlace<onnx::GraphProto>&) {
    for (int i = 0; i < node.input_size(); ++i) {
      if (!node.input(i).empty()) readers.push_back({around.back(), &node, i});
    }
  }
  void leave(const WalkPlace<onnx::GraphProto>&) { around.pop_back(); }
};

GraphIndex::GraphIndex(onnx::ModelProto& model) {
  Filler filler{{}, *this, NameBudget(model)};
  walk_graph(*model.mutable_graph(), filler);
  for (const Reader& reader : filler.readers) {
    const std::string& name = reader.node->input(reader.operand);
    if (const std::optional<int32_t> graph = owner(reader.graph, name))
      named_[name].readers[*graph].push_back(reader);
  }
  for (int32_t number = 0; number < size(); ++number) {
    for (const std::string& name : graph(number).outputs) {
      if (const std::optional<int32_t> graph = owner(number, name))
        named_[name].outputs.insert(*graph);
    }
  }
}

void GraphIndex::add(onnx::GraphProto& proto, std::string_view scope, int32_t outer) {
  by_scope_.emplace(scope, size());
  graphs_.push_back({&proto, std::string(scope), outer, {}, {}, {}, {}, {}, {}});
  IndexedGraph& graph = graphs_.back();
  for (onnx::TensorProto& tensor : *proto.mutable_initializer()) {
    ++graph.defined[tensor.name()];
    graph.constants[tensor.name()] = &tensor;
  }
  for (const onnx::SparseTensorProto& tensor : proto.sparse_initializer()) {
    ++graph.defined[tensor.values().name()];
  }
  for (const onnx::ValueInfoProto& input : proto.input()) {
    graph.inputs.insert(input.name());
    graph.defined.emplace(input.name(), 1);
    graph.constants.erase(input.name());
  }
  for (const onnx::ValueInfoProto& output : proto.output()) {
    graph.outputs.insert(output.name());
  }
  for (const auto* values : {&proto.input(), &proto.output(), &proto.value_info()}) {
    for (const onnx::ValueInfoProto& value : *values) {
      if (!value.type().tensor_type().has_shape()) continue;
      graph.shapes[value.name()] = &value.type().tensor_type().shape();
    }
  }
  for (onnx::NodeProto& node : *proto.mutable_node()) {
    for (const std::string& output : node.output()) {
      if (output.empty()) continue;
      ++graph.defined[output];
      graph.producers[output] = &node;
    }
    if (is_constant_node(node) && node.attribute_size() == 1) {
      onnx::AttributeProto& value = *node.mutable_attribute(0);
      graph.constants[node.output(0)] = value.has_t() ? value.mutable_t() : nullptr;
    }
  }
}

std::optional<int32_t> GraphIndex::find(const std::string& scope) const {
  const auto found = by_scope_.find(scope);
  return found == by_scope_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<int32_t> GraphIndex::owner(int32_t graph, const std::string& name) const {
  for (; graph >= 0; graph = this->graph(graph).outer) {
    if (this->graph(graph).defined.count(name) != 0) return graph;
  }
  return std::nullopt;
}

const std::vector<Reader>& GraphIndex::readers(int32_t graph, const std::string& name) const {
  static const std::vector<Reader> none;
  const auto named = named_.find(name);
  if (named == named_.end()) return none;
  const auto found = named->second.readers.find(graph);
  return found == named->second.readers.end() ? none : found->second;
}

bool GraphIndex::is_output(int32_t graph, const std::string& name) const {
  const auto named = named_.find(name);
  return named != named_.end() && named->second.outputs.contains(graph);
}

const onnx::TensorProto* GraphIndex::constant(int32_t graph, const std::string& name) const {
  const std::optional<int32_t> owner = this->owner(graph, name);
  if (!owner) return nullptr;
  const auto& constants = graphs_[static_cast<size_t>(*owner)].constants;
  const auto found = constants.find(name);
  return found == constants.end() ? nullptr : found->second;
}

bool GraphIndex::is_constant(int32_t graph, const std::string& name) const {
  std::string value = name;
  for (int steps = 0; steps < kMostSteps; ++steps) {
    const std::optional<int32_t> where = owner(graph, value);
    if (!where) return false;
    const IndexedGraph& place = this->graph(*where);
    if (place.constants.count(value) != 0) return true;
    const auto producer = place.producers.find(value);
    if (producer == place.producers.end()) return false;
    const onnx::NodeProto& node = *producer->second;
    if (node.input_size() == 0 || !is_standard(node) || !changes_form(node.op_type())) return false;
    graph = *where;
    value = node.input(0);
  }
  return false;
}

const onnx::TensorShapeProto* GraphIndex::shape(int32_t graph, const std::string& name) const {
  const std::optional<int32_t> where = owner(graph, name);
  if (!where) return nullptr;
  const auto found = this->graph(*where).shapes.find(name);
  return found == this->graph(*where).shapes.end() ? nullptr : found->second;
}

bool GraphIndex::has_fixed_inputs() const {
  for (const onnx::ValueInfoProto& input : graph(0).proto->input()) {
    if (!input.type().tensor_type().has_shape()) return false;
    for (const auto& dim : input.type().tensor_type().shape().dim()) {
      if (!dim.has_dim_value()) return false;
    }
  }
  return true;
}

void reorder_nodes(onnx::GraphProto& graph, const std::vector<const onnx::NodeProto*>& order) {
  std::unordered_map<const onnx::NodeProto*, int> position;
  for (int i = 0; i < graph.node_size(); ++i) position[&graph.node(i)] = i;
  for (int i = 0; i < graph.node_size(); ++i) {
    const int from = position.at(order[static_cast<size_t>(i)]);
    if (from == i) continue;
    position[&graph.node(i)] = from;
    graph.mutable_node()->SwapElements(i, from);
  }
}

}  // namespace wshare

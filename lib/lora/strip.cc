#include "lora/strip.h"

#include <onnx/onnx_pb.h>

#include <map>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lora/graph_index.h"
#include "model/keep_if.h"
#include "model/walk.h"
#include "util/text.h"
#include "wshare/error.h"

// First every reader of a sum is made to read the layer's output, then the sums are taken out, and
// then whatever they alone had kept alive, from readers to producers:
//
//   y ─ Add(y, scaled) ─ z       readers of z read y
//             └─ Mul ─ MatMul B ─ MatMul A ─ x        gone, with A, B and the scale; x stays

namespace wshare {
namespace {

// A value: the graph that defines it, and its name there.
using Key = std::pair<int32_t, std::string>;

// A node of the model and the graph it stands in.
struct HomedNode {
  onnx::NodeProto* node;
  int32_t graph;
};

// The nodes of all graphs in the order of GraphNode::number.
std::vector<HomedNode> nodes_of(onnx::ModelProto& model, const GraphIndex& index) {
  std::map<const onnx::GraphProto*, int32_t> number;
  for (int32_t i = 0; i < index.size(); ++i) number[index.graph(i).proto] = i;
  std::vector<HomedNode> nodes;
  for_each_node(*model.mutable_graph(), [&](onnx::NodeProto& node, const onnx::GraphProto& graph) {
    nodes.push_back({&node, number.at(&graph)});
  });
  return nodes;
}

// A sum that goes: its output, the value that takes its place, and the pair's.
struct Sum {
  HomedNode add;
  Key output, base, low;
  int32_t dtype = 0;  // of the sum where it is known, else 0
};

class Stripper {
 public:
  Stripper(onnx::ModelProto& model, const ComputeGraph& graph)
      : model_(model), graph_(graph), index_(model), nodes_(nodes_of(model, index_)) {
    for (const HomedNode& each : nodes_) graph_of_[each.node] = each.graph;
  }

  void run(const std::vector<LoraModule>& modules) {
    for (const LoraModule& module : modules) sums_.push_back(sum_of(module));
    for (const Sum& sum : sums_) redirect(sum);
    for (const Sum& sum : sums_) keep_output_name(sum);
    sweep();
  }

 private:
  Sum sum_of(const LoraModule& module) const {
    const GraphNode& add = graph_.nodes[static_cast<size_t>(module.nodes.front())];
    if (static_cast<size_t>(add.number) >= nodes_.size()) {
      throw Error(ErrorCode::kUnsupported,
                  in_quotes(add.name) + ": a LoRA pair stands in a model-local function");
    }
    const HomedNode homed = nodes_[static_cast<size_t>(add.number)];
    const int slot = add.inputs[0] == module.base_output ? 0 : 1;
    return {homed,
            {homed.graph, homed.node->output(0)},
            key_of(homed.graph, homed.node->input(slot)),
            key_of(homed.graph, homed.node->input(1 - slot)),
            dtype_of(module, homed.graph)};
  }

  int32_t dtype_of(const LoraModule& module, int32_t graph) const {
    const std::string& name = graph_.values[static_cast<size_t>(module.a)].name;
    const onnx::TensorProto* factor = index_.constant(graph, name);
    return factor == nullptr ? 0 : factor->data_type();
  }

  Key key_of(int32_t graph, const std::string& name) const {
    return {index_.owner(graph, name).value_or(graph), name};
  }

  void redirect(const Sum& sum) {
    for (const Reader& reader : index_.readers(sum.output.first, sum.output.second)) {
      reader.node->set_input(reader.operand, sum.base.second);
      if (is_empty_cast(reader, sum)) skip_cast(reader, sum);
    }
  }

  // PEFT casts the sum to the type that it has; that belongs to the pair, too.
  bool is_empty_cast(const Reader& reader, const Sum& sum) const {
    const onnx::NodeProto& node = *reader.node;
    if (node.op_type() != "Cast" || !is_standard(node) || node.output_size() != 1 ||
        sum.dtype == 0 || index_.is_output(reader.graph, node.output(0))) {
      return false;
    }
    return node.attribute_size() == 1 && node.attribute(0).name() == "to" &&
           node.attribute(0).i() == sum.dtype;
  }

  void skip_cast(const Reader& cast, const Sum& sum) {
    for (const Reader& reader : index_.readers(cast.graph, cast.node->output(0))) {
      reader.node->set_input(reader.operand, sum.base.second);
    }
    casts_.push_back(cast.node);
  }

  // An output of a graph keeps its name: the base takes it, or the sum becomes an Identity where
  // the base has to keep its own.
  void keep_output_name(const Sum& sum) {
    const auto& [graph, name] = sum.output;
    if (!index_.is_output(graph, name)) return;
    const Key& base = sum.base;
    const auto producer = index_.graph(base.first).producers.find(base.second);
    const bool is_free = base.first == graph && renamed_.count(base) == 0 &&
                         producer != index_.graph(graph).producers.end() &&
                         !index_.is_output(base.first, base.second);
    if (!is_free) {
      const auto other = renamed_.find(base);
      sum.add.node->set_op_type("Identity");
      sum.add.node->clear_input();
      sum.add.node->add_input(other == renamed_.end() ? base.second : other->second);
      stays_.insert(sum.add.node);
      return;
    }
    renamed_[base] = name;
    for (std::string& output : *producer->second->mutable_output()) {
      if (output == base.second) output = name;
    }
    // Of the readers that the base had and those that it got from sums.
    for (const HomedNode& each : nodes_) {
      if (each.node == sum.add.node) continue;
      for (std::string& input : *each.node->mutable_input()) {
        if (input == base.second && index_.owner(each.graph, input) == base.first) input = name;
      }
    }
  }

  // Removes the sums and what only they kept alive.
  void sweep() {
    const GraphIndex now(model_);  // names are new since the sums were redirected
    std::set<Key> unread;          // initializers
    std::set<Key> bases;
    std::vector<Key> dropped;  // values that lost a reader
    const auto release = [&](const onnx::NodeProto& node) {
      gone_.insert(&node);
      for (const std::string& input : node.input()) {
        const std::optional<int32_t> owner = now.owner(graph_of_.at(&node), input);
        if (owner) dropped.emplace_back(*owner, input);
      }
    };
    for (const Sum& sum : sums_) {
      // The layer stays, whoever reads it.
      bases.insert(sum.base);
      dropped.push_back(sum.low);
      if (stays_.count(sum.add.node) == 0) release(*sum.add.node);
    }
    for (const onnx::NodeProto* cast : casts_) release(*cast);
    while (!dropped.empty()) {
      const Key key = std::move(dropped.back());
      dropped.pop_back();
      if (bases.count(key) != 0 || is_read(now, key)) continue;
      const IndexedGraph& graph = now.graph(key.first);
      const auto producer = graph.producers.find(key.second);
      if (producer == graph.producers.end()) {
        if (graph.inputs.count(key.second) == 0) unread.insert(key);
        continue;
      }
      const onnx::NodeProto& node = *producer->second;
      const bool stays =
          gone_.count(&node) != 0 || has_graphs(node) || any_output_read(now, key.first, node);
      if (!stays) release(node);
    }
    for (int32_t i = 0; i < now.size(); ++i) erase(*now.graph(i).proto, i, unread);
  }

  bool is_read(const GraphIndex& now, const Key& key) const {
    if (now.is_output(key.first, key.second)) return true;
    for (const Reader& reader : now.readers(key.first, key.second)) {
      if (gone_.count(reader.node) == 0) return true;
    }
    return false;
  }

  bool any_output_read(const GraphIndex& now, int32_t graph, const onnx::NodeProto& node) const {
    for (const std::string& output : node.output()) {
      if (!output.empty() && is_read(now, {graph, output})) return true;
    }
    return false;
  }

  void erase(onnx::GraphProto& graph, int32_t number, const std::set<Key>& unread) {
    std::vector<const onnx::NodeProto*> order;
    std::vector<const onnx::NodeProto*> last;
    std::set<std::string> names;  // of values that are left
    for (const onnx::NodeProto& node : graph.node()) {
      (gone_.count(&node) == 0 ? order : last).push_back(&node);
      if (gone_.count(&node) == 0) names.insert(node.output().begin(), node.output().end());
    }
    order.insert(order.end(), last.begin(), last.end());
    reorder_nodes(graph, order);
    const int count = static_cast<int>(last.size());
    graph.mutable_node()->DeleteSubrange(graph.node_size() - count, count);
    keep_if(*graph.mutable_initializer(), [&](const onnx::TensorProto& tensor) {
      return unread.count({number, tensor.name()}) == 0;
    });
    keep_if(*graph.mutable_value_info(), [&](const onnx::ValueInfoProto& value) {
      const auto producer = index_.graph(number).producers.find(value.name());
      return producer == index_.graph(number).producers.end() || names.count(value.name()) != 0;
    });
  }

  onnx::ModelProto& model_;
  const ComputeGraph& graph_;
  const GraphIndex index_;
  const std::vector<HomedNode> nodes_;
  std::vector<Sum> sums_;
  std::vector<const onnx::NodeProto*> casts_;
  std::map<Key, std::string> renamed_;
  std::set<const onnx::NodeProto*> stays_, gone_;
  std::unordered_map<const onnx::NodeProto*, int32_t> graph_of_;
};

}  // namespace

void strip_lora(onnx::ModelProto& model, const ComputeGraph& graph,
                const std::vector<LoraModule>& modules) {
  if (!modules.empty()) Stripper(model, graph).run(modules);
}

}  // namespace wshare

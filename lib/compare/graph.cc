#include "compare/graph.h"

#include <onnx/onnx_pb.h>

#include <optional>
#include <set>
#include <span>
#include <unordered_map>

#include "compare/look_through.h"
#include "model/name_budget.h"
#include "model/walk.h"
#include "util/content_hash.h"

namespace wshare {
namespace {

// Attributes that became inputs, or came with a default, in some opset.
// Source: ONNX, docs/Changelog.md, opsets 10 to 21.
const std::set<std::string>& opset_dependent() {
  static const std::set<std::string> names = {
      "axes",         "ends",    "starts", "split",     "pads",       "value",
      "ratio",        "min",     "max",    "allowzero", "keepdims",   "noop_with_empty_axes",
      "start",        "end",     "to",     "scales",    "stash_type", "reduction",
      "nearest_mode", "saturate"};
  return names;
}

// Names of nodes are compared for each of their inputs: the end of a long one is hashed.
std::string bounded(std::string name) {
  constexpr size_t kLongest = 1024;
  if (name.size() <= kLongest) return name;
  const std::string hash = to_hex(content_hash(std::as_bytes(std::span(name))));
  name.resize(kLongest);
  return name + "..." + hash;
}

std::string op_of(const onnx::NodeProto& node) {
  return bounded(is_standard(node) ? node.op_type() : node.domain() + ":" + node.op_type());
}

// Names of one graph; looks outwards like ONNX does.
struct Scope {
  std::unordered_map<std::string, int32_t> values;
  const Scope* outer = nullptr;
};

class Builder {
 public:
  explicit Builder(const ScannedModel& model) { graph_.views.resize(model.tensors.size()); }

  ComputeGraph build(onnx::ModelProto& model) {
    budget_.emplace(model);
    int32_t next = 0;
    visit_tensors(model, [&](const TensorSite& site) { number_[site.tensor] = next++; });
    graph_.main = add_graph(model.graph(), nullptr);
    for (const onnx::FunctionProto& function : model.functions()) add_function(function);
    int index = 0;
    for (const onnx::TrainingInfoProto& training : model.training_info()) {
      const int number = index++;
      graph_.others[training_scope(number, "initialization")] =
          add_graph(training.initialization(), nullptr);
      graph_.others[training_scope(number, "algorithm")] = add_graph(training.algorithm(), nullptr);
    }
    look_through(graph_);
    for (GraphNode& node : graph_.nodes) {
      if (node.op == "Gemm" && node.inputs.size() > 1) settle_gemm(node);
    }
    return std::move(graph_);
  }

 private:
  int32_t add_value(Scope& scope, const std::string& name) {
    const auto [at, is_new] =
        scope.values.emplace(name, static_cast<int32_t>(graph_.values.size()));
    if (is_new) graph_.values.emplace_back().name = name;
    return at->second;
  }

  // A name that nothing defines becomes a value of its own.
  int32_t find_value(Scope& scope, const std::string& name) {
    for (const Scope* at = &scope; at != nullptr; at = at->outer) {
      const auto found = at->values.find(name);
      if (found != at->values.end()) return found->second;
    }
    return add_value(scope, name);
  }

  void set_tensor(int32_t value, const onnx::TensorProto& tensor) {
    graph_.values[static_cast<size_t>(value)].tensor = number_.at(&tensor);
  }

  GraphBorder add_graph(const onnx::GraphProto& proto, const Scope* outer) {
    Scope scope{{}, outer};
    GraphBorder border;
    for (const onnx::TensorProto& tensor : proto.initializer()) {
      set_tensor(add_value(scope, tensor.name()), tensor);
    }
    for (const onnx::SparseTensorProto& tensor : proto.sparse_initializer()) {
      if (!tensor.has_values()) continue;
      set_tensor(add_value(scope, tensor.values().name()), tensor.values());
    }
    for (const onnx::ValueInfoProto& input : proto.input()) {
      const int32_t value = add_value(scope, input.name());
      // An initializer that is also an input is a default: the tensor counts.
      if (graph_.values[static_cast<size_t>(value)].tensor != kAbsent) continue;
      border.inputs.push_back(value);
      border.input_names.push_back(input.name());
    }
    add_nodes(proto.node(), scope);
    for (const onnx::ValueInfoProto& output : proto.output()) {
      border.outputs.push_back(find_value(scope, output.name()));
      border.output_names.push_back(output.name());
    }
    return border;
  }

  void add_function(const onnx::FunctionProto& proto) {
    Scope scope;
    GraphBorder border;
    for (const std::string& input : proto.input()) {
      border.inputs.push_back(add_value(scope, input));
      border.input_names.push_back(input);
    }
    add_nodes(proto.node(), scope);
    for (const std::string& output : proto.output()) {
      border.outputs.push_back(find_value(scope, output));
      border.output_names.push_back(output);
    }
    graph_.others[function_scope(proto.domain(), proto.name())] = std::move(border);
  }

  // All outputs get their values first: converters leave nodes out of topological order.
  void add_nodes(const google::protobuf::RepeatedPtrField<onnx::NodeProto>& nodes, Scope& scope) {
    for (const onnx::NodeProto& node : nodes) {
      for (const std::string& output : node.output()) {
        if (!output.empty()) add_value(scope, output);
      }
    }
    for (const onnx::NodeProto& node : nodes) add_node(node, scope);
  }

  void add_node(const onnx::NodeProto& proto, Scope& scope) {
    GraphNode node;
    node.number = next_node_++;
    node.op = op_of(proto);
    node.name = bounded(proto.name());
    for (const std::string& input : proto.input()) {
      node.inputs.push_back(input.empty() ? kAbsent : find_value(scope, input));
    }
    for (const std::string& output : proto.output()) {
      node.outputs.push_back(output.empty() ? kAbsent : find_value(scope, output));
    }
    if (node.op == "Constant" && node.outputs.size() == 1 && node.outputs[0] != kAbsent &&
        proto.attribute_size() == 1 && proto.attribute(0).has_t()) {
      set_tensor(node.outputs[0], proto.attribute(0).t());
      graph_.passed.push_back(std::move(node));
      return;
    }
    read_attributes(proto, scope, node);
    const auto number = static_cast<int32_t>(graph_.nodes.size());
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i] == kAbsent) continue;
      GraphValue& value = graph_.values[static_cast<size_t>(node.outputs[i])];
      value.producer = number;
      value.output = static_cast<uint32_t>(i);
    }
    graph_.nodes.push_back(std::move(node));
  }

  void read_attributes(const onnx::NodeProto& proto, const Scope& scope, GraphNode& node) {
    std::map<std::string, std::string> sorted;
    for_each_graph_in(proto, [&](const onnx::GraphProto& body,
                                 const onnx::AttributeProto& attribute, int number) {
      budget_->spend(attribute.name().size());
      std::string name = attribute.name();
      if (number >= 0) append_number(name, number);
      node.bodies[name] = add_graph(body, &scope);
    });
    for (const onnx::AttributeProto& attribute : proto.attribute()) {
      if (attribute.has_t()) add_attribute_tensor(node, attribute.name(), attribute.t());
      if (attribute.has_sparse_tensor() && attribute.sparse_tensor().has_values()) {
        add_attribute_tensor(node, attribute.name(), attribute.sparse_tensor().values());
      }
      if (attribute.name() == "transB") node.transposes_b = attribute.i() != 0;
      onnx::AttributeProto rest = attribute;
      rest.clear_g();
      rest.clear_graphs();
      rest.clear_t();
      rest.clear_tensors();
      rest.clear_sparse_tensor();
      rest.clear_sparse_tensors();
      rest.clear_doc_string();
      sorted[attribute.name()] = rest.SerializeAsString();
    }
    for (const auto& [name, bytes] : sorted) {
      node.attributes += bytes;
      if (opset_dependent().count(name) == 0) node.traits += bytes;
    }
    node.attribute_bytes = std::move(sorted);
  }

  // Exporters write Gemm with its defaults or without, and torch's dynamo makes one of each linear
  // layer of matrices, where its older exporter makes a MatMul if there is no bias.
  void settle_gemm(GraphNode& node) const {
    const int32_t b = node.inputs[1];
    const bool stored = b != kAbsent && graph_.values[static_cast<size_t>(b)].tensor != kAbsent;
    node.traits.clear();
    for (const auto& [name, bytes] : node.attribute_bytes) {
      if (!says_nothing(name, bytes, stored)) node.traits += bytes;
    }
    node.is_matmul = stored && node.inputs.size() == 2 && node.traits.empty();
  }

  static bool says_nothing(const std::string& name, const std::string& bytes, bool stored) {
    onnx::AttributeProto attribute;
    if (!attribute.ParseFromString(bytes)) return false;
    if (name == "alpha" || name == "beta") return attribute.f() == 1.0f;
    return (name == "transA" && attribute.i() == 0) ||
           (name == "transB" && (stored || attribute.i() == 0));
  }

  void add_attribute_tensor(GraphNode& node, const std::string& name,
                            const onnx::TensorProto& tensor) {
    node.attribute_tensors[name] = number_.at(&tensor);
  }

  ComputeGraph graph_;
  std::unordered_map<const onnx::TensorProto*, int32_t> number_;
  int32_t next_node_ = 0;
  std::optional<NameBudget> budget_;
};

}  // namespace

ComputeGraph build_graph(const ScannedModel& model) {
  Skeleton skeleton = model.file.skeleton();
  return Builder(model).build(skeleton.model());
}

std::unordered_map<std::string_view, size_t> first_places(const std::vector<std::string>& names) {
  std::unordered_map<std::string_view, size_t> places;
  for (size_t i = 0; i < names.size(); ++i) places.emplace(names[i], i);
  return places;
}

std::string label_of(const ComputeGraph& graph, const GraphNode& node) {
  if (!node.name.empty() || node.outputs.empty() || node.outputs[0] == kAbsent) return node.name;
  return graph.values[static_cast<size_t>(node.outputs[0])].name;
}

const std::string& paired_op(const GraphNode& node) {
  static const std::string matmul = "MatMul";
  return node.is_matmul ? matmul : node.op;
}

int64_t integer_attribute(const GraphNode& node, const std::string& name, int64_t otherwise) {
  const auto found = node.attribute_bytes.find(name);
  onnx::AttributeProto attribute;
  const bool known =
      found != node.attribute_bytes.end() && attribute.ParseFromString(found->second);
  return known && attribute.has_i() ? attribute.i() : otherwise;
}

void replace_values(ComputeGraph& graph, const std::map<int32_t, int32_t>& replaced) {
  const auto settle = [&](std::vector<int32_t>& values) {
    for (int32_t& value : values) {
      const auto found = replaced.find(value);
      if (found != replaced.end()) value = found->second;
    }
  };
  settle(graph.main.outputs);
  for (auto& [scope, border] : graph.others) settle(border.outputs);
  for (GraphValue& value : graph.values) value.uses.clear();
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    GraphNode& node = graph.nodes[n];
    settle(node.inputs);
    for (auto& [name, body] : node.bodies) settle(body.outputs);
    if (node.in_lora) continue;
    for (size_t slot = 0; slot < node.inputs.size(); ++slot) {
      if (node.inputs[slot] == kAbsent) continue;
      graph.values[static_cast<size_t>(node.inputs[slot])].uses.push_back(
          {static_cast<int32_t>(n), static_cast<uint32_t>(slot)});
    }
  }
}

}  // namespace wshare

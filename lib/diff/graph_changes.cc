#include "diff/graph_changes.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <set>

#include "compare/signatures.h"
#include "format/dtype.h"

namespace wshare {
namespace {

using Texts = std::map<std::string, std::string>;

std::string shape_text(const onnx::TensorShapeProto& shape) {
  std::string text = "[";
  for (const onnx::TensorShapeProto::Dimension& dim : shape.dim()) {
    if (text.size() > 1) text += ",";
    text += dim.has_dim_value()   ? std::to_string(dim.dim_value())
            : dim.has_dim_param() ? dim.dim_param()
                                  : "?";
  }
  return text + "]";
}

std::string type_text(const onnx::TypeProto& type) {
  if (!type.has_tensor_type()) return type.value_case() == 0 ? "untyped" : "no plain tensor";
  const std::optional<Dtype> dtype = find_dtype(type.tensor_type().elem_type());
  const std::string name =
      dtype ? std::string(dtype->name) : "type " + std::to_string(type.tensor_type().elem_type());
  return name + (type.tensor_type().has_shape() ? shape_text(type.tensor_type().shape()) : "");
}

Texts texts_of(const google::protobuf::RepeatedPtrField<onnx::ValueInfoProto>& values) {
  Texts texts;
  for (const onnx::ValueInfoProto& value : values) texts[value.name()] = type_text(value.type());
  return texts;
}

Texts opsets_of(const onnx::ModelProto& model) {
  Texts texts;
  for (const onnx::OperatorSetIdProto& opset : model.opset_import()) {
    const std::string domain = opset.domain().empty() ? "ai.onnx" : opset.domain();
    texts[domain] = std::to_string(opset.version());
  }
  return texts;
}

Texts metadata_of(const onnx::ModelProto& model) {
  Texts texts = {{"ir_version", std::to_string(model.ir_version())},
                 {"producer", model.producer_name() + " " + model.producer_version()},
                 {"domain", model.domain()},
                 {"model_version", std::to_string(model.model_version())},
                 {"doc_string", model.doc_string()}};
  for (const onnx::StringStringEntryProto& entry : model.metadata_props()) {
    texts["metadata_props." + entry.key()] = entry.value();
  }
  return texts;
}

std::vector<DiffValue> differences(const Texts& a, const Texts& b) {
  std::set<std::string> names;
  for (const Texts* texts : {&a, &b}) {
    for (const auto& [name, text] : *texts) names.insert(name);
  }
  std::vector<DiffValue> result;
  for (const std::string& name : names) {
    const auto in_a = a.find(name);
    const auto in_b = b.find(name);
    DiffValue value{name, in_a == a.end() ? "" : in_a->second, in_b == b.end() ? "" : in_b->second};
    if (value.a != value.b) result.push_back(std::move(value));
  }
  return result;
}

// What the operands of matched nodes are to each other.
class Wiring {
 public:
  explicit Wiring(const ModelComparison& comparison) : comparison_(comparison) {
    for (const TensorMatch& match : comparison.tensors) partner_[match.b] = match.a;
  }

  bool differs(const GraphNode& a, const GraphNode& b) const {
    const size_t count = a.inputs.size();
    if (count != b.inputs.size()) return true;
    const auto fits = [&](bool crosswise) {
      for (size_t i = 0; i < count; ++i) {
        const size_t j = crosswise ? count - 1 - i : i;
        if (!fit(a.inputs[i], a.input_paths[i], b.inputs[j], b.input_paths[j])) return false;
      }
      return true;
    };
    return !fits(false) && !(is_commutative(a.op) && count == 2 && fits(true));
  }

  // True if both read the same, over the same looked-through nodes.
  bool fit(int32_t a, const std::vector<int32_t>& path_a, int32_t b,
           const std::vector<int32_t>& path_b) const {
    return same_value(a, b) &&
           std::equal(path_a.begin(), path_a.end(), path_b.begin(), path_b.end(),
                      [&](int32_t x, int32_t y) { return same_passed(x, y); });
  }

 private:
  // Tensors that differ are reported as such; here it counts that it is these two that differ.
  bool same_value(int32_t a, int32_t b) const {
    if (a == kAbsent || b == kAbsent) return a == b;
    const int32_t ta = comparison_.graph_a.values[static_cast<size_t>(a)].tensor;
    const int32_t tb = comparison_.graph_b.values[static_cast<size_t>(b)].tensor;
    if (ta == kAbsent || tb == kAbsent) return ta == tb && same_source(a, b);
    if (comparison_.contents_a[static_cast<size_t>(ta)] ==
        comparison_.contents_b[static_cast<size_t>(tb)]) {
      return true;
    }
    const auto partner = partner_.find(tb);
    return partner == partner_.end() || partner->second == ta;  // not there: too small to look at
  }

  // Values are one if matched nodes make them, or if they are one input.
  bool same_source(int32_t a, int32_t b) const {
    const GraphValue& in_a = comparison_.graph_a.values[static_cast<size_t>(a)];
    const GraphValue& in_b = comparison_.graph_b.values[static_cast<size_t>(b)];
    if (in_a.producer == kAbsent || in_b.producer == kAbsent) {
      return in_a.producer == in_b.producer &&
             comparison_.alignment.value_of_a[static_cast<size_t>(a)] == b;
    }
    return in_a.output == in_b.output &&
           comparison_.alignment.node_of_a[static_cast<size_t>(in_a.producer)] == in_b.producer;
  }

  bool same_passed(int32_t x, int32_t y) const {
    const GraphNode& a = comparison_.graph_a.passed[static_cast<size_t>(x)];
    const GraphNode& b = comparison_.graph_b.passed[static_cast<size_t>(y)];
    if (a.op != b.op || a.attributes != b.attributes || a.inputs.size() != b.inputs.size()) {
      return false;
    }
    for (size_t i = 1; i < a.inputs.size(); ++i) {
      if (!same_value(a.inputs[i], b.inputs[i])) return false;
    }
    return true;
  }

  const ModelComparison& comparison_;
  std::map<int32_t, int32_t> partner_;  // of tensors of b
};

// Looked-through nodes have no counterparts, so they are counted.
void count_passed(const ComputeGraph& a, const ComputeGraph& b,
                  std::map<std::string, DiffOperator>& operators) {
  std::map<std::string, int64_t> more;
  for (const GraphNode& node : b.passed) ++more[node.op];
  for (const GraphNode& node : a.passed) --more[node.op];
  for (const auto& [op, count] : more) {
    if (count > 0) operators[op].added += static_cast<uint64_t>(count);
    if (count < 0) operators[op].removed += static_cast<uint64_t>(-count);
  }
}

void count_nodes(const ModelComparison& comparison,
                 std::map<std::string, DiffOperator>& operators) {
  const Wiring wiring(comparison);
  const std::vector<GraphNode>& nodes_b = comparison.graph_b.nodes;
  for (size_t n = 0; n < comparison.graph_a.nodes.size(); ++n) {
    const GraphNode& a = comparison.graph_a.nodes[n];
    const int32_t other = comparison.alignment.node_of_a[n];
    if (other == kAbsent) {
      ++operators[a.op].removed;
      continue;
    }
    const GraphNode& b = nodes_b[static_cast<size_t>(other)];
    if (a.attributes != b.attributes) ++operators[a.op].attributes;
    if (wiring.differs(a, b)) ++operators[a.op].rewired;
  }
  for (size_t n = 0; n < nodes_b.size(); ++n) {
    if (comparison.alignment.node_of_b[n] == kAbsent) ++operators[nodes_b[n].op].added;
  }
}

// An output that is a copy of another value, or of an input, has no node that would tell.
bool same_sources(const GraphBorder& a, const GraphBorder& b, const Wiring& wiring) {
  for (size_t i = 0; i < a.outputs.size(); ++i) {
    const auto other = std::find(b.output_names.begin(), b.output_names.end(), a.output_names[i]);
    if (other == b.output_names.end()) continue;
    const auto at = static_cast<size_t>(other - b.output_names.begin());
    if (!wiring.fit(a.outputs[i], a.output_paths[i], b.outputs[at], b.output_paths[at])) {
      return false;
    }
  }
  return true;
}

}  // namespace

DiffGraph count_graph_changes(const ScannedModel& a, const ScannedModel& b,
                              const ModelComparison& comparison) {
  DiffGraph graph;
  count_passed(comparison.graph_a, comparison.graph_b, graph.operators);
  count_nodes(comparison, graph.operators);
  if (!same_sources(comparison.graph_a.main, comparison.graph_b.main, Wiring(comparison))) {
    ++graph.operators["(graph output)"].rewired;
  }
  Skeleton skeleton_a = a.file.skeleton();
  Skeleton skeleton_b = b.file.skeleton();
  const onnx::ModelProto& model_a = skeleton_a.model();
  const onnx::ModelProto& model_b = skeleton_b.model();
  graph.inputs = differences(texts_of(model_a.graph().input()), texts_of(model_b.graph().input()));
  graph.outputs =
      differences(texts_of(model_a.graph().output()), texts_of(model_b.graph().output()));
  graph.opsets = differences(opsets_of(model_a), opsets_of(model_b));
  graph.metadata = differences(metadata_of(model_a), metadata_of(model_b));
  return graph;
}

}  // namespace wshare

#include "diff/graph_counts.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <set>

#include "compare/interfaces.h"
#include "compare/wiring.h"

namespace wshare {
namespace {

using Texts = std::map<std::string, std::string>;

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

void count_nodes(const ModelComparison& comparison, const Wiring& wiring,
                 std::map<std::string, DiffOperator>& operators) {
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
    if (!wiring.same_inputs(a, b, nullptr)) ++operators[a.op].rewired;
  }
  for (size_t n = 0; n < nodes_b.size(); ++n) {
    if (comparison.alignment.node_of_b[n] == kAbsent) ++operators[nodes_b[n].op].added;
  }
}

// An output that is a copy of another value, or of an input, has no node that would tell.
bool same_sources(const GraphBorder& a, const GraphBorder& b, const Wiring& wiring) {
  const std::unordered_map<std::string_view, size_t> in_b = first_places(b.output_names);
  for (size_t i = 0; i < a.outputs.size(); ++i) {
    const auto other = in_b.find(a.output_names[i]);
    if (other == in_b.end()) continue;
    const size_t at = other->second;
    if (!wiring.same(a.outputs[i], a.output_paths[i], b.outputs[at], b.output_paths[at], nullptr)) {
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
  const Wiring wiring(a, b, comparison, Wires::kAsWritten);
  count_nodes(comparison, wiring, graph.operators);
  if (!same_sources(comparison.graph_a.main, comparison.graph_b.main, wiring)) {
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

#include "diff/graph_counts.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <set>

#include "compare/interfaces.h"
#include "compare/wiring.h"

namespace wshare {
namespace {

constexpr size_t kMostPlaces = 3;  // of nodes of one operator

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

// Counts changed nodes by operator, and names the first of each.
class Changes {
 public:
  Changes(const ModelComparison& comparison, DiffGraph& graph)
      : comparison_(comparison), graph_(graph) {}

  void count_passed();
  void count_nodes(const Wiring& wiring);

 private:
  void name(const std::string& op, const ComputeGraph& graph, const GraphNode& node) {
    std::vector<std::string>& names = graph_.places[op];
    if (names.size() < kMostPlaces) names.push_back(label_of(graph, node));
  }
  void name_passed(const std::string& op, const ComputeGraph& graph);

  const ModelComparison& comparison_;
  DiffGraph& graph_;
};

void Changes::name_passed(const std::string& op, const ComputeGraph& graph) {
  for (const GraphNode& node : graph.passed) {
    if (node.op == op) name(op, graph, node);
  }
}

// Looked-through nodes have no counterparts, so they are counted, and those that may be meant named
// where one model only has some.
void Changes::count_passed() {
  std::map<std::string, std::pair<uint64_t, uint64_t>> counts;  // in a, in b
  for (const GraphNode& node : comparison_.graph_a.passed) ++counts[node.op].first;
  for (const GraphNode& node : comparison_.graph_b.passed) ++counts[node.op].second;
  for (const auto& [op, count] : counts) {
    const auto& [in_a, in_b] = count;
    if (in_b > in_a) graph_.operators[op].added += in_b - in_a;
    if (in_a > in_b) graph_.operators[op].removed += in_a - in_b;
    if (in_a == 0) name_passed(op, comparison_.graph_b);
    if (in_b == 0) name_passed(op, comparison_.graph_a);
  }
}

void Changes::count_nodes(const Wiring& wiring) {
  const ComputeGraph &graph_a = comparison_.graph_a, &graph_b = comparison_.graph_b;
  for (size_t n = 0; n < graph_a.nodes.size(); ++n) {
    const GraphNode& a = graph_a.nodes[n];
    const int32_t other = comparison_.alignment.node_of_a[n];
    if (other == kAbsent) {
      ++graph_.operators[a.op].removed;
      name(a.op, graph_a, a);
      continue;
    }
    const GraphNode& b = graph_b.nodes[static_cast<size_t>(other)];
    if (a.op != b.op) {  // a Gemm that is a MatMul
      ++graph_.operators[a.op].removed;
      ++graph_.operators[b.op].added;
      name(a.op, graph_a, a);
      name(b.op, graph_b, b);
      continue;
    }
    const bool attributes = a.attributes != b.attributes;
    const bool rewired = !wiring.same_inputs(a, b, nullptr);
    if (!attributes && !rewired) continue;
    graph_.operators[a.op].attributes += attributes ? 1 : 0;
    graph_.operators[a.op].rewired += rewired ? 1 : 0;
    name(a.op, graph_b, b);
  }
  for (size_t n = 0; n < graph_b.nodes.size(); ++n) {
    if (comparison_.alignment.node_of_b[n] != kAbsent) continue;
    ++graph_.operators[graph_b.nodes[n].op].added;
    name(graph_b.nodes[n].op, graph_b, graph_b.nodes[n]);
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
  Changes changes(comparison, graph);
  changes.count_passed();
  const Wiring wiring(a, b, comparison, Wires::kAsWritten);
  changes.count_nodes(wiring);
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

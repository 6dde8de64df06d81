#include "bundle/split_uses.h"

#include <onnx/onnx_pb.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "format/layout.h"
#include "model/definitions.h"
#include "model/externalize.h"
#include "model/fresh_names.h"
#include "model/uses.h"
#include "model/walk.h"

// Problem: ONNX Runtime plans an initializer for one device. Where nodes on the CPU and on a GPU
// read it, the name belongs to the CPU and each session makes a copy for the GPU, under a name that
// nobody can hand a value to.
//
//   before   W --> Gather (CPU)          after   W        --> Gather (CPU)
//            W --> MatMul (GPU)                  W/MatMul --> MatMul (GPU)     the same bytes
//
// Which node will run where is not known here. So a weight gets a name for each operator that reads
// it, or for each node; both names may then end up anywhere. It costs nothing but names: bytes are
// stored, mapped and uploaded once per place, not per name. Only where kernels pack weights, each
// name is packed anew (and the packed form shared by content), so nodes of one operator share a
// name unless asked for.

namespace wshare {
namespace {

constexpr int64_t kFreeInitializers = 4;  // IR version: they need not be inputs of the graph

using Kind = std::string;
using NewNames = std::map<std::pair<std::string, Kind>, std::string>;  // of a weight and a kind

Kind kind_of(const onnx::NodeProto& node, size_t number, SplitUses kinds) {
  if (kinds == SplitUses::kByNode) return std::to_string(number);
  return node.domain() + ":" + node.op_type();
}

bool can_be_split(const TensorRef& tensor, const Definitions& definitions, uint64_t min_bytes) {
  const bool has_graph = tensor.home == Home::kInitializer || tensor.home == Home::kConstant;
  if (!has_graph || !tensor.scope.empty() || tensor.bytes.size() < kLargeBytes) return false;
  return definitions.is_once(tensor.name) && !reason_to_stay(tensor, min_bytes);
}

void rewire(onnx::ModelProto& model, const NewNames& renamed, SplitUses kinds) {
  size_t number = 0;
  for_each_node(*model.mutable_graph(), [&](onnx::NodeProto& node, const onnx::GraphProto&) {
    const Kind kind = kind_of(node, number++, kinds);
    for (std::string& input : *node.mutable_input()) {
      const auto found = renamed.find({input, kind});
      if (found != renamed.end()) input = found->second;
    }
  });
}

onnx::TensorProto& add_initializer(onnx::ModelProto& model, const TensorRef& tensor) {
  onnx::TensorProto& added = *model.mutable_graph()->add_initializer();
  added.set_name(tensor.name);
  added.set_data_type(tensor.dtype);
  for (const int64_t dim : tensor.shape) added.add_dims(dim);
  return added;
}

class Splitter {
 public:
  // `before`: what else is done to the graph, first; it adds no tensors.
  Splitter(ScannedModel& model, SplitUses kinds, uint64_t min_bytes, const GraphEdit& before)
      : model_(model), kinds_(kinds), skeleton_(model.file.skeleton()), names_(skeleton_.model()) {
    if (before) before(skeleton_.model(), {});
    Definitions definitions;
    walk_graph(std::as_const(skeleton_.model()).graph(), definitions);
    for (size_t t = 0; t < model.tensors.size(); ++t) {
      if (can_be_split(model.tensors[t], definitions, min_bytes))
        weights_[model.tensors[t].name] = t;
    }
  }

  std::optional<ModelRewrite> run() {
    size_t number = 0;
    for_each_node(
        std::as_const(skeleton_.model()).graph(),
        [&](const onnx::NodeProto& node, const onnx::GraphProto&) { read(node, number++); });
    if (added_.empty()) return std::nullopt;
    update_folded();
    ModelRewrite edit;
    edit.added = added_;
    edit.apply = [renamed = std::move(renamed_), added = std::move(added_), kinds = kinds_](
                     onnx::ModelProto& proto, std::span<const ExternalReference> places) {
      rewire(proto, renamed, kinds);
      for (size_t i = 0; i < added.size(); ++i)
        set_external(add_initializer(proto, added[i]), places[i]);
    };
    return edit;
  }

 private:
  void read(const onnx::NodeProto& node, size_t at) {
    const Kind kind = kind_of(node, at, kinds_);
    for (const std::string& input : node.input()) {
      const auto weight = weights_.find(input);
      if (weight == weights_.end()) continue;
      const Kind& first = first_kind_.try_emplace(input, kind).first->second;
      if (kind == first || renamed_.contains({input, kind})) continue;
      TensorRef& added = added_.emplace_back(model_.tensors[weight->second]);
      added.name = names_.make(input + "/" + node.op_type());
      added.home = Home::kInitializer;
      added.external_file = -1;
      added.is_span = false;
      renamed_[{input, kind}] = added.name;
    }
  }

  void update_folded() {
    onnx::ModelProto& proto = skeleton_.model();
    rewire(proto, renamed_, kinds_);
    for (const TensorRef& tensor : added_) add_initializer(proto, tensor);
    const GraphUses uses = find_uses(proto);
    for (TensorRef& tensor : added_) tensor.folded = uses.of(tensor.name).folded;
    for (const auto& [name, index] : weights_) model_.tensors[index].folded = uses.of(name).folded;
  }

  ScannedModel& model_;
  SplitUses kinds_;
  Skeleton skeleton_;
  FreshNames names_;
  std::map<std::string, size_t> weights_;   // that may be split, in model_.tensors
  std::map<std::string, Kind> first_kind_;  // of a weight
  NewNames renamed_;
  std::vector<TensorRef> added_;
};

}  // namespace

void split_uses(Draft& draft, SplitUses kinds, uint64_t min_bytes) {
  if (kinds == SplitUses::kNever) return;
  for (size_t m = 0; m < draft.models.size(); ++m) {
    if (draft.models[m].ir_version < kFreeInitializers) continue;
    const auto known = draft.edits.find(m);
    const GraphEdit before = known == draft.edits.end() ? GraphEdit() : known->second.apply;
    auto split = Splitter(draft.models[m], kinds, min_bytes, before).run();
    if (!split) continue;
    ModelRewrite& edit = draft.edits[m];
    edit.added = std::move(split->added);
    edit.apply = [before, split = std::move(split->apply)](
                     onnx::ModelProto& proto, std::span<const ExternalReference> places) {
      if (before) before(proto, {});
      split(proto, places);
    };
  }
}

}  // namespace wshare

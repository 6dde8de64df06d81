#include "model/renames.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "format/layout.h"
#include "model/keep_if.h"
#include "model/scan.h"
#include "model/tensor_sites.h"
#include "model/uses.h"
#include "model/walk.h"
#include "util/load.h"

// Problem: exporters write a layer that is used twelve times as one weight and eleven Identity
// nodes. ONNX Runtime folds each into a weight of the session's own, a copy that nobody can share.
//
//   before   W ─► Identity ─► W_11 ─► MatMul          after   W ─► MatMul
//
// A reader may read W in place of W_11 where the name "W" means W: names are looked up from the
// inner graph outwards, as ONNX Runtime does. A node goes when all its readers could be moved.

namespace wshare {
namespace {

constexpr int64_t kFreeInitializers = 4;  // IR version: they need not be inputs of the graph

// A value, where it gets its name.
struct Definition {
  std::string_view name;
  onnx::GraphProto* graph = nullptr;
  const onnx::TensorProto* tensor = nullptr;  // an initializer's, or a Constant's
  bool doubled = false;                       // the graph defines it twice: an input's default
  // Of the output of a rename:
  const onnx::NodeProto* node = nullptr;
  uint32_t number = 0;  // of the node
  uint32_t source = 0;  // the definition that it names anew
  bool was_read = false;
  bool stays = false;  // some reader needs this name
};

// Moves the readers of renames; which nodes those are, `is_rename` says.
class RenameWalk : public GraphVisitor {
 public:
  using Place = WalkPlace<onnx::GraphProto>;
  // Is asked with a node, its number and what its first input is.
  using IsRename =
      std::function<bool(const onnx::NodeProto&, uint32_t, const Definition&, const RenameWalk&)>;

  explicit RenameWalk(IsRename is_rename) : is_rename_(std::move(is_rename)) {}

  void enter(const Place& place) {
    outside_.push_back(entered_.size());
    onnx::GraphProto* graph = place.graph;
    for (const onnx::ValueInfoProto& input : graph->input()) define(input.name(), graph);
    for (const onnx::TensorProto& tensor : graph->initializer())
      define(tensor.name(), graph, &tensor);
    for (const onnx::SparseTensorProto& tensor : graph->sparse_initializer())
      define(tensor.values().name(), graph);
    for (const onnx::NodeProto& node : graph->node()) {
      const onnx::TensorProto* value = is_constant_node(node) ? value_of(node) : nullptr;
      for (const std::string& output : node.output()) define(output, graph, value);
    }
  }

  void node(onnx::NodeProto& node, const Place&) {
    const uint32_t number = nodes_++;
    for (std::string& input : *node.mutable_input()) read(input);
    if (node.input_size() == 0 || node.output_size() != 1) return;
    const std::optional<uint32_t> source = find(node.input(0)), output = find(node.output(0));
    if (!source || !output || definitions_[*output].doubled) return;
    if (!is_rename_(node, number, definitions_[*source], *this)) return;
    Definition& renamed = definitions_[*output];
    renamed.node = &node;
    renamed.number = number;
    renamed.source = *source;
  }

  void leave(const Place& place) {
    for (const onnx::ValueInfoProto& output : place.graph->output()) {
      if (const std::optional<uint32_t> found = find(output.name()))
        definitions_[*found].stays = true;
    }
    for (; entered_.size() > outside_.back(); entered_.pop_back())
      visible_[entered_.back()].pop_back();
    outside_.pop_back();
  }

  // Returns the tensor that `name` means here, or null.
  const onnx::TensorProto* tensor_called(std::string_view name) const {
    const std::optional<uint32_t> found = find(name);
    return found && !definitions_[*found].doubled ? definitions_[*found].tensor : nullptr;
  }

  // Returns the outputs of renames that nobody reads any more.
  std::vector<Definition> unread() const {
    std::vector<Definition> result;
    for (const Definition& each : definitions_) {
      if (each.node != nullptr && each.was_read && !each.stays) result.push_back(each);
    }
    return result;
  }

  const Definition& source_of(const Definition& rename) const {
    return definitions_[rename.source];
  }

 private:
  static const onnx::TensorProto* value_of(const onnx::NodeProto& constant) {
    for (const onnx::AttributeProto& attribute : constant.attribute()) {
      if (attribute.name() == "value" && attribute.has_t()) return &attribute.t();
    }
    return nullptr;
  }

  void define(std::string_view name, onnx::GraphProto* graph,
              const onnx::TensorProto* tensor = nullptr) {
    if (name.empty()) return;
    std::vector<uint32_t>& meanings = visible_[name];
    if (!meanings.empty() && definitions_[meanings.back()].graph == graph) {
      definitions_[meanings.back()].doubled = true;
      return;
    }
    meanings.push_back(static_cast<uint32_t>(definitions_.size()));
    entered_.push_back(name);
    definitions_.push_back({name, graph, tensor});
  }

  std::optional<uint32_t> find(std::string_view name) const {
    const auto found = visible_.find(name);
    if (found == visible_.end() || found->second.empty()) return std::nullopt;
    return found->second.back();
  }

  void read(std::string& input) {
    const std::optional<uint32_t> found = find(input);
    if (!found) return;
    Definition& value = definitions_[*found];
    const bool is_moved = value.node != nullptr && find(source_of(value).name) == value.source;
    (is_moved ? value.was_read : value.stays) = true;
    if (is_moved) input = std::string(source_of(value).name);
  }

  IsRename is_rename_;
  std::vector<Definition> definitions_;
  std::unordered_map<std::string_view, std::vector<uint32_t>> visible_;  // the innermost last
  std::vector<std::string_view> entered_;  // names that graphs around the place have defined
  std::vector<size_t> outside_;            // of each such graph: how many there were before it
  uint32_t nodes_ = 0;
};

// True if a Reshape to `wanted`, an int64 tensor, gives `shape` back.
bool gives_shape(const TensorRef& wanted, const onnx::NodeProto& reshape,
                 const std::vector<int64_t>& shape) {
  if (wanted.dtype != onnx::TensorProto::INT64 || wanted.bytes.size() != 8 * shape.size())
    return false;
  bool zero_is_zero = false;
  for (const onnx::AttributeProto& attribute : reshape.attribute())
    zero_is_zero = zero_is_zero || (attribute.name() == "allowzero" && attribute.i() != 0);
  int inferred = 0;
  for (size_t i = 0; i < shape.size(); ++i) {
    const auto dim = load<int64_t>(wanted.bytes.data() + 8 * i);
    inferred += dim == -1 ? 1 : 0;
    const bool is_copied = dim == 0 && !zero_is_zero;
    if (dim != shape[i] && dim != -1 && !is_copied) return false;
  }
  return inferred <= 1;
}

// Tells which nodes only rename a weight.
class RenameRule {
 public:
  RenameRule(onnx::ModelProto& model, const std::vector<TensorRef>& tensors, const GraphUses& uses)
      : tensors_(tensors), uses_(uses) {
    uint32_t number = 0;
    visit_tensors(model, [&](const TensorSite& site) { number_of_[site.tensor] = number++; });
  }

  uint32_t number_of(const onnx::TensorProto* tensor) const { return number_of_.at(tensor); }

  bool operator()(const onnx::NodeProto& node, const Definition& from,
                  const RenameWalk& walk) const {
    if (from.tensor == nullptr || from.doubled || !is_standard(node) || has_graphs(node))
      return false;
    const TensorRef& weight = tensors_[number_of(from.tensor)];
    if (weight.inline_reason || weight.bytes.size() < kLargeBytes) return false;
    const ValueUse use = uses_.of(node.output(0));
    if (use.graph_output || use.shape_read) return false;
    if (node.op_type() == "Identity") return node.input_size() == 1;
    if (node.op_type() == "Cast") return node.input_size() == 1 && gives_type(node, weight.dtype);
    if (node.op_type() != "Reshape" || node.input_size() != 2) return false;
    const onnx::TensorProto* shape = walk.tensor_called(node.input(1));
    return shape != nullptr && gives_shape(tensors_[number_of(shape)], node, weight.shape);
  }

 private:
  static bool gives_type(const onnx::NodeProto& cast, int32_t dtype) {
    for (const onnx::AttributeProto& attribute : cast.attribute()) {
      if (attribute.name() == "to") return attribute.i() == dtype;
    }
    return false;
  }

  const std::vector<TensorRef>& tensors_;
  const GraphUses& uses_;
  std::unordered_map<const onnx::TensorProto*, uint32_t> number_of_;
};

// True if some node may rename a large tensor: most models have none, and are not looked at again.
bool may_have_renames(const onnx::ModelProto& model, const std::vector<TensorRef>& tensors) {
  std::unordered_set<std::string_view> large;
  for (const TensorRef& tensor : tensors) {
    if (!tensor.inline_reason && tensor.bytes.size() >= kLargeBytes) large.insert(tensor.name);
  }
  bool found = false;
  for_each_node(model.graph(), [&](const onnx::NodeProto& node, const onnx::GraphProto&) {
    const bool renames =
        node.op_type() == "Identity" || node.op_type() == "Cast" || node.op_type() == "Reshape";
    found = found || (renames && node.input_size() > 0 && large.contains(node.input(0)));
  });
  return found;
}

}  // namespace

std::vector<Rename> find_renames(onnx::ModelProto& model, const std::vector<TensorRef>& tensors,
                                 const GraphUses& uses) {
  if (model.ir_version() < kFreeInitializers || model.training_info_size() > 0 ||
      !may_have_renames(model, tensors)) {
    return {};
  }
  const RenameRule rule(model, tensors, uses);
  RenameWalk walk([&](const onnx::NodeProto& node, uint32_t, const Definition& from,
                      const RenameWalk& at) { return rule(node, from, at); });
  walk_graph(*model.mutable_graph(), walk);
  std::vector<Rename> renames;
  for (const Definition& each : walk.unread())
    renames.push_back({each.number, rule.number_of(walk.source_of(each).tensor)});
  std::sort(renames.begin(), renames.end(),
            [](const Rename& a, const Rename& b) { return a.node < b.node; });
  return renames;
}

void remove_renames(onnx::ModelProto& model, const std::vector<Rename>& renames) {
  RenameWalk walk(
      [&](const onnx::NodeProto&, uint32_t number, const Definition&, const RenameWalk&) {
        return std::binary_search(renames.begin(), renames.end(), Rename{number, 0},
                                  [](const Rename& a, const Rename& b) { return a.node < b.node; });
      });
  walk_graph(*model.mutable_graph(), walk);
  struct Gone {
    std::set<const onnx::NodeProto*> nodes;
    std::set<std::string> names;
  };
  std::map<onnx::GraphProto*, Gone> gone;
  for (const Definition& each : walk.unread()) {
    gone[each.graph].nodes.insert(each.node);
    gone[each.graph].names.emplace(each.name);
  }
  for (const auto& each : gone) {
    const Gone& here = each.second;
    keep_if(*each.first->mutable_node(),
            [&](const onnx::NodeProto& node) { return !here.nodes.contains(&node); });
    keep_if(*each.first->mutable_value_info(),
            [&](const onnx::ValueInfoProto& value) { return !here.names.contains(value.name()); });
  }
}

}  // namespace wshare

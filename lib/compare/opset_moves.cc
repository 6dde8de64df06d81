#include "compare/opset_moves.h"

#include <onnx/onnx_pb.h>

#include <cstring>
#include <map>

namespace wshare {
namespace {

struct Move {
  const char* attribute;
  size_t slot;
};

// Source: ONNX, docs/Changelog.md, opsets 10 to 18.
const std::vector<Move>& moves_of(const std::string& op) {
  static const std::vector<Move> axes = {{"axes", 1}};
  static const std::map<std::string, std::vector<Move>> moves = {
      {"Split", {{"split", 1}}},
      {"Pad", {{"pads", 1}}},
      {"Slice", {{"starts", 1}, {"ends", 2}, {"axes", 3}}},
      {"Squeeze", axes},
      {"Unsqueeze", axes},
      {"ReduceL1", axes},
      {"ReduceL2", axes},
      {"ReduceLogSum", axes},
      {"ReduceLogSumExp", axes},
      {"ReduceMax", axes},
      {"ReduceMean", axes},
      {"ReduceMin", axes},
      {"ReduceProd", axes},
      {"ReduceSum", axes},
      {"ReduceSumSquare", axes}};
  static const std::vector<Move> none;
  const auto found = moves.find(op);
  return found == moves.end() ? none : found->second;
}

bool is_default(const std::string& attribute, const std::string& bytes) {
  static const std::map<std::string, int64_t> defaults = {
      {"allowzero", 0}, {"keepdims", 1}, {"noop_with_empty_axes", 0}, {"stash_type", 1}};
  const auto found = defaults.find(attribute);
  onnx::AttributeProto parsed;
  return found != defaults.end() && parsed.ParseFromString(bytes) && parsed.i() == found->second;
}

// True if what only `node` has among its attributes says nothing, or is an input of the
// other one.
bool others_are_moved(const GraphNode& node, const GraphNode& other) {
  for (const auto& [name, bytes] : node.attribute_bytes) {
    const auto same = other.attribute_bytes.find(name);
    if (same != other.attribute_bytes.end()) {
      if (same->second != bytes) return false;
      continue;
    }
    const std::optional<size_t> slot = input_of_attribute(node.op, name);
    const bool moved = slot && *slot < other.inputs.size() && other.inputs[*slot] != kAbsent;
    if (!moved && !is_default(name, bytes)) return false;
  }
  return true;
}

}  // namespace

std::optional<size_t> input_of_attribute(const std::string& op, const std::string& attribute) {
  for (const Move& move : moves_of(op)) {
    if (move.attribute == attribute) return move.slot;
  }
  return std::nullopt;
}

bool same_attributes_but_moved(const GraphNode& a, const GraphNode& b) {
  if (a.traits != b.traits) return false;
  if (a.op == "Gemm" || b.op == "Gemm") return true;  // its traits are all that it says
  return others_are_moved(a, b) && others_are_moved(b, a);
}

std::optional<std::vector<int64_t>> moved_integers(const GraphNode& node, size_t slot) {
  for (const Move& move : moves_of(node.op)) {
    const auto found = node.attribute_bytes.find(move.attribute);
    onnx::AttributeProto parsed;
    if (move.slot != slot || found == node.attribute_bytes.end()) continue;
    if (!parsed.ParseFromString(found->second)) continue;
    return std::vector<int64_t>(parsed.ints().begin(), parsed.ints().end());
  }
  return std::nullopt;
}

std::optional<std::vector<int64_t>> integers_of(const TensorRef& tensor) {
  constexpr size_t kMost = 1000;
  if (tensor.dtype != onnx::TensorProto::INT64 || tensor.bytes.size() % sizeof(int64_t) != 0 ||
      tensor.bytes.size() > kMost * sizeof(int64_t)) {
    return std::nullopt;
  }
  std::vector<int64_t> values(tensor.bytes.size() / sizeof(int64_t));
  if (!values.empty()) std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  return values;
}

}  // namespace wshare

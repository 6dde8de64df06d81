#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "compare/align.h"

namespace wshare {

enum Side { kA, kB };

struct Pair {
  int32_t a = kAbsent, b = kAbsent;
};

// The pairs of nodes and values found so far, and whether two more fit together.
class Pairs {
 public:
  static constexpr uint64_t kFewSteps = 100'000'000, kStepsPerUse = 64;

  Pairs(const AlignSide& a, const AlignSide& b);

  const ComputeGraph& graph(Side side) const { return *sides_[side]->graph; }
  const ScannedModel& model(Side side) const { return *sides_[side]->model; }
  const GraphNode& node(Side side, int32_t n) const {
    return graph(side).nodes[static_cast<size_t>(n)];
  }
  const GraphValue& value(Side side, int32_t v) const {
    return graph(side).values[static_cast<size_t>(v)];
  }
  const TensorRef& tensor(Side side, int32_t t) const {
    return sides_[side]->model->tensors[static_cast<size_t>(t)];
  }
  int64_t content(Side side, int32_t t) const {
    return sides_[side]->contents[static_cast<size_t>(t)];
  }
  const Signatures& signatures(Side side) const { return sides_[side]->signatures; }
  bool is_tensor(Side side, int32_t v) const {
    return v != kAbsent && value(side, v).tensor != kAbsent;
  }
  bool is_matched(Side side, int32_t n) const {
    return nodes_[side][static_cast<size_t>(n)] != kAbsent;
  }
  const std::vector<int32_t>& nodes(Side side) const { return nodes_[side]; }
  const std::vector<int32_t>& values(Side side) const { return values_[side]; }

  // Makes the nodes a pair if both are free and fit. Returns whether they are one now.
  bool match_nodes(int32_t a, int32_t b);

  // Makes the values a pair if both are free and no tensors.
  void match_values(int32_t a, int32_t b);

  // True if the operands of two commutative nodes go together crosswise.
  bool swapped(const GraphNode& a, const GraphNode& b) const;

  // Weights at one place may have different shapes from now on.
  void allow_any_shape() { any_shape_ = true; }
  bool any_shape() const { return any_shape_; }

  // Counts work: nodes and uses that are looked at. Returns false when it has become a large
  // multiple of what the models hold, which only models made for it need: then nothing more is
  // paired.
  bool spend(uint64_t steps) {
    steps_ += steps;
    return steps_ <= most_steps_;
  }
  uint64_t steps() const { return steps_; }

  // The next pair that was made and not yet taken here.
  std::optional<Pair> take_new_nodes();
  std::optional<Pair> take_new_values();
  bool has_new_nodes() const { return !new_nodes_.empty(); }

 private:
  bool same_shape(int32_t ta, int32_t tb) const;
  bool fit(int32_t na, int32_t nb);
  int score(int32_t va, int32_t vb) const;

  std::array<const AlignSide*, 2> sides_;
  std::array<std::vector<int32_t>, 2> nodes_, values_;  // counterparts
  std::deque<Pair> new_nodes_, new_values_;
  bool any_shape_ = false;
  uint64_t steps_ = 0, most_steps_ = kFewSteps;
};

}  // namespace wshare

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "compare/graph.h"
#include "compare/quantised_weights.h"
#include "model/scan.h"

namespace wshare {

// A tensor of model b that is computed from one weight of model a.
struct WeightRelation {
  enum class Kind {
    kCast,        // its values in another float type
    kTransposed,  // its transpose, of the same type
    kQuantised,   // integers, with the scales that b has
  };
  Kind kind = Kind::kCast;
  int32_t a = kAbsent, b = kAbsent;  // tensors
  bool transposed = false;           // b is made of the transpose of a
  uint64_t elements = 0;             // of b
  uint64_t wrong = 0;                // whose bits the prediction below does not give
  QuantisedWeight quantised;         // kQuantised: scale, zero point, and the rule that fits best
};

// The float weights of a model by their shape, so that others are found that were made of them.
// Borrows the model.
class WeightIndex {
 public:
  explicit WeightIndex(const ScannedModel& model);

  const ScannedModel& model() const { return model_; }
  // Tensors of `shape`, which has no dimensions of 1; by number.
  const std::vector<int32_t>& of_shape(const std::vector<int64_t>& shape) const;
  // The tensor with the longest name that `name` begins with, or kAbsent.
  int32_t namesake(std::string_view name) const;

 private:
  const ScannedModel& model_;
  std::map<std::vector<int64_t>, std::vector<int32_t>> by_shape_;
  std::map<std::string_view, int32_t> by_name_;
};

struct RelationOptions {
  uint64_t min_bytes = 64;                   // smaller tensors of b are left out
  unsigned threads = 0;                      // 0: all cores
  std::function<bool(int32_t)> wanted = {};  // tensors of b; none: all
};

// Finds the tensors of `b` that are weights of `a` in another form: cast to another float type,
// transposed, or quantised. By content, whatever the names: candidates are weights of a of the same
// elements, and some elements tell which one is meant; then all are compared. Tensors of b that
// have equal bytes in a are found, too, where they are also a cast or the like of another weight.
//
// `graph` is that of b. By tensor of b, rising; at most one each. The result does not depend on the
// number of threads. Memory: a few MiB for each.
std::vector<WeightRelation> find_relations(const WeightIndex& a, const ScannedModel& b,
                                           const ComputeGraph& graph,
                                           const RelationOptions& options = {});

// Returns what predicts tensor b of a relation of kind kQuantised: encode_quantised() gives what it
// misses.
QuantisedPrediction quantised_prediction(const ScannedModel& a, const ScannedModel& b,
                                         const WeightRelation& relation);

// Returns how far a cast is from its base, of the same number of elements, or the transpose of it.
FormError cast_error(const TensorRef& base, const TensorRef& cast, bool transposed);

}  // namespace wshare

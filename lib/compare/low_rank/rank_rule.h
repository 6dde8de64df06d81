#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "compare/low_rank/delta.h"
#include "compare/low_rank/low_rank.h"

namespace wshare {

// Decides from leading singular values where the rank of a b - a ends.
class RankRule {
 public:
  // survey: of a [rows, cols] b - a, rows >= cols, that is finite and not 0
  RankRule(const Survey& survey, uint64_t rows, uint64_t cols, const DeltaOptions& options);

  // The values of a sketch that are good enough to end a search at: all but the last of them, if
  // there are more than it has.
  static constexpr size_t kOversampling = 6;

  int64_t largest_rank() const { return max_rank_; }

  // Returns the rank, or nothing if `values` do not reach so far. `beyond` is what of ||b - a||^2
  // lies beyond them. `by_rounding` looks at the size of the roundings only.
  std::optional<size_t> choose(const std::vector<double>& values, double beyond) const;
  std::optional<size_t> by_rounding(const std::vector<double>& values, double beyond) const;

  // True if no rank up to the largest one leaves as little as it should after `values`.
  bool is_hopeless(const std::vector<double>& values, double beyond) const;

  // True if a rank may be taken that leaves `left` of ||b - a||^2.
  bool is_acceptable(size_t rank, double left) const;

  // What of ||b - a||^2 lies beyond `values`, or nothing where that is a difference of nearly equal
  // numbers, which would be all error.
  std::optional<double> beyond(const std::vector<double>& values) const;

  // The largest singular value of the noise where `rank` directions leave `rest` of ||b - a||^2.
  double edge_of_rest(double rest, size_t rank) const;

  // What b - a is if it is neither low rank nor rounding.
  DeltaKind kind_of_the_rest() const;

 private:
  double edge(double square, size_t rank) const;
  double noise_of_rest(double rest, size_t rank) const;
  double largest_noise() const;
  double most_left() const;
  bool looks_like_rows() const;
  bool is_told() const { return options_.fixed_rank != 0 || options_.tolerance > 0; }
  size_t last_rank(const std::vector<double>& values) const;
  template <typename NoiseOf>
  std::optional<size_t> find_rank(const std::vector<double>& values, double beyond,
                                  const NoiseOf& noise_of) const;

  Survey survey_;
  uint64_t rows_, cols_;
  DeltaOptions options_;
  double changed_rows_, changed_cols_, changed_area_, edge_factor_;
  int64_t max_rank_;
};

}  // namespace wshare

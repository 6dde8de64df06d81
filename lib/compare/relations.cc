#include "compare/relations.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <string_view>

#include "compare/low_rank/matrix.h"
#include "format/codec/prediction.h"
#include "format/dtype.h"
#include "util/parallel.h"
#include "wshare/error.h"

// Problem: which weight of a did somebody quantise, cast or transpose to make this tensor of b?
// Names change, and so do graphs; but the numbers are still close to the weight's.
//
// Idea: all float weights of a of its elements are candidates; 256 elements at fixed places tell
// unrelated ones apart, whose difference is as large as they are. How it was rounded is found by
// the elements that the likeliest rule misses: none, in nearly all cases.
//
// Cost: some elements for each candidate, whose number is bounded; then each tensor once or twice.

namespace wshare {
namespace {

using Kind = WeightRelation::Kind;

constexpr size_t kRuns = 32, kRunElements = 8;
constexpr double kRelated =
    0.5;  // of two unrelated weights it is over 1: ||difference|| / ||base||, squared
constexpr uint64_t kMostTried = 1 << 22;  // candidates, of all tensors

// The elements that are looked at first: runs over the whole tensor.
struct Run {
  uint64_t row, col;
  size_t count;
};

std::vector<Run> runs_of(uint64_t rows, uint64_t cols) {
  std::vector<Run> runs;
  const uint64_t count = rows * cols;
  for (uint64_t i = 0; i < kRuns && count > 0; ++i) {
    // Not at the same column of each row.
    const uint64_t at =
        count / kRuns * i + (count / kRuns > 0 ? i * 7919 % (count / kRuns) : i % count);
    const auto some = static_cast<size_t>(std::min<uint64_t>(kRunElements, cols - at % cols));
    runs.push_back({at / cols, at % cols, some});
  }
  return runs;
}

std::vector<double> values_at(const MatrixView& view, const std::vector<Run>& runs) {
  std::vector<double> values;
  for (const Run& run : runs) {
    const size_t first = values.size();
    values.resize(first + run.count);
    read_block(view, {run.row, 1, run.col, run.count}, run.count, values.data() + first);
  }
  return values;
}

// ||x - y||^2 / ||x||^2; infinite where x is no number or 0.
double distance(const std::vector<double>& x, const std::vector<double>& y) {
  double square = 0, error = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    square += x[i] * x[i];
    error += (x[i] - y[i]) * (x[i] - y[i]);
  }
  return square > 0 && error >= 0 ? error / square : INFINITY;
}

// Rules of quantisers that are known, the likeliest first.
std::vector<Quantisation> rules_for(const Quantisation& layout) {
  struct Rule {
    bool by_reciprocal, zero_before, away, in_double;
  };
  constexpr Rule kPython{false, false, false, false};  // onnxruntime.quantization, QuantizeLinear
  constexpr Rule kKernels{true, true, true, false};    // of ONNX Runtime for MatMulNBits
  std::vector<Rule> rules = {kPython,
                             kKernels,
                             {true, false, false, false},
                             {false, true, false, false},
                             {true, true, false, false},
                             {false, false, true, false},
                             {false, true, true, false},
                             {false, false, false, true}};
  if (layout.packed_bits != 0) std::swap(rules[0], rules[1]);
  std::vector<Quantisation> result;
  for (const int32_t through : {0, kFloat16, kBfloat16}) {
    for (const Rule& rule : rules) {
      Quantisation how = layout;
      how.by_reciprocal = rule.by_reciprocal;
      how.zero_before = rule.zero_before;
      how.away = rule.away;
      how.in_double = rule.in_double;
      how.through = through;
      result.push_back(how);
    }
  }
  return result;
}

// Elements that a prediction misses: how many, and the first of them.
struct Misses {
  uint64_t count = 0;
  std::vector<uint64_t> places;
};

Misses misses_of(const QuantisedPrediction& prediction, std::span<const std::byte> actual) {
  constexpr size_t kPiece = 16384, kMostPlaces = 1024;
  QuantisedReader reader(prediction);
  std::vector<int32_t> predicted(kPiece), stored(kPiece);
  std::vector<uint8_t> classes(kPiece);
  const QuantisedLayout& layout = prediction.layout;
  const uint64_t count = layout.rows * layout.cols;
  Misses misses;
  for (uint64_t first = 0; first < count; first += kPiece) {
    const auto some = static_cast<size_t>(std::min<uint64_t>(kPiece, count - first));
    reader.predict(first, some, predicted.data(), classes.data());
    read_integers(actual, layout.bits, layout.is_signed, first, some, stored.data());
    if (std::equal(predicted.begin(), predicted.begin() + static_cast<ptrdiff_t>(some),
                   stored.begin())) {
      continue;
    }
    for (size_t i = 0; i < some; ++i) {
      if (predicted[i] == stored[i]) continue;
      ++misses.count;
      if (misses.places.size() < kMostPlaces) misses.places.push_back(first + i);
    }
  }
  return misses;
}

// How many of the elements at `places` a prediction misses.
uint64_t misses_at(const std::vector<uint64_t>& places, const QuantisedPrediction& prediction,
                   std::span<const std::byte> actual) {
  QuantisedReader reader(prediction);
  uint64_t misses = 0;
  for (const uint64_t place : places) {
    int32_t predicted = 0, stored = 0;
    uint8_t ignored = 0;
    reader.predict(place, 1, &predicted, &ignored);
    read_integers(actual, prediction.layout.bits, prediction.layout.is_signed, place, 1, &stored);
    misses += predicted == stored ? 0 : 1;
  }
  return misses;
}

std::vector<int64_t> without_ones(std::vector<int64_t> shape) {
  std::erase(shape, 1);
  return shape;
}

// A weight of a, as it is or transposed.
struct Candidate {
  int32_t tensor = kAbsent;
  bool transposed = false;
};

class Search {
 public:
  Search(const WeightIndex& a, const ScannedModel& b, uint64_t most_tried)
      : a_(a), b_(b), most_tried_(most_tried) {}

  std::optional<WeightRelation> find_quantised(const QuantisedWeight& weight) const;
  std::optional<WeightRelation> find_cast(int32_t tensor) const;

 private:
  const TensorRef& in_a(int32_t t) const { return a_.model().tensors[static_cast<size_t>(t)]; }
  const TensorRef& in_b(int32_t t) const { return b_.tensors[static_cast<size_t>(t)]; }

  std::vector<Candidate> candidates(const std::vector<int64_t>& shape, const TensorRef& of) const;
  std::optional<Candidate> nearest(const QuantisedWeight& weight,
                                   const std::vector<Candidate>& among) const;
  void fit_rule(WeightRelation& relation) const;

  const WeightIndex& a_;
  const ScannedModel& b_;
  uint64_t most_tried_;
};

// The one whose name the tensor has kept comes first: of many, not all are tried.
std::vector<Candidate> Search::candidates(const std::vector<int64_t>& shape,
                                          const TensorRef& of) const {
  std::vector<Candidate> result;
  const int32_t namesake = a_.namesake(of.name);
  const auto add = [&](const std::vector<int64_t>& shape_in_a, bool transposed) {
    const std::vector<int32_t>& all = a_.of_shape(shape_in_a);
    if (std::binary_search(all.begin(), all.end(), namesake))
      result.insert(result.begin(), {namesake, transposed});
    const auto most = static_cast<size_t>(std::min<uint64_t>(all.size(), most_tried_));
    for (size_t i = 0; i < most; ++i) {
      if (all[i] != namesake) result.push_back({all[i], transposed});
    }
  };
  add(shape, false);
  if (shape.size() == 2) add({shape[1], shape[0]}, true);
  return result;
}

// The candidate whose values the integers are nearest to.
std::optional<Candidate> Search::nearest(const QuantisedWeight& weight,
                                         const std::vector<Candidate>& among) const {
  std::optional<Candidate> best;
  double least = kRelated;
  std::vector<Run> runs;
  std::vector<double> numbers;
  for (const Candidate& candidate : among) {
    const auto prediction = prediction_of(b_, weight, in_a(candidate.tensor), candidate.transposed);
    if (!prediction) continue;
    const QuantisedLayout& layout = prediction->layout;
    if (numbers.empty()) {
      const QuantisedReader reader(*prediction);
      runs = runs_of(layout.rows, layout.base_cols);
      for (const Run& run : runs) {
        const uint64_t first = run.row * layout.cols + run.col;
        double scale[kRunElements], zero[kRunElements];
        int32_t stored[kRunElements];
        reader.read_scales(first, run.count, scale);
        reader.read_zeros(first, run.count, zero);
        read_integers(in_b(weight.tensor).bytes, layout.bits, layout.is_signed, first, run.count,
                      stored);
        for (size_t i = 0; i < run.count; ++i) numbers.push_back((stored[i] - zero[i]) * scale[i]);
      }
    }
    const double found = distance(values_at(prediction->base, runs), numbers);
    if (found >= least) continue;
    least = found;
    best = candidate;
  }
  return best;
}

// Finds the rule that misses least, and how many that are.
void Search::fit_rule(WeightRelation& relation) const {
  const std::span<const std::byte> actual = in_b(relation.b).bytes;
  QuantisedPrediction prediction = quantised_prediction(a_.model(), b_, relation);
  const std::vector<Quantisation> rules = rules_for(prediction.quantisation);
  const auto try_rule = [&](const Quantisation& rule) {
    prediction.quantisation = rule;
    return misses_of(prediction, actual);
  };
  const auto take = [&](const Quantisation& rule, uint64_t wrong) {
    relation.quantised.how = rule;
    relation.wrong = wrong;
  };
  const Misses first = try_rule(rules[0]);
  take(rules[0], first.count);
  if (first.count == 0) return;
  Quantisation best = rules[0];
  uint64_t fewest = first.places.size();
  const auto consider = [&](const Quantisation& rule) {
    prediction.quantisation = rule;
    const uint64_t misses = misses_at(first.places, prediction, actual);
    if (misses >= fewest) return;
    fewest = misses;
    best = rule;
  };
  for (const Quantisation& rule : rules) consider(rule);
  const QuantisedLayout& layout = prediction.layout;
  if (layout.is_signed) {  // symmetric quantisers leave out the lowest number
    Quantisation rule = best;
    rule.low = -(int64_t{1} << (layout.bits - 1)) + 1;
    consider(rule);
  }
  if (best == rules[0]) return;
  const Misses second = try_rule(best);
  if (second.count < first.count) take(best, second.count);
}

std::optional<WeightRelation> Search::find_quantised(const QuantisedWeight& weight) const {
  const std::optional<Candidate> base =
      nearest(weight, candidates(shape_of_base(b_, weight), in_b(weight.tensor)));
  if (!base) return std::nullopt;
  WeightRelation relation;
  relation.kind = Kind::kQuantised;
  relation.a = base->tensor;
  relation.b = weight.tensor;
  relation.transposed = base->transposed;
  relation.quantised = weight;
  const QuantisedLayout layout = quantised_prediction(a_.model(), b_, relation).layout;
  relation.elements = layout.rows * layout.cols;
  fit_rule(relation);
  return relation;
}

// Elements of `to` that are not those of the matrix `from`, rounded to its type.
uint64_t cast_misses(const MatrixView& from, const TensorRef& to) {
  Prediction prediction;
  prediction.dtype = to.dtype;
  prediction.rows = from.rows;
  prediction.cols = from.cols;
  prediction.base = from;
  Predictor predictor(prediction);
  const size_t size = float_format(to.dtype)->size;
  Stretches stretches(from.rows, from.cols, size);
  std::vector<std::byte> predicted(stretches.size_bytes());
  uint64_t misses = 0;
  while (const std::optional<Stretch> stretch = stretches.next()) {
    predictor.predict(*stretch, predicted.data());
    const auto count = static_cast<size_t>(stretch->rows * stretch->cols);
    const std::byte* actual =
        to.bytes.data() + static_cast<size_t>(stretch->row * from.cols + stretch->col) * size;
    if (std::memcmp(predicted.data(), actual, count * size) == 0) continue;
    for (size_t i = 0; i < count; ++i)
      misses += std::memcmp(predicted.data() + i * size, actual + i * size, size) == 0 ? 0 : 1;
  }
  return misses;
}

// A cast changes no number by much; of its elements, converters that clamp change few.
std::optional<WeightRelation> Search::find_cast(int32_t tensor) const {
  constexpr uint64_t kFew = 64;  // one of so many elements
  const TensorRef& to = in_b(tensor);
  const std::vector<int64_t> shape = without_ones(to.shape);
  const uint64_t rows = shape.empty() ? 1 : static_cast<uint64_t>(shape[0]);
  const uint64_t elements = *element_count(shape);
  if (elements == 0) return std::nullopt;
  const MatrixView whole{to.bytes, to.dtype, rows, elements / rows, false};
  const std::vector<Run> runs = runs_of(whole.rows, whole.cols);
  const std::vector<double> numbers = values_at(whole, runs);
  for (const Candidate& candidate : candidates(shape, to)) {
    const TensorRef& from = in_a(candidate.tensor);
    if (from.dtype == to.dtype && !candidate.transposed) continue;
    const MatrixView view{from.bytes, from.dtype, whole.rows, whole.cols, candidate.transposed};
    const double found = distance(values_at(view, runs), numbers);
    if (found > 1e-4 && !std::isinf(found)) continue;
    const uint64_t wrong = cast_misses(view, to);
    const bool is_cast = from.dtype != to.dtype;
    if (wrong > (is_cast ? elements / kFew : 0)) continue;
    WeightRelation relation;
    relation.kind = is_cast ? Kind::kCast : Kind::kTransposed;
    relation.a = candidate.tensor;
    relation.b = tensor;
    relation.transposed = candidate.transposed;
    relation.elements = elements;
    relation.wrong = wrong;
    return relation;
  }
  return std::nullopt;
}

}  // namespace

WeightIndex::WeightIndex(const ScannedModel& model) : model_(model) {
  for (size_t t = 0; t < model.tensors.size(); ++t) {
    const TensorRef& tensor = model.tensors[t];
    if (!holds_floats(tensor) || tensor.bytes.empty()) continue;
    by_shape_[without_ones(tensor.shape)].push_back(static_cast<int32_t>(t));
    by_name_.emplace(tensor.name, static_cast<int32_t>(t));
  }
}

int32_t WeightIndex::namesake(std::string_view name) const {
  constexpr int kMostSteps = 16;  // names between it and `name`
  auto at = by_name_.upper_bound(name);
  for (int step = 0; step < kMostSteps && at != by_name_.begin(); ++step) {
    --at;
    if (name.starts_with(at->first) && !at->first.empty()) return at->second;
  }
  return kAbsent;
}

const std::vector<int32_t>& WeightIndex::of_shape(const std::vector<int64_t>& shape) const {
  static const std::vector<int32_t> none;
  const auto found = by_shape_.find(shape);
  return found == by_shape_.end() ? none : found->second;
}

std::vector<WeightRelation> find_relations(const WeightIndex& a, const ScannedModel& b,
                                           const ComputeGraph& graph,
                                           const RelationOptions& options) {
  struct Job {
    int32_t tensor;
    std::optional<QuantisedWeight> quantised;
    std::optional<WeightRelation> found;
  };
  std::vector<Job> jobs;
  const auto is_wanted = [&](int32_t tensor) {
    const uint64_t bytes = b.tensors[static_cast<size_t>(tensor)].bytes.size();
    return bytes > 0 && bytes >= options.min_bytes && (!options.wanted || options.wanted(tensor));
  };
  for (const QuantisedWeight& weight : quantised_weights(graph, b)) {
    if (weight.scale != kAbsent && is_wanted(weight.tensor))
      jobs.push_back({weight.tensor, weight, {}});
  }
  for (size_t t = 0; t < b.tensors.size(); ++t) {
    const auto tensor = static_cast<int32_t>(t);
    if (holds_floats(b.tensors[t]) && is_wanted(tensor)) jobs.push_back({tensor, {}, {}});
  }
  const Search search(a, b, std::max<uint64_t>(16, kMostTried / (jobs.size() + 1)));
  // The largest first, so that no thread is left with it at the end.
  std::stable_sort(jobs.begin(), jobs.end(), [&](const Job& x, const Job& y) {
    const auto bytes = [&](const Job& job) {
      return b.tensors[static_cast<size_t>(job.tensor)].bytes.size();
    };
    return bytes(x) > bytes(y);
  });
  parallel_for(jobs.size(), thread_count(options.threads), [&](size_t i) {
    Job& job = jobs[i];
    job.found =
        job.quantised ? search.find_quantised(*job.quantised) : search.find_cast(job.tensor);
  });
  std::vector<WeightRelation> result;
  for (Job& job : jobs) {
    if (job.found) result.push_back(std::move(*job.found));
  }
  std::sort(result.begin(), result.end(),
            [](const WeightRelation& x, const WeightRelation& y) { return x.b < y.b; });
  return result;
}

QuantisedPrediction quantised_prediction(const ScannedModel& a, const ScannedModel& b,
                                         const WeightRelation& relation) {
  const std::optional<QuantisedPrediction> prediction = prediction_of(
      b, relation.quantised, a.tensors[static_cast<size_t>(relation.a)], relation.transposed);
  if (!prediction) throw Error(ErrorCode::kInvalid, "a relation of tensors that do not fit");
  return *prediction;
}

FormError cast_error(const TensorRef& base, const TensorRef& cast, bool transposed) {
  constexpr uint64_t kRows = 32, kCols = 128;
  const std::vector<int64_t> shape = without_ones(cast.shape);
  const uint64_t rows = shape.empty() ? 1 : static_cast<uint64_t>(shape[0]);
  const uint64_t elements = *element_count(shape);
  if (elements == 0) return {};
  const MatrixView from{base.bytes, base.dtype, rows, elements / rows, transposed};
  const MatrixView to{cast.bytes, cast.dtype, rows, elements / rows, false};
  std::vector<double> x(kRows * kCols), y(kRows * kCols);
  FormError sums;
  for (uint64_t row = 0; row < rows; row += kRows) {
    for (uint64_t col = 0; col < from.cols; col += kCols) {
      const Block block{row, std::min(kRows, rows - row), col, std::min(kCols, from.cols - col)};
      read_block(from, block, block.cols, x.data());
      read_block(to, block, block.cols, y.data());
      for (size_t i = 0; i < block.rows * block.cols; ++i) {
        sums.square += x[i] * x[i];
        sums.square_error += x[i] == y[i] ? 0 : (y[i] - x[i]) * (y[i] - x[i]);
      }
    }
  }
  return sums;
}

}  // namespace wshare

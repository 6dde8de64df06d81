#include "compare/compare.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <map>
#include <memory>
#include <utility>

#include "compare/counterparts.h"
#include "compare/low_rank/blas.h"
#include "util/parallel.h"

namespace wshare {
namespace {

BypassedGraph bypass_pairs(const ScannedModel& model) {
  BypassedGraph result;
  result.graph = build_graph(model);
  result.lora = find_lora_modules(result.graph, model);
  bypass(result.graph, result.lora);
  return result;
}

// Tells `progress` of the bytes of `model` that have been read.
ReadProgress progress_of(const ScannedModel& model, const ProgressFn& progress) {
  if (!progress) return [](uint64_t) {};
  uint64_t total = 0;
  for (const TensorRef& tensor : model.tensors) total += tensor.bytes.size();
  auto done = std::make_shared<std::atomic<uint64_t>>(0);
  return [done, total, &progress](uint64_t bytes) { progress("comparing", *done += bytes, total); };
}

uint64_t bits_of(double number) { return std::bit_cast<uint64_t>(number); }

// A pair that both models have, with one scaling, is an ordinary part of them: its factors lie at
// the same place.
void keep_one_sided(ModelComparison& comparison) {
  std::vector<LoraModule> only_a, only_b;
  std::multimap<std::pair<int32_t, uint64_t>, size_t> of_b;  // by node and scaling
  for (size_t m = 0; m < comparison.lora_b.size(); ++m)
    of_b.emplace(std::pair(comparison.lora_b[m].base_node, bits_of(comparison.lora_b[m].scaling)),
                 m);
  for (LoraModule& module : comparison.lora_a) {
    const int32_t base = comparison.alignment.node_of_a[static_cast<size_t>(module.base_node)];
    const auto found = of_b.lower_bound({base, bits_of(module.scaling)});
    if (base == kAbsent || found == of_b.end() ||
        found->first != std::pair(base, bits_of(module.scaling))) {
      only_a.push_back(std::move(module));
      continue;
    }
    const LoraModule* const other = &comparison.lora_b[found->second];
    const auto tensor_of = [](const ComputeGraph& graph, int32_t value) {
      return graph.values[static_cast<size_t>(value)].tensor;
    };
    for (const auto& [in_a, in_b] :
         {std::pair{module.a, other->a}, std::pair{module.b, other->b}}) {
      comparison.alignment.places.push_back(
          {tensor_of(comparison.graph_a, in_a), tensor_of(comparison.graph_b, in_b), false});
    }
    of_b.erase(found);
  }
  std::vector<size_t> left;
  for (const auto& [key, m] : of_b) left.push_back(m);
  std::sort(left.begin(), left.end());
  for (const size_t m : left) only_b.push_back(std::move(comparison.lora_b[m]));
  comparison.lora_a = std::move(only_a);
  comparison.lora_b = std::move(only_b);
}

// Says what a pair of different tensors at one place is. Returns the factors of a low rank.
LowRankFactors look_into(const TensorRef& a, const TensorRef& b, const DeltaOptions& options,
                         TensorMatch& match) {
  if (!holds_floats(a) || !holds_floats(b)) return {};
  if (a.dtype != b.dtype && a.shape == b.shape && !match.transposed) {
    match.cast = compare_cast(a, b);
    if (match.cast != CastResult::kDiffer) {
      match.tensor_class = TensorClass::kCast;
      return {};
    }
  }
  const std::optional<MatrixView> of_a = matrix_of(a);
  std::optional<MatrixView> of_b = matrix_of(b);
  if (!of_a || !of_b) return {};
  if (match.transposed) of_b = transpose_of(*of_b);
  if (of_a->rows != of_b->rows || of_a->cols != of_b->cols) return {};
  DeltaAnalysis analysis = analyze_delta(*of_a, *of_b, options);
  if (analysis.report.kind == DeltaKind::kLowRank) match.tensor_class = TensorClass::kLowRank;
  match.delta = std::move(analysis.report);
  return std::move(analysis.factors);
}

void look_into_quantized(const QuantizedSide& a, const QuantizedSide& b, TensorMatch& match) {
  const TensorRef& in_a = a.model.tensors[static_cast<size_t>(match.a)];
  const TensorRef& in_b = b.model.tensors[static_cast<size_t>(match.b)];
  if (in_a.shape != in_b.shape || match.transposed) return;
  match.quantized = compare_quantized(a, match.a, b, match.b);
}

void look_into_replaced(const ScannedModel& a, const ScannedModel& b, const CompareOptions& options,
                        ModelComparison& comparison) {
  std::vector<TensorMatch>& matches = comparison.tensors;
  std::vector<TensorMatch*> jobs;
  for (TensorMatch& match : matches) {
    if (match.tensor_class == TensorClass::kReplaced) jobs.push_back(&match);
  }
  const auto bytes_of = [&](const TensorMatch* match) {
    return b.tensors[static_cast<size_t>(match->b)].bytes.size();
  };
  // The largest first, so that no thread is left with it at the end.
  std::stable_sort(jobs.begin(), jobs.end(), [&](const TensorMatch* x, const TensorMatch* y) {
    return bytes_of(x) > bytes_of(y);
  });
  uint64_t total = 0;
  for (const TensorMatch* job : jobs) total += bytes_of(job);
  std::atomic<uint64_t> done = 0;
  const QuantizedSide side_a(comparison.graph_a, a), side_b(comparison.graph_b, b);
  auto threads = static_cast<unsigned>(
      std::min<size_t>(thread_count(options.threads), std::max<size_t>(1, jobs.size())));
  std::optional<blas::SingleThreaded> single_threaded;
  if (options.delta.svd && !jobs.empty()) threads = single_threaded.emplace(threads).callers();
  parallel_for(jobs.size(), threads, [&](size_t i) {
    TensorMatch& match = *jobs[i];
    LowRankFactors factors =
        look_into(a.tensors[static_cast<size_t>(match.a)], b.tensors[static_cast<size_t>(match.b)],
                  options.delta, match);
    if (!match.delta) look_into_quantized(side_a, side_b, match);
    if (options.on_low_rank && match.tensor_class == TensorClass::kLowRank) {
      options.on_low_rank(static_cast<size_t>(jobs[i] - matches.data()), match, std::move(factors));
    }
    if (options.progress) options.progress("differences", done += bytes_of(jobs[i]), total);
  });
}

bool is_small(const TensorMatch& match, const ScannedModel& a, const ScannedModel& b,
              uint64_t min_bytes) {
  const TensorRef& tensor = match.b != kAbsent ? b.tensors[static_cast<size_t>(match.b)]
                                               : a.tensors[static_cast<size_t>(match.a)];
  return tensor.bytes.size() < min_bytes;
}

}  // namespace

ComparisonBase::ComparisonBase(const ScannedModel& model, unsigned threads,
                               const ProgressFn& progress)
    : skeleton_(model.file.skeleton()),
      bypassed_(bypass_pairs(model)),
      contents_(model, thread_count(threads), progress_of(model, progress)),
      side_(bypassed_.graph, model, contents_.numbers()) {}

ModelComparison compare_models(const ComparisonBase& base, const ScannedModel& b,
                               const CompareOptions& options) {
  const ScannedModel& a = base.model();
  const AlignSide& side_a = base.side();
  BypassedGraph bypassed = bypass_pairs(b);
  ModelComparison comparison{base.graph(),
                             std::move(bypassed.graph),
                             side_a.contents,
                             base.contents().numbers_of(b, thread_count(options.threads),
                                                        progress_of(b, options.progress)),
                             {},
                             base.lora(),
                             std::move(bypassed.lora),
                             {},
                             {},
                             {},
                             0};
  const AlignSide side_b(comparison.graph_b, b, comparison.contents_b);
  comparison.alignment = align(side_a, side_b);
  comparison.steps = comparison.alignment.steps;
  keep_one_sided(comparison);
  comparison.branches_a =
      find_adapter_branches(comparison.graph_a, a, comparison.alignment.node_of_a);
  comparison.branches_b =
      find_adapter_branches(comparison.graph_b, b, comparison.alignment.node_of_b);
  find_counterparts(side_a, side_b, comparison);
  std::erase_if(comparison.tensors,
                [&](const TensorMatch& match) { return is_small(match, a, b, options.min_bytes); });
  look_into_replaced(a, b, options, comparison);
  return comparison;
}

const char* text_of(TensorClass tensor_class) {
  switch (tensor_class) {
    case TensorClass::kSame:
      return "same";
    case TensorClass::kRenamed:
      return "renamed";
    case TensorClass::kTransposed:
      return "transposed";
    case TensorClass::kCast:
      return "cast";
    case TensorClass::kQuantised:
      return "quantised";
    case TensorClass::kLowRank:
      return "low_rank";
    case TensorClass::kLora:
      return "lora";
    case TensorClass::kReplaced:
      return "replaced";
    case TensorClass::kAdded:
      return "added";
    case TensorClass::kRemoved:
      return "removed";
  }
  return "";
}

}  // namespace wshare

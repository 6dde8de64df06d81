#include "inspect/low_rank_estimate.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "compare/align.h"
#include "compare/graph.h"
#include "compare/lora_modules.h"
#include "compare/low_rank/blas.h"
#include "compare/low_rank/low_rank.h"
#include "compare/low_rank/matrix.h"
#include "format/matrix.h"
#include "util/parallel.h"
#include "wshare/error.h"

// Problem: would extract-lora make small adapters of these models? Its own answer takes an SVD of
// every difference.
//
// Idea: rows of a matrix of low rank have that low rank, too. So 192 rows that follow the first
// difference tell the rank of a whole weight, unless it is larger than about 150, and their
// roundings are as large as those of all rows. Which weights belong together is what diff's
// alignment of the two graphs says; it takes the contents that are numbered already and reads no
// weights.
//
// Cost: one alignment per model, and 192 rows of each weight that differs.

namespace wshare {
namespace {

constexpr uint64_t kSampledRows = 192;
// Of the weight's bytes, measured (docs/design.md, "LoRA"): 1.8 % in 32 bits, 3.6 to 8 % in 16.
constexpr double kResidualOf16Bits = 0.06, kResidualOf32Bits = 0.02;

// A weight of a task at the place of another one of the base.
struct Candidate {
  size_t task = 0;
  const TensorRef* base = nullptr;
  const TensorRef* weight = nullptr;
  uint32_t content = 0;  // of the task's
  std::optional<int64_t> rank;
};

// Numbers the contents of each model's tensors, also of those that stay inline.
std::vector<std::vector<int64_t>> content_numbers(const Draft& draft, unsigned threads) {
  std::vector<Bytes> stay;
  for (size_t m = 0; m < draft.models.size(); ++m) {
    for (size_t t = 0; t < draft.models[m].tensors.size(); ++t) {
      if (draft.planned[m].tensors[t].reason) stay.push_back(draft.models[m].tensors[t].bytes);
    }
  }
  const Contents inline_contents = find_distinct(stay, threads);
  std::vector<std::vector<int64_t>> numbers(draft.models.size());
  size_t next = 0;
  for (size_t m = 0; m < draft.models.size(); ++m) {
    for (size_t t = 0; t < draft.models[m].tensors.size(); ++t) {
      const PlanTensor& planned = draft.planned[m].tensors[t];
      const size_t number = planned.reason
                                ? draft.contents.contents.size() + inline_contents.of_tensor[next++]
                                : planned.content;
      numbers[m].push_back(static_cast<int64_t>(number));
    }
  }
  return numbers;
}

bool may_differ_by_low_rank(const TensorRef& a, const TensorRef& b) {
  return holds_floats(a) && holds_floats(b) && a.dtype == b.dtype && a.shape == b.shape &&
         matrix_of(a);
}

// True if some weight of `task` may be one of `base` changed: the graphs are worth aligning.
bool have_pairs(const ScannedModel& base, const ScannedModel& task,
                const std::vector<int64_t>& base_contents,
                const std::vector<int64_t>& task_contents) {
  const std::set<int64_t> known(base_contents.begin(), base_contents.end());
  std::set<std::pair<int32_t, std::vector<int64_t>>> forms;
  for (const TensorRef& tensor : base.tensors) {
    if (matrix_of(tensor)) forms.emplace(tensor.dtype, tensor.shape);
  }
  for (size_t t = 0; t < task.tensors.size(); ++t) {
    const TensorRef& tensor = task.tensors[t];
    if (known.count(task_contents[t]) == 0 && forms.count({tensor.dtype, tensor.shape}) != 0) {
      return true;
    }
  }
  return false;
}

ComputeGraph graph_without_pairs(const ScannedModel& model) {
  ComputeGraph graph = build_graph(model);
  bypass(graph, find_lora_modules(graph, model));
  return graph;
}

std::vector<Candidate> candidates_of(const Draft& draft, size_t task, const AlignSide& base,
                                     const std::vector<int64_t>& contents) {
  const ScannedModel& model = draft.models[task];
  const ComputeGraph graph = graph_without_pairs(model);
  std::set<std::pair<int32_t, int32_t>> seen;
  std::vector<Candidate> candidates;
  for (const OperandPair& place : align(base, {graph, model, contents}).places) {
    const auto a = static_cast<size_t>(place.a), b = static_cast<size_t>(place.b);
    if (place.transposed || draft.planned[task].tensors[b].reason) continue;
    if (base.contents[a] == contents[b] || !seen.emplace(place.a, place.b).second) continue;
    const TensorRef& of_base = base.model->tensors[a];
    if (!may_differ_by_low_rank(of_base, model.tensors[b])) continue;
    candidates.push_back(
        {task, &of_base, &model.tensors[b], draft.planned[task].tensors[b].content, {}});
  }
  return candidates;
}

// Returns the rank of the difference as some of its rows have it, or nothing if it is not low.
std::optional<int64_t> sampled_rank(const TensorRef& base, const TensorRef& weight) {
  MatrixView a = *matrix_of(base), b = *matrix_of(weight);
  const size_t row_bytes = a.bytes.size() / static_cast<size_t>(a.rows);
  uint64_t first = 0;
  while (first + 1 < a.rows && std::memcmp(a.bytes.data() + first * row_bytes,
                                           b.bytes.data() + first * row_bytes, row_bytes) == 0) {
    ++first;
  }
  const uint64_t rows = std::min(kSampledRows, a.rows);
  first = std::min(first, a.rows - rows);
  for (MatrixView* view : {&a, &b}) {
    view->bytes = view->bytes.subspan(static_cast<size_t>(first * row_bytes),
                                      static_cast<size_t>(rows * row_bytes));
    view->rows = rows;
  }
  const DeltaReport report = analyze_delta(a, b, {}).report;
  return report.kind == DeltaKind::kLowRank ? std::optional(report.rank) : std::nullopt;
}

void find_ranks(std::vector<Candidate>& candidates, unsigned threads) {
  if (candidates.empty()) return;
  const blas::SingleThreaded single_threaded(
      static_cast<unsigned>(std::min<size_t>(threads, candidates.size())));
  parallel_for(candidates.size(), single_threaded.callers(), [&](size_t i) {
    candidates[i].rank = sampled_rank(*candidates[i].base, *candidates[i].weight);
  });
}

std::vector<Candidate> find_candidates(const Draft& draft, size_t base, unsigned threads) {
  const std::vector<std::vector<int64_t>> contents = content_numbers(draft, threads);
  const ComputeGraph graph = graph_without_pairs(draft.models[base]);
  const AlignSide side(graph, draft.models[base], contents[base]);
  std::vector<std::vector<Candidate>> of_model(draft.models.size());
  parallel_for(draft.models.size(), threads, [&](size_t m) {
    const bool worth_it =
        m != base && have_pairs(draft.models[base], draft.models[m], contents[base], contents[m]);
    if (worth_it) of_model[m] = candidates_of(draft, m, side, contents[m]);
  });
  std::vector<Candidate> all;
  for (std::vector<Candidate>& some : of_model) all.insert(all.end(), some.begin(), some.end());
  return all;
}

// Adds a weight of low rank to what is known of its task.
void add(const Draft& draft, const Candidate& candidate, ExtractEstimate& estimate,
         Findings& findings) {
  const MatrixView view = *matrix_of(*candidate.weight);
  const std::string& task = draft.inputs[candidate.task].name;
  if (estimate.tasks.empty() || estimate.tasks.back().model != task) {
    estimate.tasks.push_back({task, 0, 0, 0, 0, 0});
  }
  ExtractableTask& entry = estimate.tasks.back();
  const uint64_t bytes = view.bytes.size();
  const uint64_t element_bytes = bytes / (view.rows * view.cols);
  const uint64_t adapter =
      static_cast<uint64_t>(*candidate.rank) * (view.rows + view.cols) * element_bytes;
  const auto residual = static_cast<uint64_t>(
      static_cast<double>(bytes) * (element_bytes == 2 ? kResidualOf16Bits : kResidualOf32Bits));
  ++entry.weights;
  entry.bytes += bytes;
  entry.adapter_bytes += adapter;
  entry.residual_bytes += residual;
  entry.largest_rank = std::max(entry.largest_rank, *candidate.rank);
  if (bytes <= adapter + residual) return;
  estimate.saved_bytes += bytes - adapter - residual;
  findings.add("WS021", {{task, candidate.weight->scope, candidate.weight->name},
                         "",
                         bytes - adapter - residual,
                         "rank " + std::to_string(*candidate.rank)});
}

}  // namespace

std::optional<ExtractEstimate> estimate_extraction(const Draft& draft,
                                                   const std::vector<uint64_t>& common_bytes,
                                                   unsigned threads, Findings& findings) {
  if (draft.models.size() < 2) return std::nullopt;
  const auto base = static_cast<size_t>(std::max_element(common_bytes.begin(), common_bytes.end()) -
                                        common_bytes.begin());
  std::vector<Candidate> candidates = find_candidates(draft, base, threads);
  try {
    find_ranks(candidates, threads);
  } catch (const Error&) {  // no OpenBLAS here, or it gives up: an estimate is no reason to fail
    return std::nullopt;
  }
  ExtractEstimate estimate;
  estimate.base = draft.inputs[base].name;
  std::set<uint32_t> counted;  // a content of two tasks is stored once anyway
  for (const Candidate& candidate : candidates) {
    if (!candidate.rank || !counted.insert(candidate.content).second) continue;
    add(draft, candidate, estimate, findings);
  }
  if (estimate.tasks.empty()) return std::nullopt;
  return estimate;
}

}  // namespace wshare

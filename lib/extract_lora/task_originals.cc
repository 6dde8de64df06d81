#include "extract_lora/task_originals.h"

#include <iterator>
#include <utility>

#include "compare/low_rank/matrix.h"

namespace wshare {
namespace {

// True if what serves the task makes this merged weight of the base's and its factors.
bool is_served_by_factors(const ExtractTask& task, size_t index) {
  return !task.model || task.rewritten.count(static_cast<int32_t>(index)) != 0;
}

// A range that holds `view` of stored factors: `in_a` says in which of the two.
DraftMatrix matrix_at(const MatrixView& view, DraftBytes bytes) {
  return {std::move(bytes), view.dtype, view.transposed};
}

// Whether `view` looks at A, not at B.
bool looks_at_a(const StoredFactors& factors, const MatrixView& view) {
  return view.bytes.data() == factors.a.data();
}

// Where the two factors of each weight will lie.
class FactorBytes {
 public:
  FactorBytes(const ExtractTask& task, size_t model_tensors)
      : task_(task), model_tensors_(model_tensors) {}

  DraftMatrix find(int32_t weight, int32_t task_tensor, const StoredFactors& factors,
                   const MatrixView& view) const {
    const bool a = looks_at_a(factors, view);
    const auto rewritten = task_.rewritten.find(task_tensor);
    if (task_.model && rewritten != task_.rewritten.end()) {
      // The tensors that come with the edit follow the model's own: A and B of each in order.
      const auto number = static_cast<size_t>(std::distance(task_.rewritten.begin(), rewritten));
      return matrix_at(view, {*task_.model, model_tensors_ + 2 * number + (a ? 0 : 1), 0, 0});
    }
    return matrix_at(view, in_adapter(weight, a, view.bytes.size()));
  }

  DraftBytes in_adapter(int32_t weight, bool a, uint64_t size) const {
    const auto& [at_a, at_b] = task_.factors_at.at(weight);
    return {std::nullopt, 0, a ? at_a : at_b, size};
  }

 private:
  const ExtractTask& task_;
  size_t model_tensors_;
};

class Originals {
 public:
  Originals(const ExtractTask& task, const ScannedModel& original, const Draft& draft,
            bool has_residual)
      : task_(task),
        original_(original),
        draft_(draft),
        has_residual_(has_residual),
        factors_(task, original.tensors.size()) {}

  std::vector<DraftTaskTensor> run() {
    tensors_.resize(original_.tensors.size());
    uint64_t residual = 0;
    for (const auto& [index, merged] : task_.changes.merged) {
      if (!is_served_by_factors(task_, index)) continue;
      place_merged(index, merged, residual);
      residual += merged.residual.size();
    }
    for (const auto& [index, offset] : task_.vectors_at) place_vector(index, offset);
    if (!task_.model) {
      for (const UnmergedPair& pair : task_.changes.unmerged) {
        place_pair(pair, residual);
        residual += pair.b_residual.size();
      }
    }
    for (size_t t = 0; t < tensors_.size(); ++t) {
      if (!tensors_[t].derivation && !tensors_[t].bytes) tensors_[t] = place_rest(t);
    }
    return std::move(tensors_);
  }

 private:
  bool is_placed(size_t model, int32_t tensor) const {
    return draft_.plan.extents[model][static_cast<size_t>(tensor)].has_value();
  }

  void place_merged(size_t index, const MergedWeight& merged, uint64_t residual) {
    const TaskTensor& tensor = task_.changes.tensors[index];
    if (!is_placed(0, tensor.base)) return;  // small: literal
    DraftDerivation derivation;
    const StoredFactors& factors = merged.factors;
    const FactorViews views = factors.views(tensor.transposed);
    derivation.base = DraftMatrix{
        {0, static_cast<size_t>(tensor.base), 0, 0}, dtype_of(index), tensor.transposed};
    derivation.rank = factors.rank;
    derivation.left = factors_.find(tensor.base, static_cast<int32_t>(index), factors, views.left);
    derivation.right =
        factors_.find(tensor.base, static_cast<int32_t>(index), factors, views.right);
    derivation.residual_offset = residual;
    derivation.residual_size = merged.residual.size();
    derivation.exact = has_residual_ || merged.predicted;
    derivation.relative_error = merged.relative_error;
    derivation.max_abs_error = merged.max_abs_error;
    tensors_[index].derivation = std::move(derivation);
  }

  void place_vector(size_t index, uint64_t offset) {
    if (task_.model) return;
    tensors_[index].bytes = DraftBytes{{}, 0, offset, original_.tensors[index].bytes.size()};
  }

  int32_t dtype_of(size_t tensor) const { return original_.tensors[tensor].dtype; }

  // A and B of an unmerged pair lie in the adapter, B scaled. Of several at one weight, the factor
  // whose ranks are columns there is none of its bytes, and stays literal.
  void place_pair(const UnmergedPair& pair, uint64_t residual) {
    const bool conv = pair.factors.layout == FactorLayout::kConv;
    const auto bytes = [&](bool a, uint64_t size) {
      DraftBytes found = factors_.in_adapter(pair.weight, a, size);
      found.offset += pair.first_rank.value_or(0) * (size / pair.factors.rank);
      return found;
    };
    const auto derive = [&](bool a, const MatrixView& seen) {
      // The adapter holds what the layer reads; a Conv reads it turned. The task stores either.
      DraftDerivation derivation;
      derivation.base =
          DraftMatrix{bytes(a, seen.bytes.size()), seen.dtype, seen.transposed != conv};
      return derivation;
    };
    DraftTaskTensor& a = tensors_[static_cast<size_t>(pair.tensor_a)];
    if (pair.first_rank && !conv) {
      // literal
    } else if (pair.a.transposed == conv) {
      a.bytes = bytes(true, pair.a.bytes.size());
    } else {
      a.derivation = derive(true, pair.a);
    }
    if (pair.first_rank && conv) return;
    DraftTaskTensor& b = tensors_[static_cast<size_t>(pair.tensor_b)];
    b.derivation = derive(false, pair.b);
    b.derivation->multiplier = 1 / pair.scaling;
    b.derivation->residual_offset = residual;
    b.derivation->residual_size = pair.b_residual.size();
    b.derivation->exact = has_residual_ || pair.predicted;
  }

  // Equal to a tensor of the base, its transpose, or only in the task.
  DraftTaskTensor place_rest(size_t t) const {
    DraftTaskTensor placed;
    if (task_.model) {
      if (draft_.plan.extents[*task_.model][t]) placed.bytes = DraftBytes{*task_.model, t, 0, 0};
      return placed;
    }
    const TaskTensor& tensor = task_.changes.tensors[t];
    if (tensor.base == kAbsent || !is_placed(0, tensor.base)) return placed;
    const DraftBytes base{0, static_cast<size_t>(tensor.base), 0, 0};
    if (tensor.tensor_class == TensorClass::kSame || tensor.tensor_class == TensorClass::kRenamed) {
      placed.bytes = base;
    } else if (tensor.tensor_class == TensorClass::kTransposed &&
               matrix_of(original_.tensors[t]).has_value()) {
      placed.derivation.emplace();
      placed.derivation->base = DraftMatrix{base, dtype_of(t), true};
    }
    return placed;
  }

  const ExtractTask& task_;
  const ScannedModel& original_;
  const Draft& draft_;
  bool has_residual_;
  FactorBytes factors_;
  std::vector<DraftTaskTensor> tensors_;
};

}  // namespace

std::vector<DraftTaskTensor> place_originals(const ExtractTask& task, const ScannedModel& original,
                                             const Draft& draft, bool has_residual) {
  if (task.model && task.rewritten.empty()) return {};
  return Originals(task, original, draft, has_residual).run();
}

std::vector<std::span<const std::byte>> residuals_of(const ExtractTask& task) {
  std::vector<std::span<const std::byte>> residuals;
  for (const auto& [index, merged] : task.changes.merged) {
    if (is_served_by_factors(task, index) && !merged.residual.empty())
      residuals.push_back(merged.residual);
  }
  if (task.model) return residuals;
  for (const UnmergedPair& pair : task.changes.unmerged) {
    if (!pair.b_residual.empty()) residuals.push_back(pair.b_residual);
  }
  return residuals;
}

}  // namespace wshare

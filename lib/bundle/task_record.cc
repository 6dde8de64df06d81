#include "bundle/task_record.h"

#include "format/codec/residual.h"
#include "util/parallel.h"

namespace wshare {
namespace {

Extent extent_of(const Draft& draft, const DraftBytes& bytes, const TaskBlobs& blobs) {
  if (bytes.model) return *draft.plan.extents[*bytes.model][bytes.tensor];
  return {*blobs.adapter, bytes.offset, bytes.size};
}

std::optional<MatrixRecord> matrix_record(const Draft& draft,
                                          const std::optional<DraftMatrix>& matrix,
                                          const TaskBlobs& blobs) {
  if (!matrix) return std::nullopt;
  return MatrixRecord{extent_of(draft, matrix->bytes, blobs), matrix->dtype, matrix->transposed};
}

DerivationRecord derivation_record(const Draft& draft, const DraftDerivation& derivation,
                                   const TaskBlobs& blobs) {
  DerivationRecord record;
  record.base = matrix_record(draft, derivation.base, blobs);
  record.multiplier = derivation.multiplier;
  record.rank = derivation.rank;
  record.left = matrix_record(draft, derivation.left, blobs);
  record.right = matrix_record(draft, derivation.right, blobs);
  if (derivation.residual_size > 0) {
    record.residual = {*blobs.residual, derivation.residual_offset, derivation.residual_size};
    record.codec = kLaneCodec;
  }
  record.exact = derivation.exact;
  record.relative_error = derivation.relative_error;
  record.max_abs_error = derivation.max_abs_error;
  return record;
}

}  // namespace

const ScannedModel& original_of(const Draft& draft, const DraftTask& task) {
  return task.original ? *task.original : draft.models[*task.model];
}

TensorExtents extents_of(const Draft& draft, const DraftTask& task, const TaskBlobs& blobs) {
  TensorExtents extents(task.tensors.size());
  for (size_t t = 0; t < task.tensors.size(); ++t) {
    const DraftTaskTensor& tensor = task.tensors[t];
    if (tensor.bytes) extents[t] = extent_of(draft, *tensor.bytes, blobs);
    if (tensor.derivation) extents[t] = Extent{};
  }
  return extents;
}

TaskRecord make_task_record(const Draft& draft, const DraftTask& task, const TaskBlobs& blobs,
                            unsigned threads) {
  TaskRecord record;
  record.name = task.input.name;
  record.base = draft.inputs[task.base].name;
  if (task.model) record.model = draft.inputs[*task.model].name;
  record.adapter = blobs.adapter;
  record.parameters = task.parameters;
  std::vector<size_t> stored;
  for (size_t t = 0; t < task.tensors.size(); ++t) {
    if (task.tensors[t].bytes || task.tensors[t].derivation) stored.push_back(t);
  }
  record.tensors.resize(stored.size());
  const ScannedModel& original = original_of(draft, task);
  parallel_for(stored.size(), threads, [&](size_t i) {
    const TensorRef& tensor = original.tensors[stored[i]];
    const DraftTaskTensor& drafted = task.tensors[stored[i]];
    OriginalTensor& out = record.tensors[i];
    out.scope = tensor.scope;
    out.name = tensor.name;
    out.dtype = tensor.dtype;
    out.shape = tensor.shape;
    out.hash = content_hash(tensor.bytes);
    if (drafted.bytes) out.extent = extent_of(draft, *drafted.bytes, blobs);
    if (drafted.derivation) out.derivation = derivation_record(draft, *drafted.derivation, blobs);
  });
  return record;
}

}  // namespace wshare

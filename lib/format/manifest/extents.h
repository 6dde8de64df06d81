#pragma once

#include <optional>
#include <span>
#include <tuple>

#include "format/manifest/manifest.h"

namespace wshare {

using ExtentKey = std::tuple<uint32_t, uint64_t, uint64_t>;  // an Extent, as a key

inline ExtentKey key_of(const Extent& extent) { return {extent.blob, extent.offset, extent.size}; }

// Calls visit(extent) for every extent that a tensor of `model`, a ModelRecord, lies in.
template <typename Model, typename Visit>
void visit_tensor_extents(Model& model, const Visit& visit) requires requires {
  std::span<const TensorRecord>(model.tensors);
}
{
  for (auto& tensor : model.tensors) visit(tensor.extent);
}

// Calls visit(extent) for every extent that `derivation`, a DerivationRecord, computes from.
template <typename Derivation, typename Visit>
void visit_derivation(Derivation& derivation, const Visit& visit) {
  for (auto* matrix : {&derivation.base, &derivation.left, &derivation.right}) {
    if (*matrix) visit((*matrix)->extent);
  }
  if (derivation.quantised) {
    visit(derivation.quantised->scale.extent);
    if (derivation.quantised->zero) visit(derivation.quantised->zero->extent);
  }
  if (derivation.residual.size > 0) visit(derivation.residual);
  for (auto& step : derivation.then) {
    if (step.residual.size > 0) visit(step.residual);
  }
}

// The same for `task`, a TaskRecord or an ArchivedRecord: also what derived tensors are computed
// from.
template <typename Task, typename Visit>
void visit_tensor_extents(Task& task, const Visit& visit) requires requires {
  std::span<const OriginalTensor>(task.tensors);
}
{
  for (auto& tensor : task.tensors) {
    if (tensor.extent) visit(*tensor.extent);
    if (tensor.derivation) visit_derivation(*tensor.derivation, visit);
  }
}

// The same for `pack`, a PackRecord: also what kernels packed.
template <typename Pack, typename Visit>
void visit_pack_extents(Pack& pack, const Visit& visit) {
  visit_tensor_extents(pack.model, visit);
  for (auto& buffer : pack.buffers) visit(buffer.extent);
}

// Calls visit(extent) for every extent that `record`, of a model, a task or an archived model,
// names: of tensors, its restore record and its graph. The adapter of a task is a whole blob.
template <typename Record, typename Visit>
void visit_extents(Record& record, const Visit& visit) {
  visit_tensor_extents(record, visit);
  if (record.source) visit(record.source->record);
  if constexpr (requires { record.graph; }) visit(record.graph);
}

// The same for all models, tasks, archived models and packs: every extent but gaps.
template <typename Visit>
void visit_extents(Manifest& manifest, const Visit& visit) {
  for (ModelRecord& model : manifest.models) visit_extents(model, visit);
  for (TaskRecord& task : manifest.tasks) visit_extents(task, visit);
  for (ArchivedRecord& model : manifest.archived) visit_extents(model, visit);
  for (PackRecord& pack : manifest.packs) visit_pack_extents(pack, visit);
}

// Calls visit(blob) for every number of a blob that `record`, as in visit_extents(), names by
// itself: adapters, files, what restore records need.
template <typename Record, typename Visit>
void visit_blob_numbers(Record& record, const Visit& visit) {
  if (record.source) {
    for (auto& blob : record.source->blobs) visit(blob);
  }
  if constexpr (requires { record.files; }) {
    for (auto& blob : record.files) visit(blob);
  }
  if constexpr (requires { record.adapter; }) {
    if (record.adapter) visit(*record.adapter);
  }
}

// The same for all models, tasks and archived models.
template <typename Visit>
void visit_blob_numbers(Manifest& manifest, const Visit& visit) {
  for (ModelRecord& model : manifest.models) visit_blob_numbers(model, visit);
  for (TaskRecord& task : manifest.tasks) visit_blob_numbers(task, visit);
  for (ArchivedRecord& model : manifest.archived) visit_blob_numbers(model, visit);
}

}  // namespace wshare

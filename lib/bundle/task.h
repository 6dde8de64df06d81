#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "format/manifest/manifest.h"
#include "model/scan.h"
#include "wshare/models.h"

namespace wshare {

// Bytes that will lie somewhere in the bundle.
struct DraftBytes {
  // A tensor of a model in the draft, numbered as in Draft::planned; none: a range of the adapter.
  std::optional<uint32_t> model;
  size_t tensor = 0;
  uint64_t offset = 0, size = 0;
};

struct DraftMatrix {
  DraftBytes bytes;
  int32_t dtype = 0;
  bool transposed = false;
};

// DerivationRecord, before it is known where things lie.
struct DraftDerivation {
  std::optional<DraftMatrix> base;
  double multiplier = 1;
  uint64_t rank = 0;
  std::optional<DraftMatrix> left, right;
  uint64_t residual_offset = 0, residual_size = 0;  // in DraftTask::residual
  bool exact = true;
  double relative_error = 0, max_abs_error = 0;
};

// What becomes of a tensor of a task's original. Neither: it is literal in the restore record.
struct DraftTaskTensor {
  std::optional<DraftBytes> bytes;
  std::optional<DraftDerivation> derivation;
};

// A task on its way into a bundle. Spans borrow.
struct DraftTask {
  ModelInput input;
  uint32_t base = 0;                     // index in Draft::models
  std::optional<uint32_t> model;         // its own model there
  std::optional<ScannedModel> original;  // of a task without a model of its own
  std::span<const std::byte> adapter;    // the file; empty: none
  std::vector<ParameterRecord> parameters;
  std::vector<std::span<const std::byte>> residual;  // the file, in pieces
  // Parallel to the original's tensors; empty where `model` gives the original back itself.
  std::vector<DraftTaskTensor> tensors;
};

}  // namespace wshare

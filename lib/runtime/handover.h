#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "format/manifest/manifest.h"
#include "wshare/runtime.h"

namespace wshare {

// The tensors of a model's blobs, by who loads them.
struct Handover {
  std::vector<const TensorRecord*> shared;  // taken from the bundle's maps
  std::vector<LeftTensors> left;            // to ONNX Runtime
};

// Counts one more tensor of `bytes` that is left for `reason`.
void add_left(std::vector<LeftTensors>& left, LeftReason reason, uint64_t bytes);

// Returns how many tensors those are.
uint64_t count_left(const std::vector<LeftTensors>& left);

// Returns what a session of `record` takes from the bundle's maps; `model` holds the bytes of its
// .onnx. The pointers lead into `record`.
//
// Throws Error(kInvalid) if the manifest and the model say different things of a tensor.
Handover plan_handover(const std::vector<BlobRecord>& blobs, const ModelRecord& record,
                       std::span<const std::byte> model);

}  // namespace wshare

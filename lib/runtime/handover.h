#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "format/manifest.h"

namespace wshare {

// Returns the tensors that a session of `record` takes from the bundle's maps; `model` holds the
// bytes of its .onnx. The pointers lead into `record`.
//
// Throws Error(kInvalid) if the manifest and the model say different things of a tensor.
std::vector<const TensorRecord*> tensors_to_hand_over(const Manifest& manifest,
                                                      const ModelRecord& record,
                                                      std::span<const std::byte> model);

}  // namespace wshare

#pragma once

#include <onnxruntime_cxx_api.h>

#include <cstddef>
#include <span>
#include <vector>

#include "format/named_tensor.h"

// LoRA factors of rank 0, the defaults that wshare gives a base, have no elements. Kernels of some
// devices end the process with such a factor. Of rank 1 and zeros, they do the same: the product of
// both is zeros.

namespace wshare {

// Returns the inputs of `model` whose default has no elements.
//
// Throws Error(kInvalid) if it is no protobuf message.
std::vector<NamedTensor> empty_inputs(std::span<const std::byte> model);

// Makes a dimension of 0 one of 1 in those of `tensors` that have no elements. Returns the zeros
// that their bytes lie in then.
std::vector<std::byte> fill_empty(std::vector<NamedTensor>& tensors);

// Returns `value`, or zeros in its place if it is a tensor without elements.
Ort::Value fill_empty(Ort::Value value);

}  // namespace wshare

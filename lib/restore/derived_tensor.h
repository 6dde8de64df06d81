#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "format/manifest.h"
#include "util/scratch.h"

namespace wshare {

// Returns the bytes of `tensor`, which has a derivation, in memory of `scratch`. `bytes_of` gives
// the bytes of extents.
//
// Throws Error(kInvalid) if the parts of the derivation do not fit together or the residual is
// damaged.
// Source: docs/bundle-format.md, "Derived tensors".
std::span<const std::byte> derive_tensor(
    const OriginalTensor& tensor,
    const std::function<std::span<const std::byte>(const Extent&)>& bytes_of, Scratch& scratch);

}  // namespace wshare

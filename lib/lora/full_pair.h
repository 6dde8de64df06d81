#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "format/matrix.h"
#include "lora/branch_site.h"

namespace wshare {

// A weight that was trained as a whole, as a pair of factors: one is the difference, the other the
// identity of its shorter side. A branch with them adds what the difference gives, rounded once.
//
// Measured on heads of 768 x 3 to 1024 x 256, with ONNX Runtime 1.32: the base keeps its bits at
// every optimisation level, and takes no longer. The weight as an input loses them at every level
// (kernels sum in another order where they could not pack it before); a branch chosen by If keeps
// them, and saves the identity, but costs each run of the base the choice, and is one of two graphs
// for all that looks into graphs.

// The rank of such a pair for a weight [rows, cols].
inline uint64_t full_rank(uint64_t rows, uint64_t cols) { return rows < cols ? rows : cols; }

// Writes A and B, of element type `dtype`, that turn `from` into `to`. Both are the stored weight
// of a site with this layout, [rows, cols]; `a` and `b` have the bytes of its shapes with that
// rank.
void write_full_pair(const MatrixView& from, const MatrixView& to, FactorLayout layout,
                     int32_t dtype, std::span<std::byte> a, std::span<std::byte> b);

}  // namespace wshare

#pragma once

#include <cstdint>

#include "format/named_tensor.h"
#include "util/scratch.h"

namespace wshare {

// A matrix [rows, cols] of stored tensors; all dimensions of one behind its second are cols, too.
struct StoredMatrix {
  // The matrix itself, or that whose product with `down` it is: [rows, rank].
  NamedTensor up;
  NamedTensor down;  // [rank, cols]; without a name where `up` is the matrix
  // Without a name, or [rank, rank, kernel ...]: the weight of a convolution in Tucker's form,
  //   sum over i, j of up[row, i] · core[i, j, kernel] · down[j, in]
  NamedTensor core;
  bool up_turned = false;  // `up` is stored as [rank, rows]
};

// What a weight changes by, as LyCORIS stores it.
struct LowRankProduct {
  enum class How {
    kFirst,      // it is `first`
    kHadamard,   // LoHa: element by element
    kKronecker,  // LoKr: each element of `first` times all of `second`
  };
  How how = How::kFirst;
  StoredMatrix first, second;
};

struct LowRankSize {
  uint64_t rows = 0, cols = 0, rank = 0;
};

// Returns the size of `product`, and the rank at which a pair of factors is the same: that of a
// product is the product of ranks, which holds exactly.
//
//   (U1 · D1) ∘ (U2 · D2)  rows of U: u1 ⊗ u2    columns of D: d1 ⊗ d2
//   (U1 · D1) ⊗ (U2 · D2)  U = U1 ⊗ U2           D = D1 ⊗ D2
//
// Where that is not below both sides, it is the shorter side: the pair is the matrix itself and an
// identity, like that of a head (lora/full_pair.h).
//
// Throws Error(kInvalid) if tensors are of no float type or their shapes do not fit together.
LowRankSize size_of(const LowRankProduct& product);

// The two factors: U [rows, rank] and D [rank, cols], float64.
struct ProductFactors {
  NamedTensor up, down;
};

// Returns the factors of `product`; their bytes lie in `scratch`. Values are products of stored
// ones, and with a core sums of such, computed in double.
ProductFactors factors_of(const LowRankProduct& product, Scratch& scratch);

}  // namespace wshare

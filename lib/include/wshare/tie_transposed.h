#pragma once

#include <cstdint>
#include <string>

namespace wshare {

// Whether of two weights that are the transpose of each other one is stored, and what reads the
// other takes that one transposed.
enum class TieTransposed {
  kNever,
  kFused,          // MatMul becomes FusedMatMul of com.microsoft: no session has a copy
  kTransposeNode,  // a Transpose stands before the MatMul: each session folds it into a copy
};

// A pair of such weights. Gemm reads a weight either way itself.
struct TransposedPair {
  std::string model, tensor;        // that is stored as the other, turned
  std::string of_model, of_tensor;  // empty model: of the bundle that it is added to
  uint64_t bytes = 0;
  std::string why_not;  // not empty: both are stored
};

}  // namespace wshare

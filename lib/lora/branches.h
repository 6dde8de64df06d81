#pragma once

#include <vector>

#include "lora/branch_site.h"

namespace onnx {
class ModelProto;
class TensorProto;
}  // namespace onnx

namespace wshare {

// A LoRA branch for one weight:
//
//   x ─┬─ layer(W) ─ [Add bias] ─ <y>_before_lora ─┬─ Add ─ y
//      └─ MatMul(A) ─ MatMul(B) ───────────────────┘
//
// The layers compute as if their weight were W + A · B (see BranchSite::layout). A scale is to be
// in B already. A and B have the type of the site and these shapes:
//
//   MatMul, Gemm:  A [in, r]            B [r, out]
//   Gather:        A [rows, r]          B [r, width]
//   Conv:          A [r, in, kernel]    B [out, r, 1 ...]
//
// A layer that reads the weight the other way round than the first (tied weights) takes the
// transposes of both, made by nodes in the graph.
//
// Two branches must not share the name of their dynamic dimension, `rank_name`: ONNX Runtime takes
// memory of equal size for granted where dimensions have one name, and fails when ranks differ
// ("Shape mismatch attempting to re-use buffer"), also when one rank is the default.
struct Branch {
  BranchSite site;  // A and B get its `names`
  // Constants; none: A and B become inputs of the model, with defaults that leave the outputs as
  // they are. Bytes and external references are copied as they stand, names are not.
  const onnx::TensorProto* a = nullptr;
  const onnx::TensorProto* b = nullptr;
};

// Puts the branches into `model`, which has their sites. New nodes stand right behind the
// layer; no other node moves, and every value that the model had keeps its name and meaning.
//
// With the defaults the sum is y + 0: the same bits but for -0, which becomes +0, and for Conv,
// where 0 · x is NaN if x is infinite.
// Throws Error(kInvalid) if a name is taken or a site is not there, Error(kUnsupported) if its
// `no_inputs` speaks against inputs.
void add_branches(onnx::ModelProto& model, const std::vector<Branch>& branches);

}  // namespace wshare

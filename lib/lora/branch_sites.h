#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "format/session_inputs.h"
#include "lora/branch_site.h"
#include "model/scan.h"

namespace wshare {

// A weight that cannot have a branch.
struct LeftWeight {
  int32_t tensor = -1;  // none for weights that are no float matrices
  std::string name;
  std::vector<std::string> paths;  // that its module may have
  std::string reason;              // "is quantized: is read by MatMulNBits '/q/MatMul_Q4'"
};

// Where a model can have LoRA branches, or has them, and what else tasks may give it.
struct BranchSites {
  std::vector<BranchSite> sites;  // by tensor
  std::vector<LeftWeight> left;
  SessionInputs inputs;  // of the model, tensors only; "" in symbols where a dimension has no name
  // Inputs without a default that are float matrices with one free dimension, and only MatMul,
  // Transpose and Gather read them as a factor: at rank 0 they add nothing.
  std::set<std::string> needed_factors;
  // Biases and weights of normalisations that may become inputs of the model, with what they hold
  // as default: float32 vectors that only Add, Mul, Gemm and LayerNormalization read. ONNX Runtime
  // makes the same graph of both, with the same bits (measured on MiniLM and T5; not so in
  // float16, where its optimisers fold constants through Casts).
  std::set<int32_t> vectors;

  // The site of `tensor`, or null.
  const BranchSite* find(int32_t tensor) const;

  // Why the float matrix `tensor` has no site; "" of all others.
  std::string reason_against(int32_t tensor) const;
};

// True if the bytes of `tensor`, a vector, may be given from outside. Few of them stay in the file
// whatever they are, which speaks against nothing.
bool may_travel(const TensorRef& tensor);

// Looks at the weights of `model`: every float tensor of two dimensions or more, the weights of
// MatMulNBits, float32 vectors, and other weights that are read as quantized.
BranchSites find_branch_sites(const ScannedModel& model);

}  // namespace wshare

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace wshare {

// How A and B lie in an adapter for a weight [rows, cols] of the base.
enum class FactorLayout {
  kInOut,  // a layer computes x · W: A is left, B is right
  kOutIn,  // a layer computes x · W^T: A is the transpose of right, B of left
  kConv,   // A is right as weights of a Conv, B is left as weights of a 1x1 Conv
};

// The names of a branch, as Olive and onnxruntime-genai write them.
struct BranchNames {
  std::string path;       // of the module, or that with _2, _3, ... where others have it
  std::string a, b;       // <path>.lora_A.weight, <path>.lora_B.weight
  std::string rank_name;  // <path>.lora_r
};

// A weight of a model that can have a LoRA branch, or has one, and how the branch goes there.
struct BranchSite {
  int32_t tensor = -1;  // in ScannedModel::tensors
  std::string scope, name;
  std::string path;  // of its module, as the exporter left it; the weight's name where it left none

  // A · B is added to the stored weight, or to its transpose (kOutIn). It is what the first layer
  // with an input (MatMul, Gemm) reads as [in, out]; of an embedding the table [rows, width]; of a
  // Conv always the stored weight, as the matrix B · A [out, in x kernel].
  FactorLayout layout{};
  int32_t dtype = 0;                      // that the layers read, after a Cast: the type of A and B
  std::vector<int64_t> a_shape, b_shape;  // -1 stands for the rank
  // ONNX Runtime 1.29 does not write the result of a Conv over zero channels: there the
  // default is rank 1 of zeros. Elsewhere 0.
  int64_t default_rank = 0;

  size_t layers = 0;      // that read it
  bool is_table = false;  // of an embedding: only Gather reads it
  std::string no_inputs;  // why A and B can be constants but no inputs, or empty
  // Why its layers are not one module that is used once or more, or empty: an adapter changes one
  // module, a branch changes all readers of the weight.
  std::string several_modules;

  BranchNames names;                  // for a branch: new to the model
  std::optional<BranchNames> branch;  // of the one that the model has; without a rank_name

  // The names under which the model takes A and B, or would.
  const BranchNames& inputs() const { return branch ? *branch : names; }
};

// Returns `shape` with `rank` in place of -1.
std::vector<int64_t> with_rank(std::vector<int64_t> shape, uint64_t rank);

}  // namespace wshare

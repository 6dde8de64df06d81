#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "extract_lora/factors.h"
#include "model/externalize.h"
#include "model/scan.h"

namespace wshare {

// How a weight of a model gets a LoRA branch.
struct BaseSite {
  FactorLayout layout{};
  int32_t dtype = 0;  // of A and B
  size_t places = 0;  // layers that read the weight
  std::string a_name, b_name, rank_name;
  std::vector<int64_t> a_shape, b_shape;  // -1 stands for the rank
  std::string no_inputs;                  // why A and B can be no inputs, or empty
};

// The weights of a model that can have a branch, and why others cannot.
struct BaseSites {
  std::map<int32_t, BaseSite> sites;       // by tensor
  std::map<int32_t, std::string> reasons;  // of float matrices that cannot
  // Biases and weights of normalisations that may become inputs of the model, with what they hold
  // as default: float32 vectors that only Add, Mul, Gemm and LayerNormalization read. ONNX Runtime
  // makes the same graph of both, with the same bits (measured on MiniLM and T5; not so in
  // float16, where its optimisers fold constants through Casts).
  std::set<int32_t> vectors;
};

// Looks at every float tensor of two dimensions or more, and at float32 vectors.
BaseSites find_base_sites(const ScannedModel& model);

// A constant of a branch.
struct BranchTensor {
  std::string name;
  int32_t dtype = 0;
  std::vector<int64_t> shape;
};

// A branch for one weight; without a and b they become inputs of the model.
struct PlacedBranch {
  std::string scope, weight;
  BaseSite site;
  std::optional<BranchTensor> a, b;
};

// Puts `branches` into `model`; `places` are those of a and b of each in turn, if they have any.
void put_branches(onnx::ModelProto& model, const std::vector<PlacedBranch>& branches,
                  std::span<const ExternalPlace> places);

}  // namespace wshare

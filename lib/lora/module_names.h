#pragma once

#include <string>
#include <vector>

#include "lora/weight_sites.h"

namespace wshare {

// Returns the path of the module that a weight belongs to, as its exporter left it:
//
//   weight "bert.pooler.dense.weight"                      bert.pooler.dense
//   node "/encoder/block.0/layer.0/SelfAttention/q/MatMul" encoder.block.0.layer.0.SelfAttention.q
//   node metadata "pkg.torch.onnx.name_scopes"             the innermost module in it
//   else                                                   the weight's own name
//
// What PEFT adds (base_model.model. and all before it, .base_layer) is taken off. A wrapper around
// the model ("model.", "bert.") stays: nothing says that it is one.
std::string module_path(const WeightSites& weight);

// True if all layers that read the weight are one module, used once or more, as far as their nodes
// tell: an adapter changes one module, a branch all layers.
bool is_one_module(const WeightSites& weight);

// The names of a branch, as Olive and onnxruntime-genai write them.
struct BranchNames {
  std::string path;       // module_path(), or that with _2, _3, ... where others have it
  std::string a, b;       // <path>.lora_A.weight, <path>.lora_B.weight
  std::string rank_name;  // <path>.lora_r
};

// Returns the names for branches of `weights`, in their order; new to `model` and each other.
std::vector<BranchNames> name_branches(const onnx::ModelProto& model,
                                       const std::vector<WeightSites>& weights);

}  // namespace wshare

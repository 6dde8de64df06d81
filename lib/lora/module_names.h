#pragma once

#include <string>
#include <vector>

#include "lora/site_layers.h"

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
std::string module_path(const std::string& weight, const std::vector<SiteLayer>& layers);

// True if `layers`, all that read a weight, are one module, used once or more, as far as their
// nodes tell.
bool is_one_module(const std::vector<SiteLayer>& layers);

// Returns the names for branches of weights with these `paths`, in their order; new to `model` and
// each other.
std::vector<BranchNames> name_branches(const onnx::ModelProto& model,
                                       const std::vector<std::string>& paths);

}  // namespace wshare

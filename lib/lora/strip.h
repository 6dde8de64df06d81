#pragma once

#include <vector>

#include "compare/lora_modules.h"

namespace wshare {

// Takes unmerged LoRA pairs out of `model`: what read a sum reads the layer's output, and nodes,
// initializers and Constant nodes that served a pair alone are gone. What nobody read before stays.
// Where the sum is an output of a graph, the layer's output takes its name.
//
// `modules` are of find_lora_modules() on `graph`, which is build_graph() of this very model, not
// bypassed; all nodes of the model, Constant ones too, are still in their places. Scopes change: a
// subgraph's counts the nodes before it.
// Throws Error(kUnsupported) if a pair stands in a model-local function.
void strip_lora(onnx::ModelProto& model, const ComputeGraph& graph,
                const std::vector<LoraModule>& modules);

}  // namespace wshare

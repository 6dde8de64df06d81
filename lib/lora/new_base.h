#pragma once

#include <string>
#include <vector>

#include "lora/branch_site.h"
#include "model/scan.h"

namespace onnx {
class ModelProto;
}

namespace wshare {

// Returns the bytes of a model like `model`, which lies in a bundle, with inputs for A and B of
// each of `sites`, with the initializers `defaults` as defaults of inputs of their names, and with
// defaults of rank 0 for the inputs `factors`, which have one free dimension. Its external data
// stays where it is.
std::string add_inputs(const ScannedModel& model, const std::vector<BranchSite>& sites,
                       const std::vector<std::string>& defaults,
                       const std::vector<std::string>& factors = {});

// Makes the initializer `name` of `model` a default: an input of that name and its shape is added
// where there is none.
void make_input(onnx::ModelProto& model, const std::string& name);

}  // namespace wshare

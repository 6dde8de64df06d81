#pragma once

#include <set>
#include <string>

namespace onnx {
class ModelProto;
}

namespace wshare {

// Takes out of `model` what add_branches() and make_input() gave it: the branches whose A and B are
// `factors`, and the inputs that the initializers `defaults` became. It has then the nodes and
// values that it had before. What else reads a factor keeps it.
void remove_branches(onnx::ModelProto& model, const std::set<std::string>& factors,
                     const std::set<std::string>& defaults);

}  // namespace wshare

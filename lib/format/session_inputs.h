#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "format/named_tensor.h"

namespace wshare {

// A tensor that a run may give to a session.
struct SessionInput {
  int32_t dtype = 0;                 // TensorProto.DataType
  std::vector<int64_t> shape;        // -1: free
  std::vector<std::string> symbols;  // parallel to shape: its name in the model, or ""
  bool has_default = false;          // runs may leave it out
};
using SessionInputs = std::map<std::string, SessionInput, std::less<>>;

// Throws Error(kInvalid), with `task` in the message, unless `parameters` can be given to a run
// together: each is one of `inputs` with its type and shape, free dimensions of one name are equal
// among them, and no input with a default that has such a dimension, too, is left out (B of a LoRA
// whose A is there). Bytes are not looked at.
void check_parameters(const std::string& task, std::span<const NamedTensor> parameters,
                      const SessionInputs& inputs);

}  // namespace wshare

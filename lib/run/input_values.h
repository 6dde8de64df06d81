#pragma once

#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <string>
#include <vector>

namespace wshare {

// An input of a model.
struct WantedInput {
  std::string name;
  ONNXTensorElementDataType type;
  std::vector<int64_t> shape;        // free dimensions are -1
  std::vector<std::string> symbols;  // "" where a dimension has no name
};

// Returns the ONNX name of `type`.
std::string type_name(ONNXTensorElementDataType type);

// Returns a tensor of `shape` for `input`, all of whose elements are the number that `text` is.
//
// Throws Error(kInvalid) if the type of the input has no such number.
Ort::Value value_of_number(const WantedInput& input, const std::vector<int64_t>& shape,
                           const std::string& text);

// Returns one that depends on `seed`: floats in [-1,1], one alone 1; integers below `row_limit`,
// where that is 0 they are 0 or 1, and 1 for a name with "mask"; true.
//
// Throws Error(kUnsupported) for types that are no numbers.
Ort::Value made_up_value(const WantedInput& input, const std::vector<int64_t>& shape,
                         int64_t row_limit, uint64_t seed);

}  // namespace wshare

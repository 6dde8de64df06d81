#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace wshare {

// Returns, for each of `inputs` that selects rows of a table, the number of rows: values 0 ..
// rows-1 are accepted. The input may reach the Gather through nodes that keep its values (Cast,
// Reshape, ...).
//
// `model` holds the bytes of an .onnx. Throws Error(kInvalid) if they are no protobuf message.
std::map<std::string, int64_t> find_row_limits(std::span<const std::byte> model,
                                               const std::vector<std::string>& inputs);

}  // namespace wshare

#pragma once

#include <cstddef>
#include <set>
#include <span>
#include <string>
#include <string_view>

namespace wshare {

// Returns `model` with each external tensor in `names` moved to a place that no file has: behind
// its end. A session that is offered them is made as before; one that reads any of them from the
// file after all is not made, and ONNX Runtime names the tensor.
//
// Throws Error(kInvalid) if `model` is no protobuf message.
std::string without_weights(std::span<const std::byte> model,
                            const std::set<std::string_view>& names);

}  // namespace wshare

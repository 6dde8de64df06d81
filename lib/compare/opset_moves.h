#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "compare/graph.h"

namespace wshare {

// What opsets say differently without meaning something else: "axes" of ReduceMean is an attribute
// up to opset 17 and an input from 18 on, and attributes that are their default may be left out.

// Returns the input that `attribute` of operator `op` became, if it did.
std::optional<size_t> input_of_attribute(const std::string& op, const std::string& attribute);

// True if the nodes have the same attributes, but for those that are inputs of the other one.
bool same_attributes_but_moved(const GraphNode& a, const GraphNode& b);

// Returns the integers that a node has as an attribute that other opsets have as its input `slot`.
std::optional<std::vector<int64_t>> moved_integers(const GraphNode& node, size_t slot);

// Returns the values of an int64 tensor, or nothing for other tensors and for more than a thousand.
std::optional<std::vector<int64_t>> integers_of(const TensorRef& tensor);

}  // namespace wshare

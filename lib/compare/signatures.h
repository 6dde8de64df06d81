#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compare/graph.h"

namespace wshare {

// True for operators whose two inputs may change places.
bool is_commutative(const std::string& op);

// Numbers that tell nodes apart by what is around them; weights, names and types do not count, so
// the same node of two trained models has the same numbers.
struct Signatures {
  std::vector<std::vector<uint64_t>>
      below;                    // [r][node]: the nodes that its outputs reach in r steps
  std::vector<uint64_t> above;  // [node]: the nodes that it reads from, a few steps up
};

inline constexpr size_t kSignatureSteps = 16;

Signatures compute_signatures(const ComputeGraph& graph);

}  // namespace wshare

#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "compare/pairs.h"

namespace wshare {

// Pairs up the nodes that read a value of a with those that read its counterpart in b: where one of
// each side is left with an operator and operand, these; else those that look alike in the largest
// neighbourhood below them that only one of each side has; else by name, where both sides have the
// same set of names. (Numbered names shift from one export to the next.)
//
// Returns false if some stay open on both sides.
bool match_readers(Pairs& pairs, const std::vector<Use>& of_a, const std::vector<Use>& of_b);

// The uses of weights by their content; those of weights too small or too regular to tell one layer
// from another are left out.
std::map<int64_t, std::vector<Use>> uses_by_content(const Pairs& pairs, Side side);

// Readers that match_readers() left open: the nodes of either side for which the other has at least
// one with the same operator and operand.
struct OpenReaders {
  std::vector<int32_t> a, b;
};
OpenReaders open_readers(const Pairs& pairs, const std::vector<Use>& of_a,
                         const std::vector<Use>& of_b);

}  // namespace wshare

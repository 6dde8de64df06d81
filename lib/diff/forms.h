#pragma once

#include <map>
#include <utility>
#include <vector>

#include "compare/compare.h"
#include "compare/relations.h"
#include "wshare/diff.h"

namespace wshare {

// What diff knows of weights that one model has in another form than the other.
struct FoundForms {
  std::map<std::pair<int32_t, int32_t>, DiffForm> by_tensors;  // of a and of b
  std::vector<DiffForms> sums;
};

// Finds tensors that are a cast or a quantised form of the other model's, by content, and says so
// in the matches of `comparison`, which pairs by place.
FoundForms find_forms(const ScannedModel& a, const ScannedModel& b, unsigned threads,
                      ModelComparison& comparison);

// Says in one word how the models of a report differ, by all else that is in it.
DiffVerdict verdict_of(const DiffReport& report);

}  // namespace wshare

#pragma once

#include <span>
#include <vector>

#include "bundle/draft.h"
#include "inspect/structure.h"
#include "wshare/inspect.h"

namespace wshare {

// Findings by id, the places of each in the order of their bytes.
class Findings {
 public:
  void add(const char* id, FindingPlace place);
  std::vector<Finding> take();

 private:
  std::vector<Finding> findings_;
};

// Adds what the structure of the models shows: incomplete or unused external data, large Constant
// nodes, unread initializers, files of which most is no model.
void find_in_structure(std::span<const ModelStructure> models, Findings& findings);

// Adds what the weights show: contents stored several times, and what their values have in common.
// Each content counts once, under the first tensor that has it.
void find_in_weights(const Draft& draft, unsigned threads, Findings& findings);

// Adds what is odd about quantised weights: floats that are left beside their copies of fewer bits,
// and integers that become floats in each session.
void find_in_quantised(const Draft& draft, uint64_t min_bytes, unsigned threads,
                       Findings& findings);

}  // namespace wshare

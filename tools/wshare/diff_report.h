#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cli.h"
#include "wshare/diff.h"

namespace wshare {

// What of a DiffReport is shown.
struct DiffView {
  std::string a, b;                        // the models as named on the command line
  std::string name_a = "A", name_b = "B";  // in text; of NAME=file
  bool all_tensors = false;                // also those that are the same, and each small one
  uint64_t top = 0;                        // at most so many tensors; 0: all, in text the largest
};

// Returns the tensors that `view` shows, all or those that differ, the largest first; they point
// into `report`.
std::vector<const DiffTensor*> shown_tensors(const DiffReport& report, const DiffView& view);

// Returns the bytes of the tensor in B, or in A where only that has it.
uint64_t bytes_of(const DiffTensor& tensor);

// Says in one sentence how the models differ.
std::string sentence_of(const DiffReport& report, const DiffView& view);

void print_diff(std::ostream& out, const DiffReport& report, const DiffView& view);

nlohmann::ordered_json diff_json(const DiffReport& report, const DiffView& view);

}  // namespace wshare

#pragma once

#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "wshare/bundled_model.h"
#include "wshare/tie_transposed.h"

namespace wshare {

// Return what `dedupe --json` and `append --json` say of models, of tensors that stay in them, and
// of weights that are others turned.
nlohmann::ordered_json to_json(const std::vector<DedupedModel>& models);
nlohmann::ordered_json to_json(const std::vector<InlineTensor>& left_inline);

nlohmann::ordered_json to_json(const std::vector<TransposedPair>& pairs);

// Prints which weights are stored as others, turned, and why some are not.
void print_pairs(std::ostream& out, const std::vector<TransposedPair>& pairs);

// Prints a table of `models`, then what stays inline by reason.
void print_models(std::ostream& out, const std::vector<DedupedModel>& models,
                  const std::vector<InlineTensor>& left_inline);

}  // namespace wshare

#pragma once

#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "wshare/bundled_model.h"

namespace wshare {

// Return what `dedupe --json` and `append --json` say of models and of tensors that stay in them.
nlohmann::ordered_json to_json(const std::vector<DedupedModel>& models);
nlohmann::ordered_json to_json(const std::vector<InlineTensor>& left_inline);

// Prints a table of `models`, then what stays inline by reason.
void print_models(std::ostream& out, const std::vector<DedupedModel>& models,
                  const std::vector<InlineTensor>& left_inline);

}  // namespace wshare

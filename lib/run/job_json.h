#pragma once

#include <nlohmann/json_fwd.hpp>

#include "run/job.h"

namespace wshare {

// What `wshare run`, `wshare pack` and their children tell each other, and of what they tell, what
// users see. Each field stands in one place, for both directions (job_json.cc).

nlohmann::ordered_json to_json(const RunJob& job);
nlohmann::ordered_json to_json(const InputOptions& inputs);
nlohmann::ordered_json to_json(const RunAnswer& answer);
nlohmann::ordered_json to_json(const Measurement& measurement);
nlohmann::ordered_json to_json(const std::vector<ParityRow>& rows);

// Each throws Error(kRuntime) if a field is missing or has another type.
RunJob job_from(const nlohmann::ordered_json& json);
InputOptions inputs_from(const nlohmann::ordered_json& json);
RunAnswer answer_from(const nlohmann::ordered_json& json);

}  // namespace wshare

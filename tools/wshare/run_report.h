#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "run/job.h"
#include "run/measure.h"
#include "run/parity.h"

namespace wshare {

// What `wshare run` found.
struct RunReport {
  std::string ep = "cpu";
  std::string tier;
  Measurement shared;
  std::optional<Measurement> baseline;
  std::vector<ParityRow> parity;
  UsedRuntime onnxruntime;
  std::vector<std::string> exceeded;  // one line per limit that was passed
};

// Returns the tier of all sessions, "mixed" where they differ.
std::string tier_of(const Measurement& measurement);

nlohmann::ordered_json to_json(const RunReport& report);
void print_report(std::ostream& out, const RunReport& report);

}  // namespace wshare

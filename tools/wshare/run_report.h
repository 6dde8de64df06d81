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

// Prints where the memory of the shared sessions is, whose Measurement::parts are known, and what
// makes it less; memory_json() is null where they are not.
void print_parts(std::ostream& out, const RunReport& report);
nlohmann::ordered_json memory_json(const RunReport& report);

// Prints three lines for a ticket: what ran on what, memory, time and outputs.
void print_summary(std::ostream& out, const RunReport& report);

// Returns "8 shared sessions of 8 models".
std::string describe(const Measurement& measurement, const std::string& kind);

// Returns "160.0 MiB saved (56 %)".
std::string saving_of(uint64_t ours, uint64_t plain);

}  // namespace wshare

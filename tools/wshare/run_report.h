#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "run/measure.h"

namespace wshare {

// What `wshare run` found.
struct RunReport {
  std::string tier;
  Measurement shared;
  std::optional<Measurement> baseline;
  std::vector<ParityRow> parity;
  std::vector<std::string> exceeded;  // one line per limit that was passed
};

// Options that `run` and its child have in common, as the user wrote them.
struct InputArguments {
  std::vector<std::string> shapes;  // "input=1x32"
  std::string folder;
  unsigned sessions = 1;
  unsigned repeat = 5;
};

void add_input_options(CLI::App& app, InputArguments& arguments);

// Throws Error(kInvalid) if a shape cannot be read.
MeasureOptions measure_options(const InputArguments& arguments);

// Splits "NAME=value". Throws Error(kInvalid) that shows `example` if there is no "=" or no name.
std::pair<std::string, std::string> split_assignment(const std::string& text, const char* option,
                                                     const char* example);

nlohmann::ordered_json to_json(const Measurement& measurement);
Measurement measurement_from(const nlohmann::ordered_json& json);
nlohmann::ordered_json to_json(const RunReport& report);
void print_report(std::ostream& out, const RunReport& report);

}  // namespace wshare

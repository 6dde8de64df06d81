#include "run_report.h"

#include <fmt/format.h>

#include "cli.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

std::vector<int64_t> parse_shape(const std::string& text) {
  std::vector<int64_t> shape;
  size_t at = 0;
  while (at <= text.size()) {
    const size_t end = std::min(text.find('x', at), text.size());
    shape.push_back(parse_decimal(text.substr(at, end - at)));
    if (shape.back() < 0)
      throw Error(ErrorCode::kInvalid, "--shape: " + in_quotes(text) + " is no shape such as 1x32");
    at = end + 1;
  }
  return shape;
}

std::string in_ms(double milliseconds) { return fmt::format("{:.1f}", milliseconds); }

void print_sessions(std::ostream& out, const RunReport& report) {
  const bool both =
      report.baseline && report.baseline->sessions.size() == report.shared.sessions.size();
  std::vector<std::vector<std::string>> rows = {{"create ms", "first ms", "run ms"}};
  if (both) rows[0].insert(rows[0].end(), {"plain create", "plain first", "plain run"});
  rows[0].push_back("model");
  for (size_t i = 0; i < report.shared.sessions.size(); ++i) {
    const SessionFigures& ours = report.shared.sessions[i];
    rows.push_back({in_ms(ours.create_ms), in_ms(ours.first_run_ms), in_ms(ours.run_ms_median)});
    if (both) {
      const SessionFigures& plain = report.baseline->sessions[i];
      rows.back().insert(rows.back().end(), {in_ms(plain.create_ms), in_ms(plain.first_run_ms),
                                             in_ms(plain.run_ms_median)});
    }
    rows.back().push_back(ours.model);
  }
  print_table(out, rows, both ? 6 : 3);
}

void print_memory(std::ostream& out, const RunReport& report) {
  std::vector<std::vector<std::string>> rows = {{"PSS", "anonymous", "memory"}};
  const auto add = [&](const Measurement& measurement, const std::string& what) {
    rows.push_back({format_bytes(measurement.memory.pss),
                    format_bytes(measurement.memory.anonymous),
                    fmt::format("{} {} {}", measurement.sessions.size(), what,
                                measurement.sessions.size() == 1 ? "session" : "sessions")});
  };
  add(report.shared, report.tier);
  if (report.baseline) add(*report.baseline, "plain");
  print_table(out, rows, 2);
}

}  // namespace

void add_input_options(CLI::App& app, InputArguments& arguments) {
  app.add_option("--sessions", arguments.sessions, "Sessions per model")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  app.add_option(
      "--inputs", arguments.folder,
      "Folder of input_0.pb or input_0.npy ...; else inputs are made up, always the same");
  app.add_option("--shape", arguments.shapes, "Shape of a made-up input: input=1x32")
      ->allow_extra_args(false);
  app.add_option("--repeat", arguments.repeat, "Timed runs per session, after the first")
      ->capture_default_str();
}

MeasureOptions measure_options(const InputArguments& arguments) {
  MeasureOptions options;
  options.sessions = arguments.sessions;
  options.repeat = arguments.repeat;
  options.inputs.folder = arguments.folder;
  for (const std::string& text : arguments.shapes) {
    const auto [name, shape] = split_assignment(text, "--shape", "input=1x32");
    options.inputs.shapes[name] = shape.empty() ? std::vector<int64_t>{} : parse_shape(shape);
  }
  return options;
}

std::pair<std::string, std::string> split_assignment(const std::string& text, const char* option,
                                                     const char* example) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw Error(ErrorCode::kInvalid,
                std::string(option) + ": " + in_quotes(text) + " is not of the form " + example);
  }
  return {text.substr(0, equals), text.substr(equals + 1)};
}

nlohmann::ordered_json to_json(const Measurement& measurement) {
  nlohmann::ordered_json json;
  json["sessions"] = nlohmann::ordered_json::array();
  for (const SessionFigures& session : measurement.sessions) {
    json["sessions"].push_back({{"model", session.model},
                                {"task", nullptr},
                                {"create_ms", session.create_ms},
                                {"first_run_ms", session.first_run_ms},
                                {"run_ms_median", session.run_ms_median}});
  }
  json["pss_bytes"] = measurement.memory.pss;
  json["anonymous_bytes"] = measurement.memory.anonymous;
  json["device_bytes"] = 0;
  return json;
}

Measurement measurement_from(const nlohmann::ordered_json& json) {
  Measurement measurement;
  for (const auto& session : json.at("sessions")) {
    measurement.sessions.push_back({session.at("model"), session.at("create_ms"),
                                    session.at("first_run_ms"), session.at("run_ms_median")});
  }
  measurement.memory = {json.at("pss_bytes"), json.at("anonymous_bytes")};
  return measurement;
}

nlohmann::ordered_json to_json(const RunReport& report) {
  nlohmann::ordered_json json = {{"schema", "wshare.run/1"}, {"ep", "cpu"}, {"tier", report.tier}};
  json.update(to_json(report.shared));
  json["baseline"] = report.baseline ? to_json(*report.baseline) : nlohmann::ordered_json();
  json["parity"] = nlohmann::ordered_json::array();
  for (const ParityRow& row : report.parity) {  // an infinite difference becomes null
    json["parity"].push_back({{"model", row.model},
                              {"output", row.output},
                              {"bit_equal", row.bit_equal},
                              {"max_abs_diff", row.max_abs_diff}});
  }
  json["exceeded"] = report.exceeded;
  json["ok"] = report.exceeded.empty();
  return json;
}

void print_report(std::ostream& out, const RunReport& report) {
  print_sessions(out, report);
  out << '\n';
  print_memory(out, report);
  if (!report.parity.empty()) out << '\n';
  for (const ParityRow& row : report.parity) {
    out << (row.bit_equal ? "equal bit for bit"
                          : fmt::format("differs by up to {:g}", row.max_abs_diff))
        << "  " << row.model << ": " << row.output << '\n';
  }
}

}  // namespace wshare

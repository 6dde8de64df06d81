#include "doctor_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <ostream>
#include <set>
#include <tuple>

#include "rows.h"
#include "util/text.h"
#include "util/visible.h"

namespace wshare {
namespace {

constexpr size_t kIndent = 6;  // behind the id of a finding

// "onnxruntime-1.24 to 1.32, onnx-1.23": `names` in the order of all, neighbours of one program
// joined.
std::string in_words(const std::set<std::string>& names) {
  const auto program = [](const std::string& name) { return name.substr(0, name.find('-')); };
  std::string words, first, last;
  const auto flush = [&] {
    if (first.empty()) return;
    words += (words.empty() ? "" : ", ") + first;
    if (last != first) words += " to " + last.substr(last.find('-') + 1);
    first.clear();
  };
  for (const std::string& name : doctor_targets()) {
    if (!names.contains(name) || program(name) != program(first)) flush();
    if (!names.contains(name)) continue;
    if (first.empty()) first = name;
    last = name;
  }
  flush();
  return words;
}

// What stands against a model, with all targets that it stands in the way of.
void print_findings(std::ostream& out, const std::vector<Obstacle>& findings) {
  for (size_t i = 0; i < findings.size();) {
    const auto key = [&](size_t j) {
      return std::tie(findings[j].model, findings[j].id, findings[j].message);
    };
    std::set<std::string> targets;
    size_t end = i;
    for (; end < findings.size() && key(end) == key(i); ++end) targets.insert(findings[end].target);
    print_words(out,
                findings[i].id + ' ' + in_quotes(findings[i].model) + ": " + findings[i].message);
    print_words(out, "not opened by " + in_words(targets), kIndent);
    print_words(out, findings[i].remedy, kIndent);
    i = end;
  }
}

}  // namespace

nlohmann::ordered_json to_json(const DoctorReport& report) {
  nlohmann::ordered_json json;
  json["schema"] = "wshare.doctor/1";
  json["ok"] = report.findings.empty();
  json["targets"] = report.targets;
  json["models"] = report.models;
  json["findings"] = nlohmann::ordered_json::array();
  for (const Obstacle& finding : report.findings) {
    json["findings"].push_back({{"id", finding.id},
                                {"model", finding.model},
                                {"target", finding.target},
                                {"message", finding.message},
                                {"remedy", finding.remedy}});
  }
  return json;
}

void print_report(std::ostream& out, const DoctorReport& report) {
  std::set<std::string> whole(report.targets.begin(), report.targets.end()), partly, troubled;
  for (const Obstacle& finding : report.findings) {
    troubled.insert(finding.model);
    if (whole.erase(finding.target) > 0) partly.insert(finding.target);
  }
  const size_t count = report.models.size();
  if (!whole.empty()) {
    print_words(
        out, (count == 1 ? "the model opens in " : fmt::format("all {} models open in ", count)) +
                 in_words(whole));
  }
  if (!partly.empty()) {
    print_words(out, (count == 1 ? "the model does not open in "
                                 : fmt::format("{} of {} models have findings in ", troubled.size(),
                                               count)) +
                         in_words(partly));
  }
  print_findings(out, report.findings);
}

}  // namespace wshare

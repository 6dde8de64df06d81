#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <set>
#include <tuple>

#include "cli.h"
#include "given_models.h"
#include "util/text.h"
#include "util/visible.h"
#include "wshare/doctor.h"
#ifdef WSHARE_HAS_ONNXRUNTIME
#include "runtime/host_runtime.h"
#include "runtime_option.h"
#endif

namespace wshare {
namespace {

struct Arguments {
  std::vector<std::string> paths;
  DoctorOptions options;
};

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
    out << findings[i].id << ' ' << in_quotes(findings[i].model) << ": "
        << visible(findings[i].message) << "\n      not opened by " << in_words(targets)
        << "\n      " << findings[i].remedy << '\n';
    i = end;
  }
}

void print_report(std::ostream& out, const DoctorReport& report) {
  print_findings(out, report.findings);
  std::set<std::string> whole(report.targets.begin(), report.targets.end()), partly;
  std::set<std::string> troubled;
  for (const Obstacle& finding : report.findings) {
    troubled.insert(finding.model);
    if (whole.erase(finding.target) > 0) partly.insert(finding.target);
  }
  const size_t count = report.models.size();
  if (!whole.empty())
    out << "all of " << count_of(count, "model") << " open in " << in_words(whole) << '\n';
  if (!partly.empty()) {
    out << "not all of " << count_of(count, "model") << " open in " << in_words(partly) << ": "
        << count_of(troubled.size(), "model") << " with findings\n";
  }
}

#ifdef WSHARE_HAS_ONNXRUNTIME
// The target that the library in use is; of one that is newer than all known ones, the newest.
std::string target_in_use() {
  const std::string version = host_runtime().base->GetVersionString();
  const std::string name = "onnxruntime-" + version.substr(0, version.find('.', 2));
  const std::vector<std::string> all = doctor_targets();
  if (std::count(all.begin(), all.end(), name) > 0) return name;
  std::string newest;
  for (const std::string& each : all) {
    if (each.starts_with("onnxruntime-")) newest = each;
  }
  return newest;
}
#endif

}  // namespace

void add_doctor(CLI::App& app, Context& context, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("PATH", arguments->paths,
                 "A bundle, a model file, a folder of them, NAME=file or NAME=folder")
      ->required();
  add_recursive_option(app, arguments->options.recursive);
  app.add_option("--target", arguments->options.targets,
                 "Ask about this program only, such as onnxruntime-1.24,openvino-2026.4 (default: "
                 "all that rules are known of)")
      ->type_name("NAME")
      ->delimiter(',')
      ->allow_extra_args(false);
#ifdef WSHARE_HAS_ONNXRUNTIME
  add_onnxruntime_option(app);
#endif
  app.callback([=, &app, &context, &action] {
    action = [=, &app, &context] {
      context.apply_to(arguments->options);
#ifdef WSHARE_HAS_ONNXRUNTIME
      if (app.count("--onnxruntime") > 0) arguments->options.targets.push_back(target_in_use());
#else
      static_cast<void>(app);
#endif
      const DoctorReport report = doctor(arguments->paths, arguments->options);
      say_left_out(report.left_out, context);
      if (context.json) {
        print_json(context.out, to_json(report));
      } else {
        print_report(context.out, report);
      }
      return report.findings.empty() ? 0 : 1;
    };
  });
}

}  // namespace wshare

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli.h"
#include "doctor_report.h"
#include "given_models.h"
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

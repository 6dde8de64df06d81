#include "run_side.h"

#include <nlohmann/json.hpp>

#include "run/child.h"
#include "run_report.h"
#include "wshare/error.h"

namespace wshare {
namespace {

// Values stand behind "=", so that one that begins with "-" is no option.
std::vector<std::string> command_line(const SideArguments& side, const InputArguments& inputs) {
  std::vector<std::string> command = {"run-side"};
  const auto add = [&](const char* option, const std::string& value) {
    command.push_back(std::string(option) + "=" + value);
  };
  if (!side.bundle.empty()) {
    add("--bundle", side.bundle);
    add("--tier", side.tier);
  }
  add("--ep", side.device.ep);
  if (!side.device.library.empty()) add("--ep-library", side.device.library);
  add("--ep-device", std::to_string(side.device.number));
  add("--device-copies", side.device.copies);
  if (side.progress) command.emplace_back("--progress");
  for (const std::string& name : side.names) add("--name", name);
  for (const std::string& file : side.files) add("--file", file);
  for (const std::string& model : side.tasks_of) add("--task-of", model);
  for (const std::string& base : side.bases) add("--base", base);
  add("--sessions", std::to_string(inputs.sessions));
  add("--repeat", std::to_string(inputs.repeat));
  if (inputs.shared_threads > 0) add("--shared-threads", std::to_string(inputs.shared_threads));
  if (inputs.shared_arena) command.emplace_back("--shared-arena");
  for (const std::string& shape : inputs.shapes) add("--shape", shape);
  if (!inputs.folder.empty()) add("--inputs", inputs.folder);
  return command;
}

// True for the exit codes of docs/cli.md by which a command says itself what is wrong.
bool is_failure(int exit_code) {
  return exit_code == static_cast<int>(ErrorCode::kIo) ||
         exit_code == static_cast<int>(ErrorCode::kInvalid) ||
         exit_code == static_cast<int>(ErrorCode::kUnsupported) ||
         exit_code == static_cast<int>(ErrorCode::kRuntime) || exit_code == kBug;
}

SideResult measure_side(SideArguments side, const InputArguments& inputs, Context& context) {
  const std::string kind = side.bundle.empty() ? "plain sessions" : "shared sessions";
  std::function<void(const std::string&)> tell;
  if (context.progress) {
    side.progress = true;
    tell = [&](const std::string& what) { context.progress((kind + ": " + what).c_str(), 0, 0); };
    tell("starting");
  }
  const ChildResult child =
      run_child(context.program, command_line(side, inputs), kProgressMark, tell);
  context.err << child.err;
  if (is_failure(child.exit_code)) return {child.exit_code, {}};
  if (child.exit_code != 0) {
    throw std::logic_error("the child process that measures ended with exit code " +
                           std::to_string(child.exit_code));
  }
  return {0, measurement_from(nlohmann::ordered_json::parse(child.out))};
}

SideArguments side_of(const DeviceArguments& device, const std::vector<NamedModel>& models) {
  SideArguments side;
  side.device = device;
  for (const NamedModel& model : models) {
    side.names.push_back(model.name);
    side.files.push_back(model.path.string());
    side.tasks_of.push_back((model.shares_session ? "+" : "=") + model.task_of);
    side.bases.push_back("=" + model.base);
  }
  return side;
}

}  // namespace

SideResult measure_shared(const std::string& bundle, const std::string& tier,
                          const DeviceArguments& device, const std::vector<NamedModel>& models,
                          const InputArguments& inputs, Context& context) {
  SideArguments side = side_of(device, models);
  side.bundle = bundle;
  side.tier = tier;
  return measure_side(side, inputs, context);
}

SideResult measure_plain(const DeviceArguments& device, const std::vector<NamedModel>& models,
                         const InputArguments& inputs, Context& context) {
  return measure_side(side_of(device, models), inputs, context);
}

}  // namespace wshare

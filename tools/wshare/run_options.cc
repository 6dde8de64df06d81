#include "run_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>

#include "run/arguments.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

void check_number(const std::optional<double>& limit, const char* option) {
  if (!limit || (std::isfinite(*limit) && *limit >= 0)) return;
  throw Error(ErrorCode::kInvalid, std::string(option) + ": the limit must be a number from 0 on");
}

}  // namespace

void add_input_options(CLI::App& app, InputArguments& arguments) {
  app.add_option("--sessions", arguments.sessions, "Sessions per model")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  app.add_option("--inputs", arguments.folder,
                 "Folder of input_0.pb or input_0.npy ..., or of one such folder per model; else "
                 "inputs are made up, always the same");
  app.add_option("--shape", arguments.shapes, "Shape of a made-up input: input=1x32")
      ->allow_extra_args(false);
  app.add_option("--repeat", arguments.repeat, "Timed runs per session, after the first")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  app.add_option("--shared-threads", arguments.shared_threads,
                 "One pool of so many threads for all sessions; else each has one thread")
      ->check(CLI::Range(1, 1024));
  app.add_flag("--shared-arena", arguments.shared_arena,
               "One arena for what all sessions on the CPU compute with; else each has its own");
}

EnvironmentOptions environment_options(const InputArguments& arguments) {
  EnvironmentOptions options;
  if (arguments.shared_threads > 0)
    options.threads = SharedThreads{static_cast<int>(arguments.shared_threads)};
  options.arena = arguments.shared_arena;
  return options;
}

MeasureOptions measure_options(const InputArguments& arguments) {
  MeasureOptions options;
  options.sessions = arguments.sessions;
  options.repeat = arguments.repeat;
  options.threads = static_cast<int>(std::max(arguments.shared_threads, 1U));
  options.inputs.folder = arguments.folder;
  options.inputs.shapes = parse_shapes(arguments.shapes);
  return options;
}

void add_device_options(CLI::App& app, DeviceArguments& arguments) {
  app.add_option("--ep", arguments.ep,
                 "Where sessions run: cpu, cuda, or the provider that --ep-library has")
      ->capture_default_str();
  app.add_option("--ep-library", arguments.library,
                 "Plugin library of the provider; for cuda, else the one beside ONNX Runtime's");
  app.add_option("--ep-device", arguments.number, "Which of the provider's devices, from 0 on")
      ->capture_default_str();
  app.add_option("--device-copies", arguments.copies,
                 "Copies of shared weights that a session makes for itself on the device")
      ->check(CLI::IsMember({"refuse", "keep"}))
      ->capture_default_str();
}

void check_syntax(const DeviceArguments& arguments) {
  const bool on_cpu = arguments.ep == "cpu";
  if (on_cpu && !arguments.library.empty())
    throw Error(ErrorCode::kInvalid, "--ep-library: needs --ep with the name of a provider in it");
  if (!on_cpu && arguments.ep != "cuda" && arguments.library.empty()) {
    throw Error(ErrorCode::kInvalid, "--ep: " + in_quotes(arguments.ep) +
                                         " is neither cpu nor cuda, so it needs --ep-library");
  }
}

std::optional<Device> open_device(const DeviceArguments& arguments) {
  if (arguments.ep == "cpu") return std::nullopt;
  return Device::open(arguments.ep, arguments.library, arguments.number);
}

DeviceCopies copies_of(const DeviceArguments& arguments) {
  return arguments.copies == "keep" ? DeviceCopies::kKeep : DeviceCopies::kRefuse;
}

void add_limit_options(CLI::App& app, LimitArguments& arguments) {
  app.add_option("--max-pss", arguments.pss, "Exit 1 when more memory is used, such as 500M");
  app.add_option("--max-anonymous", arguments.anonymous,
                 "Exit 1 when more anonymous memory is used");
  app.add_option("--max-device", arguments.device, "Exit 1 when more memory of the device is used");
  app.add_option("--max-create-ms", arguments.create_ms,
                 "Exit 1 when making a session takes longer");
  app.add_option("--max-abs-diff", arguments.abs_diff,
                 "Exit 1 when an output differs by more, or by no number (with --against)");
}

Limits read_limits(const LimitArguments& arguments) {
  check_number(arguments.create_ms, "--max-create-ms");
  check_number(arguments.abs_diff, "--max-abs-diff");
  Limits limits;
  if (!arguments.pss.empty()) limits.pss = parse_size(arguments.pss);
  if (!arguments.anonymous.empty()) limits.anonymous = parse_size(arguments.anonymous);
  if (!arguments.device.empty()) limits.device = parse_size(arguments.device);
  limits.create_ms = arguments.create_ms;
  limits.abs_diff = arguments.abs_diff;
  return limits;
}

}  // namespace wshare

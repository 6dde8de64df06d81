#include "run_options.h"

#include <cmath>
#include <optional>

#include "checked_option.h"
#include "input_options.h"
#include "run/arguments.h"
#include "runtime_option.h"
#include "util/text.h"

namespace wshare {
namespace {

void add_device_options(CLI::App& app, DeviceChoice& device) {
  app.add_option("--ep", device.ep,
                 "Where sessions run: cpu, cuda, or the provider that --ep-library has")
      ->capture_default_str();
  add_text(
      app, "--ep-library", [&](const std::string& text) { device.library = text; },
      "Plugin library of the provider; for cuda, else the one beside ONNX Runtime's");
  add_text<Texts>(
      app, "--ep-option", [&](const Texts& texts) { device.options = parse_ep_options(texts); },
      "Option of the provider, by the name that it documents: KEY=VALUE; may be repeated")
      ->allow_extra_args(false);
  app.add_option("--ep-device", device.number, "Which of the provider's devices, from 0 on")
      ->capture_default_str();
  add_text(
      app, "--device-copies",
      [&](const std::string& text) {
        device.copies = text == "keep" ? DeviceCopies::kKeep : DeviceCopies::kRefuse;
      },
      "Copies of shared weights that a session makes for itself on the device")
      ->check(CLI::IsMember({"refuse", "keep"}))
      ->default_str("refuse");
}

void add_session_options(CLI::App& app, RunJob& job) {
  app.add_option("--sessions", job.sessions, "Sessions per model")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  add_input_options(app, job.inputs);
  app.add_option("--repeat", job.repeat, "Timed runs per session, after the first")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  app.add_option("--max-seconds", job.max_seconds,
                 "Time for the timed runs of a side: each session has its share, and one run")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--shared-threads", job.shared_threads,
                 "One pool of so many threads for all sessions; else each has one thread")
      ->check(CLI::Range(1, 1024));
  app.add_flag("--shared-arena", job.shared_arena,
               "One arena for what all sessions on the CPU compute with; else each has its own");
}

Originals read_originals(const Texts& texts) {
  Originals originals;
  for (const std::string& text : texts) {
    const auto [name, path] = split_assignment(text, "--against", "NAME=original.onnx");
    if (!originals.emplace(name, path).second)
      throw Error(ErrorCode::kInvalid, "--against: " + in_quotes(name) + " is given twice");
  }
  return originals;
}

void add_size(CLI::App& app, const char* name, std::optional<uint64_t>& limit,
              const char* summary) {
  add_text(
      app, name, [&](const std::string& text) { limit = parse_size(text); }, summary);
}

void add_number(CLI::App& app, const char* name, std::optional<double>& limit,
                const char* summary) {
  app.add_option(name, limit, summary)->check([](const std::string& text) -> std::string {
    double number = 0;
    const bool is_number = CLI::detail::lexical_cast(text, number);
    if (!is_number || (std::isfinite(number) && number >= 0)) return {};
    return "the limit must be a number from 0 on";
  });
}

void add_limit_options(CLI::App& app, Limits& limits) {
  add_size(app, "--max-pss", limits.pss, "Exit 1 when more memory is used, such as 500M");
  add_size(app, "--max-anonymous", limits.anonymous, "Exit 1 when more anonymous memory is used");
  add_size(app, "--max-device", limits.device, "Exit 1 when more memory of the device is used");
  add_number(app, "--max-create-ms", limits.create_ms, "Exit 1 when making a session takes longer");
  add_number(app, "--max-abs-diff", limits.abs_diff,
             "Exit 1 when an output differs by more, or by no number (with --against)");
}

}  // namespace

void add_run_options(CLI::App& app, RunArguments& arguments) {
  RunJob& job = arguments.job;
  app.add_option_function<std::string>(
         "BUNDLE", [&](const std::string& text) { job.bundle = text; }, "The bundle")
      ->required();
  app.add_option("--model", arguments.models, "Run this model only; may be repeated")
      ->allow_extra_args(false);
  app.add_option("--task", arguments.tasks,
                 "Run this task only, over the session of its base; may be repeated")
      ->allow_extra_args(false);
  add_device_options(app, job.device);
  add_onnxruntime_option(app);
  add_text(
      app, "--tier", [&](const std::string& text) { job.tier = parse_tier(text); },
      "How weights are shared")
      ->check(CLI::IsMember({"auto", "packed", "shared", "compact"}))
      ->default_str("auto");
  add_session_options(app, job);
  add_text<Texts>(
      app, "--against", [&](const Texts& texts) { job.against = read_originals(texts); },
      "NAME=original.onnx: compare outputs with a plain session")
      ->allow_extra_args(false);
  app.add_flag("--baseline", arguments.baseline,
               "Measure as many plain sessions on the originals beside");
  app.add_flag("--summary", arguments.summary, "Print three lines for a ticket, no tables");
  add_limit_options(app, arguments.limits);
}

void check_together(const RunArguments& arguments) {
  const DeviceChoice& device = arguments.job.device;
  const bool on_cpu = device.ep == "cpu";
  if (on_cpu && !device.library.empty())
    throw CLI::ValidationError("--ep-library: needs --ep with the name of a provider in it");
  if (on_cpu && !device.options.empty())
    throw CLI::ValidationError("--ep-option: needs --ep with the name of a provider");
  if (!on_cpu && device.ep != "cuda" && device.library.empty()) {
    throw CLI::ValidationError("--ep: " + in_quotes(device.ep) +
                               " is neither cpu nor cuda, so it needs --ep-library");
  }
  check_together(arguments.job.inputs);
  if (arguments.limits.abs_diff && arguments.job.against.empty())
    throw CLI::ValidationError("--max-abs-diff: needs --against, or there is nothing to compare");
}

}  // namespace wshare

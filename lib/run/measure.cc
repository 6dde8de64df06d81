#include "run/measure.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <optional>
#include <set>

#include "runtime/ort_errors.h"
#include "util/name_list.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

std::vector<const char*> pointers(const std::vector<std::string>& names) {
  std::vector<const char*> result;
  for (const std::string& name : names) result.push_back(name.c_str());
  return result;
}

std::vector<Ort::Value> run_once(const std::string& model, const Runner& runner,
                                 const Inputs& inputs) {
  Ort::Session& session = *runner.session;
  const std::vector<std::string> outputs = session.GetOutputNames();
  const std::vector<const char*> input_names = pointers(inputs.names);
  const std::vector<const char*> output_names = pointers(outputs);
  try {
    return translate_errors(model, [&] {
      if (runner.tasks != nullptr) {
        return runner.tasks->run(runner.task, input_names.data(), inputs.values.data(),
                                 inputs.values.size(), output_names.data(), output_names.size());
      }
      return session.Run(*runner.options, input_names.data(), inputs.values.data(),
                         inputs.values.size(), output_names.data(), output_names.size());
    });
  } catch (const Error& error) {
    if (!inputs.made_up) throw;
    throw Error(error.code(), std::string(error.what()) + " (with made-up inputs)",
                "the model may need other inputs: give shapes with --shape NAME=1x32, or files "
                "with --inputs DIR");
  }
}

Inputs inputs_for(const NamedModel& model, const Ort::Session& session,
                  const InputOptions& options) {
  try {
    return translate_errors(model.name,
                            [&] { return make_inputs(model.name, session, model.path, options); });
  } catch (const Error& error) {
    const std::string subject = in_quotes(model.name) + ": ";
    const std::string message = error.what();
    throw Error(error.code(), message.starts_with(subject) ? message : subject + message,
                error.hint());
  }
}

struct Opened {
  const NamedModel* model;
  Runner runner;
};

// What a model ran on for the first time.
struct FirstRun {
  Inputs inputs;
  std::vector<Ort::Value> outputs;
  double milliseconds = 0;
};

// Runs `session` for the first time. Free dimensions get a few tokens at first; where the model
// refuses that (images that are halved five times, audio that is cut into windows), more.
FirstRun run_first(const NamedModel& model, const Runner& runner, InputOptions options) {
  constexpr std::array<int64_t, 4> kFreeDims = {8, 32, 224, 1280};
  std::optional<Error> refused;
  for (const int64_t free_dim : kFreeDims) {
    options.free_dim = free_dim;
    FirstRun first{inputs_for(model, *runner.session, options), {}, 0};
    const auto start = Clock::now();
    try {
      first.outputs = run_once(model.name, runner, first.inputs);
    } catch (const Error& error) {
      if (!first.inputs.free_dims) throw;
      if (!refused) refused = error;
      continue;
    }
    first.milliseconds = milliseconds_since(start);
    return first;
  }
  throw *refused;
}

Runner open_at_level(const NamedModel& model, GraphOptimizationLevel level,
                     const std::optional<Device>& device, int threads = 1) {
  return translate_errors(model.path.string(), [&] {
    Ort::SessionOptions options = default_ort_options(threads);
    if (device) {
      options.AppendExecutionProvider_V2(environment(), {device->ep_device()},
                                         Ort::KeyValuePairs{});
    }
    options.SetGraphOptimizationLevel(level);
    return Runner{std::make_shared<Ort::Session>(environment(), model.path.c_str(), options),
                  std::make_shared<Ort::RunOptions>()};
  });
}

// Fills in how much the original differs from itself without optimisations, where there is a
// difference to judge. An original that does not run so has none: outputs are compared all the
// same.
void add_noise(std::vector<ParityRow>& rows, const NamedModel& original,
               const std::vector<std::string>& names, const Inputs& inputs,
               const std::vector<Ort::Value>& optimised, const std::optional<Device>& device) {
  const auto differs = [](const ParityRow& row) { return !row.bit_equal; };
  if (std::none_of(rows.begin(), rows.end(), differs)) return;
  std::vector<Ort::Value> plain;
  try {
    plain = run_once(original.name, open_at_level(original, ORT_DISABLE_ALL, device), inputs);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kRuntime) throw;
    return;
  }
  const std::vector<ParityRow> noise = compare_outputs(original.name, names, plain, optimised);
  for (size_t i = 0; i < rows.size(); ++i) {
    if (differs(rows[i])) rows[i].noise_abs_diff = noise[i].max_abs_diff;
  }
}

void check_shapes_are_used(const Shapes& shapes, const std::vector<Opened>& opened) {
  std::set<std::string> names;
  for (const Opened& one : opened) {
    for (std::string& name : one.runner.session->GetInputNames()) names.insert(std::move(name));
  }
  for (const auto& [name, shape] : shapes) {
    if (names.contains(name)) continue;
    throw Error(ErrorCode::kInvalid,
                "a shape is given for " + in_quotes(name) + ", which is no input of any model",
                "the inputs are " + list_in_quotes(names));
  }
}

void tell(const MeasureOptions& options, const std::string& what, size_t i, size_t count) {
  if (!options.progress) return;
  options.progress(what + " " + std::to_string(i + 1) + " of " + std::to_string(count));
}

std::vector<Opened> open_all(const std::vector<NamedModel>& models, const Opener& open,
                             const MeasureOptions& options, Measurement& result) {
  std::vector<Opened> opened;
  std::set<const Ort::Session*> distinct;
  for (const NamedModel& model : models) {
    for (unsigned i = 0; i < options.sessions; ++i) {
      tell(options, "opening session", opened.size(), models.size() * options.sessions);
      const uint64_t before = measure_memory().anonymous;
      const auto start = Clock::now();
      opened.push_back({&model, translate_errors(model.name, [&] { return open(model); })});
      const double created = milliseconds_since(start);
      const uint64_t after = measure_memory().anonymous;
      result.sessions.push_back({model.session_model(), created, 0, 0,
                                 model.is_task() ? model.name : "", model.shares_session,
                                 after > before ? after - before : 0});
      distinct.insert(opened.back().runner.session.get());
    }
  }
  result.session_count = distinct.size();
  return opened;
}

// Runs each session for the first time, and returns what each model runs on.
std::map<const NamedModel*, Inputs> run_all_first(const std::vector<Opened>& opened,
                                                  const MeasureOptions& options,
                                                  Measurement& result) {
  std::map<const NamedModel*, Inputs> inputs;
  for (size_t i = 0; i < opened.size(); ++i) {
    tell(options, "first run of session", i, opened.size());
    const NamedModel& model = *opened[i].model;
    const auto known = inputs.find(&model);
    if (known == inputs.end()) {
      FirstRun first = run_first(model, opened[i].runner, options.inputs);
      result.sessions[i].first_run_ms = first.milliseconds;
      inputs.emplace(&model, std::move(first.inputs));
    } else {
      const auto start = Clock::now();
      run_once(model.name, opened[i].runner, known->second);
      result.sessions[i].first_run_ms = milliseconds_since(start);
    }
  }
  return inputs;
}

// Returns what all sessions hold on their device, once where they share it.
uint64_t bytes_on_device(const std::vector<Opened>& opened, const MeasureOptions& options) {
  if (!options.device) return 0;
  uint64_t bytes = options.shared_on_device ? options.shared_on_device() : 0;
  std::set<const Ort::Session*> seen;
  for (const Opened& each : opened) {
    if (!seen.insert(each.runner.session.get()).second) continue;
    const auto use = options.device->use_of(*each.runner.session);
    bytes += use ? use->held : 0;
  }
  return bytes;
}

}  // namespace

Measurement measure(const std::vector<NamedModel>& models, const Opener& open,
                    const MeasureOptions& options) {
  Measurement result;
  const std::vector<Opened> opened = open_all(models, open, options, result);
  check_shapes_are_used(options.inputs.shapes, opened);
  const std::map<const NamedModel*, Inputs> inputs = run_all_first(opened, options, result);
  result.memory = measure_memory();
  result.threads = count_threads();
  result.memory.device = bytes_on_device(opened, options);
  for (size_t i = 0; i < opened.size(); ++i) {
    std::vector<double> times;
    for (unsigned run = 0; run < options.repeat; ++run) {
      const auto start = Clock::now();
      run_once(opened[i].model->name, opened[i].runner, inputs.at(opened[i].model));
      times.push_back(milliseconds_since(start));
    }
    SessionFigures& figures = result.sessions[i];
    const auto [least, most] = std::minmax_element(times.begin(), times.end());
    if (!times.empty()) figures.run_ms_min = *least, figures.run_ms_max = *most;
    figures.run_ms_median = median(std::move(times));
  }
  return result;
}

std::vector<ParityRow> compare_models(const NamedModel& ours, const Opener& open_ours,
                                      const NamedModel& theirs, const Opener& open_theirs,
                                      const InputOptions& inputs,
                                      const std::optional<Device>& device) {
  const Runner our_runner = translate_errors(ours.name, [&] { return open_ours(ours); });
  const Runner their_runner =
      translate_errors(theirs.path.string(), [&] { return open_theirs(theirs); });
  const std::vector<std::string> names = our_runner.session->GetOutputNames();
  if (names != their_runner.session->GetOutputNames() ||
      our_runner.session->GetInputNames() != their_runner.session->GetInputNames()) {
    throw Error(ErrorCode::kInvalid,
                in_quotes(theirs.path.string()) + ": has other inputs or outputs than model " +
                    in_quotes(ours.name) + " of the bundle",
                "--against wants the file that this model was made from");
  }
  const FirstRun first = run_first(ours, our_runner, inputs);
  const std::vector<Ort::Value> their_outputs =
      run_once(theirs.path.string(), their_runner, first.inputs);
  std::vector<ParityRow> rows = compare_outputs(ours.name, names, first.outputs, their_outputs);
  add_noise(rows, theirs, names, first.inputs, their_outputs, device);
  return rows;
}

Opener shared_opener(Bundle& bundle, Tier tier, const std::optional<Device>& device,
                     DeviceCopies copies) {
  // Of each base, its sessions; of each base and task, how many it has taken.
  struct State {
    std::map<std::string, std::vector<TaskSession>> sessions;
    std::map<std::pair<std::string, std::string>, size_t> taken;
  };
  const auto state = std::make_shared<State>();
  return [&bundle, tier, device, copies, state](const NamedModel& model) {
    const SessionOptions options{tier, default_ort_options(), device, copies};
    const std::string& of = model.session_model();
    if (!model.shares_session) {
      const auto session = std::make_shared<Session>(bundle.session(of, options));
      return Runner{std::shared_ptr<Ort::Session>(session, &**session),
                    std::make_shared<Ort::RunOptions>()};
    }
    std::vector<TaskSession>& sessions = state->sessions[of];
    const std::string task = model.is_task() ? model.name : "";
    const size_t number = state->taken[{of, task}]++;
    if (number == sessions.size()) sessions.push_back(bundle.task_session(of, options));
    const auto session = std::make_shared<TaskSession>(sessions[number]);
    return Runner{std::shared_ptr<Ort::Session>(session, &session->session()),
                  std::make_shared<Ort::RunOptions>(session->options(task)),
                  device ? session : nullptr, task};
  };
}

void silence_log() { environment().UpdateEnvWithCustomLogLevel(ORT_LOGGING_LEVEL_FATAL); }

Opener plain_opener(const std::optional<Device>& device, int threads) {
  return [=](const NamedModel& model) {
    return open_at_level(model, ORT_ENABLE_ALL, device, threads);
  };
}

Runner open_plain(const NamedModel& model) { return plain_opener(std::nullopt)(model); }

Ort::SessionOptions default_ort_options(int threads) {
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(threads);
  options.SetInterOpNumThreads(1);
  return options;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace wshare

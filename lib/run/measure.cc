#include "run/measure.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <optional>
#include <set>

#include "format/manifest.h"
#include "runtime/ort_errors.h"
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

Runner open_at_level(const NamedModel& model, GraphOptimizationLevel level) {
  return translate_errors(model.path.string(), [&] {
    Ort::SessionOptions options = default_ort_options();
    options.SetGraphOptimizationLevel(level);
    return Runner{std::make_shared<Ort::Session>(environment(), model.path.c_str(), options),
                  std::make_shared<Ort::RunOptions>()};
  });
}

// Fills in how much the original differs from itself without optimisations, where there is a
// difference to judge.
void add_noise(std::vector<ParityRow>& rows, const NamedModel& original,
               const std::vector<std::string>& names, const Inputs& inputs,
               const std::vector<Ort::Value>& optimised) {
  const auto differs = [](const ParityRow& row) { return !row.bit_equal; };
  if (std::none_of(rows.begin(), rows.end(), differs)) return;
  const Runner plain = open_at_level(original, ORT_DISABLE_ALL);
  const std::vector<ParityRow> noise =
      compare_outputs(original.name, names, run_once(original.name, plain, inputs), optimised);
  for (size_t i = 0; i < rows.size(); ++i) {
    if (differs(rows[i])) rows[i].noise_abs_diff = noise[i].max_abs_diff;
  }
}

// True if the task is an adapter over its base, or equal to it.
bool is_over_base(const TaskRecord& task) { return task.adapter || task.model.empty(); }

const TaskRecord& require_task(const Manifest& manifest, const std::string& name) {
  if (const TaskRecord* task = find_task(manifest, name)) return *task;
  std::string names;
  for (const TaskRecord& task : manifest.tasks)
    names += (names.empty() ? "" : ", ") + in_quotes(task.name);
  throw Error(ErrorCode::kInvalid, in_quotes(name) + ": no such task in the bundle",
              names.empty() ? "it has no tasks" : "it has " + names);
}

void check_shapes_are_used(const Shapes& shapes, const std::vector<Opened>& opened) {
  std::set<std::string> names;
  for (const Opened& one : opened) {
    for (std::string& name : one.runner.session->GetInputNames()) names.insert(std::move(name));
  }
  for (const auto& [name, shape] : shapes) {
    if (names.contains(name)) continue;
    std::string known;
    for (const std::string& input : names) known += (known.empty() ? "" : ", ") + in_quotes(input);
    throw Error(ErrorCode::kInvalid,
                "a shape is given for " + in_quotes(name) + ", which is no input of any model",
                "the inputs are " + known);
  }
}

}  // namespace

std::vector<NamedModel> find_models(const std::filesystem::path& folder,
                                    const std::vector<std::string>& names,
                                    const std::vector<std::string>& tasks) {
  const Manifest manifest = load_manifest(folder);
  std::vector<NamedModel> models;
  const auto add = [&](const std::string& name, const ModelRecord& model, const std::string& base) {
    const auto is_named = [&](const NamedModel& other) { return other.name == name; };
    if (std::any_of(models.begin(), models.end(), is_named)) return;
    models.push_back({name, folder / model.file, base});
  };
  const bool all = names.empty() && tasks.empty();
  std::set<std::string> bases;  // of the tasks that run
  for (const TaskRecord& task : manifest.tasks) {
    const bool runs = all || std::count(tasks.begin(), tasks.end(), task.name) > 0;
    if (runs && is_over_base(task)) bases.insert(task.base);
  }
  const auto add_model = [&](const ModelRecord& model) {
    add(model.name, model, bases.contains(model.name) ? model.name : "");
  };
  const auto add_task = [&](const TaskRecord& task) {
    if (!is_over_base(task)) return add_model(find_model(manifest, task.model));
    add(task.name, find_model(manifest, task.base), task.base);
  };
  for (const std::string& name : names) add_model(find_model(manifest, name));
  for (const std::string& name : tasks) add_task(require_task(manifest, name));
  if (all) {
    for (const ModelRecord& model : manifest.models) add_model(model);
    for (const TaskRecord& task : manifest.tasks) add_task(task);
  }
  if (models.empty())
    throw Error(ErrorCode::kInvalid, in_quotes(folder.string()) + ": has no models");
  return models;
}

Measurement measure(const std::vector<NamedModel>& models, const Opener& open,
                    const MeasureOptions& options) {
  Measurement result;
  std::vector<Opened> opened;
  for (const NamedModel& model : models) {
    for (unsigned i = 0; i < options.sessions; ++i) {
      const auto start = Clock::now();
      opened.push_back({&model, translate_errors(model.name, [&] { return open(model); })});
      result.sessions.push_back({model.name, milliseconds_since(start), 0, 0, model.base});
    }
  }
  std::set<const Ort::Session*> sessions;
  for (const Opened& one : opened) sessions.insert(one.runner.session.get());
  result.session_count = sessions.size();
  check_shapes_are_used(options.inputs.shapes, opened);
  std::map<const NamedModel*, Inputs> inputs;
  for (size_t i = 0; i < opened.size(); ++i) {
    const auto known = inputs.find(opened[i].model);
    double& milliseconds = result.sessions[i].first_run_ms;
    if (known == inputs.end()) {
      FirstRun first = run_first(*opened[i].model, opened[i].runner, options.inputs);
      milliseconds = first.milliseconds;
      inputs.emplace(opened[i].model, std::move(first.inputs));
    } else {
      const auto start = Clock::now();
      run_once(opened[i].model->name, opened[i].runner, known->second);
      milliseconds = milliseconds_since(start);
    }
  }
  result.memory = measure_memory();
  for (size_t i = 0; i < opened.size(); ++i) {
    std::vector<double> times;
    for (unsigned run = 0; run < options.repeat; ++run) {
      const auto start = Clock::now();
      run_once(opened[i].model->name, opened[i].runner, inputs.at(opened[i].model));
      times.push_back(milliseconds_since(start));
    }
    result.sessions[i].run_ms_median = median(std::move(times));
  }
  return result;
}

std::vector<ParityRow> compare_models(const NamedModel& ours, const Opener& open_ours,
                                      const NamedModel& theirs, const Opener& open_theirs,
                                      const InputOptions& inputs) {
  const Runner our_runner = translate_errors(ours.name, [&] { return open_ours(ours); });
  const Runner their_runner =
      translate_errors(theirs.path.string(), [&] { return open_theirs(theirs); });
  const std::vector<std::string> names = our_runner.session->GetOutputNames();
  if (names != their_runner.session->GetOutputNames() ||
      our_runner.session->GetInputNames() != their_runner.session->GetInputNames()) {
    throw Error(ErrorCode::kInvalid, in_quotes(theirs.path.string()) +
                                         ": has other inputs or outputs than model " +
                                         in_quotes(ours.name) + " of the bundle");
  }
  const FirstRun first = run_first(ours, our_runner, inputs);
  const std::vector<Ort::Value> their_outputs =
      run_once(theirs.path.string(), their_runner, first.inputs);
  std::vector<ParityRow> rows = compare_outputs(ours.name, names, first.outputs, their_outputs);
  add_noise(rows, theirs, names, first.inputs, their_outputs);
  return rows;
}

Opener shared_opener(Bundle& bundle, Tier tier) {
  // Of each base, its sessions; of each model or task, how many it has taken.
  struct State {
    std::map<std::string, std::vector<TaskSession>> sessions;
    std::map<std::string, size_t> taken;
  };
  const auto state = std::make_shared<State>();
  return [&bundle, tier, state](const NamedModel& model) {
    const SessionOptions options{tier, default_ort_options()};
    if (model.base.empty()) {
      const auto session = std::make_shared<Session>(bundle.session(model.name, options));
      return Runner{std::shared_ptr<Ort::Session>(session, &**session),
                    std::make_shared<Ort::RunOptions>()};
    }
    std::vector<TaskSession>& sessions = state->sessions[model.base];
    const size_t number = state->taken[model.name]++;
    if (number == sessions.size()) sessions.push_back(bundle.task_session(model.base, options));
    const auto session = std::make_shared<TaskSession>(sessions[number]);
    return Runner{
        std::shared_ptr<Ort::Session>(session, &session->session()),
        std::make_shared<Ort::RunOptions>(session->options(model.is_task() ? model.name : ""))};
  };
}

void silence_log() { environment().UpdateEnvWithCustomLogLevel(ORT_LOGGING_LEVEL_FATAL); }

Runner open_plain(const NamedModel& model) { return open_at_level(model, ORT_ENABLE_ALL); }

Ort::SessionOptions default_ort_options() {
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);
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

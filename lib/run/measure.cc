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

std::vector<Ort::Value> run_once(const std::string& model, Ort::Session& session,
                                 const Inputs& inputs) {
  const std::vector<std::string> outputs = session.GetOutputNames();
  const std::vector<const char*> input_names = pointers(inputs.names);
  const std::vector<const char*> output_names = pointers(outputs);
  try {
    return translate_errors(model, [&] {
      return session.Run(Ort::RunOptions{nullptr}, input_names.data(), inputs.values.data(),
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
  std::shared_ptr<Ort::Session> session;
};

// What a model ran on for the first time.
struct FirstRun {
  Inputs inputs;
  std::vector<Ort::Value> outputs;
  double milliseconds = 0;
};

// Runs `session` for the first time. Free dimensions get a few tokens at first; where the model
// refuses that (images that are halved five times, audio that is cut into windows), more.
FirstRun run_first(const NamedModel& model, Ort::Session& session, InputOptions options) {
  constexpr std::array<int64_t, 4> kFreeDims = {8, 32, 224, 1280};
  std::optional<Error> refused;
  for (const int64_t free_dim : kFreeDims) {
    options.free_dim = free_dim;
    FirstRun first{inputs_for(model, session, options), {}, 0};
    const auto start = Clock::now();
    try {
      first.outputs = run_once(model.name, session, first.inputs);
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

void check_shapes_are_used(const Shapes& shapes, const std::vector<Opened>& opened) {
  std::set<std::string> names;
  for (const Opened& one : opened) {
    for (std::string& name : one.session->GetInputNames()) names.insert(std::move(name));
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
                                    const std::vector<std::string>& names) {
  const Manifest manifest = load_manifest(folder);
  std::vector<NamedModel> models;
  for (const std::string& name : names) {
    const auto is_named = [&](const NamedModel& model) { return model.name == name; };
    if (std::any_of(models.begin(), models.end(), is_named)) continue;
    models.push_back({name, folder / find_model(manifest, name).file});
  }
  if (!names.empty()) return models;
  for (const ModelRecord& model : manifest.models)
    models.push_back({model.name, folder / model.file});
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
      result.sessions.push_back({model.name, milliseconds_since(start), 0, 0});
    }
  }
  check_shapes_are_used(options.inputs.shapes, opened);
  std::map<const NamedModel*, Inputs> inputs;
  for (size_t i = 0; i < opened.size(); ++i) {
    const auto known = inputs.find(opened[i].model);
    double& milliseconds = result.sessions[i].first_run_ms;
    if (known == inputs.end()) {
      FirstRun first = run_first(*opened[i].model, *opened[i].session, options.inputs);
      milliseconds = first.milliseconds;
      inputs.emplace(opened[i].model, std::move(first.inputs));
    } else {
      const auto start = Clock::now();
      run_once(opened[i].model->name, *opened[i].session, known->second);
      milliseconds = milliseconds_since(start);
    }
  }
  result.memory = measure_memory();
  for (size_t i = 0; i < opened.size(); ++i) {
    std::vector<double> times;
    for (unsigned run = 0; run < options.repeat; ++run) {
      const auto start = Clock::now();
      run_once(opened[i].model->name, *opened[i].session, inputs.at(opened[i].model));
      times.push_back(milliseconds_since(start));
    }
    result.sessions[i].run_ms_median = median(std::move(times));
  }
  return result;
}

std::vector<ParityRow> compare_models(const NamedModel& ours, const Opener& open_ours,
                                      const NamedModel& theirs, const Opener& open_theirs,
                                      const InputOptions& inputs) {
  const auto our_session = translate_errors(ours.name, [&] { return open_ours(ours); });
  const auto their_session =
      translate_errors(theirs.path.string(), [&] { return open_theirs(theirs); });
  const std::vector<std::string> names = our_session->GetOutputNames();
  if (names != their_session->GetOutputNames() ||
      our_session->GetInputNames() != their_session->GetInputNames()) {
    throw Error(ErrorCode::kInvalid, in_quotes(theirs.path.string()) +
                                         ": has other inputs or outputs than model " +
                                         in_quotes(ours.name) + " of the bundle");
  }
  const FirstRun first = run_first(ours, *our_session, inputs);
  const std::vector<Ort::Value> their_outputs =
      run_once(theirs.path.string(), *their_session, first.inputs);
  return compare_outputs(ours.name, names, first.outputs, their_outputs);
}

Opener shared_opener(Bundle& bundle, Tier tier) {
  return [&bundle, tier](const NamedModel& model) {
    const SessionOptions options{tier, default_ort_options()};
    const auto session = std::make_shared<Session>(bundle.session(model.name, options));
    return std::shared_ptr<Ort::Session>(session, &**session);
  };
}

void silence_log() { environment().UpdateEnvWithCustomLogLevel(ORT_LOGGING_LEVEL_FATAL); }

std::shared_ptr<Ort::Session> open_plain(const NamedModel& model) {
  return translate_errors(model.path.string(), [&] {
    return std::make_shared<Ort::Session>(environment(), model.path.c_str(), default_ort_options());
  });
}

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

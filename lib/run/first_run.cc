#include "run/first_run.h"

#include <array>
#include <optional>

#include "runtime/ort_errors.h"
#include "util/stopwatch.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

std::vector<const char*> pointers(const std::vector<std::string>& names) {
  std::vector<const char*> result;
  for (const std::string& name : names) result.push_back(name.c_str());
  return result;
}

Inputs inputs_for(const NamedModel& model, const Ort::Session& session,
                  const InputOptions& options) {
  try {
    return translate_errors(
        model.name, [&] { return make_inputs(model.names(), session, model.path, options); });
  } catch (const Error& error) {
    const std::string subject = in_quotes(model.name) + ": ";
    const std::string message = error.what();
    throw Error(error.code(), message.starts_with(subject) ? message : subject + message,
                error.hint());
  }
}

// Says what was made up, as the options that would give it: a user changes one and tries again.
std::string hint_about(const Inputs& inputs) {
  constexpr size_t kMost = 6;
  std::string shapes;
  size_t shown = 0;
  for (size_t i = 0; i < inputs.names.size() && shown < kMost; ++i) {
    if (!inputs.values[i].IsTensor()) continue;
    const std::vector<int64_t> dims = inputs.values[i].GetTensorTypeAndShapeInfo().GetShape();
    if (dims.empty()) continue;
    std::string shape;
    for (const int64_t dim : dims) shape += (shape.empty() ? "" : "x") + std::to_string(dim);
    shapes += " --shape " + inputs.names[i] + "=" + shape;
    ++shown;
  }
  return "the model may need other inputs" + (shapes.empty() ? "" : " than" + shapes) +
         ": give shapes with --shape NAME=1x32, values with --value NAME=1, or files with "
         "--inputs DIR";
}

}  // namespace

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
                hint_about(inputs));
  }
}

FirstRun run_first(const NamedModel& model, const Runner& runner, InputOptions options) {
  constexpr std::array<int64_t, 4> kFreeDims = {8, 32, 224, 1280};
  std::optional<Error> refused;
  for (const int64_t free_dim : kFreeDims) {
    options.free_dim = free_dim;
    FirstRun first{inputs_for(model, *runner.session, options), {}, 0};
    const Stopwatch watch;
    try {
      first.outputs = run_once(model.name, runner, first.inputs);
    } catch (const Error& error) {
      if (!first.inputs.free_dims) throw;
      if (!refused) refused = error;
      continue;
    }
    first.milliseconds = watch.milliseconds();
    return first;
  }
  throw *refused;
}

}  // namespace wshare

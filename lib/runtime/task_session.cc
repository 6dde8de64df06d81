#include <mutex>
#include <span>
#include <utility>

#include "runtime/bundle_state.h"
#include "runtime/device_boot.h"
#include "runtime/ort_errors.h"
#include "runtime/task_adapters.h"
#include "util/system_errors.h"
#include "util/text.h"
#include "wshare/error.h"
#include "wshare/runtime.h"

namespace wshare {

struct TaskSession::State {
  State(Session made, std::shared_ptr<const OpenBundle> opened,
        const std::shared_ptr<BundleState>& bundle, const std::string& model,
        std::shared_ptr<const DeviceWeights> runs_on)
      : base(model),
        device(std::move(runs_on)),
        adapters(std::move(opened), bundle, model,
                 translate_errors(model, [&] { return wshare::inputs_of(*made); }), device),
        session(std::move(made)) {}

  // Keeps copies and other runs from the device, where it needs that.
  std::unique_lock<std::recursive_mutex> take_turn() const {
    if (device == nullptr) return {};
    return wshare::take_turn(device->device());
  }

  const std::string base;
  const std::shared_ptr<const DeviceWeights> device;  // that the session runs on; null: the CPU
  TaskAdapters adapters;
  Session session;  // after what it points into, so that it is destroyed first
};

namespace {

// Runs with the adapter's values as inputs. On a device they are there; given as a LoraAdapter,
// ONNX Runtime would copy them there at each run.
std::vector<Ort::Value> run_with(const TaskAdapter& adapter, Ort::Session& session,
                                 std::span<const char* const> input_names,
                                 std::span<const Ort::Value> inputs,
                                 std::span<const char* const> output_names) {
  std::vector<const char*> names(input_names.begin(), input_names.end());
  std::vector<const OrtValue*> values(inputs.begin(), inputs.end());
  for (size_t i = 0; i < adapter.values.size(); ++i) {
    names.push_back(adapter.parameters[i].name.c_str());
    values.push_back(adapter.values[i]);
  }
  std::vector<OrtValue*> results(output_names.size(), nullptr);
  Ort::ThrowOnError(Ort::GetApi().Run(session, nullptr, names.data(), values.data(), values.size(),
                                      output_names.data(), output_names.size(), results.data()));
  std::vector<Ort::Value> outputs;
  for (OrtValue* result : results) outputs.emplace_back(result);
  return outputs;
}

// ONNX Runtime would take either, and not say which.
void check_not_given(const std::string& task, const TaskAdapter& adapter,
                     std::span<const char* const> input_names) {
  for (const char* const name : input_names) {
    if (!adapter.names.contains(std::string_view(name))) continue;
    throw Error(ErrorCode::kInvalid, "task " + in_quotes(task) + ": input " + in_quotes(name) +
                                         " is given by the task and by the caller");
  }
}

Ort::RunOptions options_for(const TaskAdapter* adapter) {
  Ort::RunOptions options;
  if (adapter != nullptr) options.AddActiveLoraAdapter(adapter->adapter);
  return options;
}

}  // namespace

std::vector<std::string> TaskSession::tasks() const { return state_->adapters.tasks(); }

Ort::RunOptions TaskSession::options(const std::string& task) {
  const std::shared_ptr<const TaskAdapter> adapter = state_->adapters.find(task);
  return translate_errors(task, [&] { return options_for(adapter.get()); });
}

std::vector<Ort::Value> TaskSession::run(const std::string& task, const char* const* input_names,
                                         const Ort::Value* inputs, size_t input_count,
                                         const char* const* output_names, size_t output_count) {
  const std::shared_ptr<const TaskAdapter> adapter = state_->adapters.find(task);
  if (adapter != nullptr) check_not_given(task, *adapter, {input_names, input_count});
  return translate_errors(task.empty() ? state_->base : task, [&] {
    const auto turn = state_->take_turn();
    if (adapter != nullptr && state_->device != nullptr) {
      return run_with(*adapter, session(), {input_names, input_count}, {inputs, input_count},
                      {output_names, output_count});
    }
    return session().Run(options_for(adapter.get()), input_names, inputs, input_count, output_names,
                         output_count);
  });
}

void TaskSession::bind(Ort::UnownedIoBinding binding, const std::string& task) {
  translate_errors(task.empty() ? state_->base : task, [&] {
    const std::shared_ptr<const TaskInputs> inputs = state_->adapters.inputs_of(task);
    const auto turn = state_->take_turn();  // it copies
    for (const auto& [name, value] : inputs->values) binding.BindInput(name.c_str(), *value);
  });
}

void TaskSession::add_adapter(const std::string& name, const std::filesystem::path& path) {
  state_->adapters.add(name, path);
}

void TaskSession::remove_adapter(const std::string& task) { state_->adapters.remove(task); }

Ort::Session& TaskSession::session() { return *state_->session; }

TaskSession Bundle::task_session(const std::string& base, const SessionOptions& options) try {
  const std::shared_ptr<BundleState> bundle = opened_->now();
  std::shared_ptr<const DeviceWeights> device;
  if (options.device && !options.device->shares_by_itself())
    device = bundle->weights_on(*options.device);
  return TaskSession(std::make_shared<TaskSession::State>(make_session(bundle, base, options),
                                                          opened_, bundle, base, device));
} catch (const std::system_error& error) {
  throw_as_error(error);
}

}  // namespace wshare

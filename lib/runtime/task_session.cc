#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "format/manifest/manifest.h"
#include "runtime/bundle_state.h"
#include "runtime/device_boot.h"
#include "runtime/empty_inputs.h"
#include "runtime/input_defaults.h"
#include "runtime/ort_errors.h"
#include "runtime/task_adapter.h"
#include "util/name_list.h"
#include "util/system_errors.h"
#include "util/text.h"
#include "wshare/error.h"
#include "wshare/runtime.h"

namespace wshare {

struct TaskSession::State {
  // Returns the adapter of `task`, opened if need be; null for the base and what equals it.
  const TaskAdapter* find_adapter(const std::string& task);
  // Returns the inputs that any task gives, as far as is known.
  std::set<std::string> find_parameters() const;
  // Keeps copies and other runs from the device, where it needs that.
  std::unique_lock<std::recursive_mutex> take_turn() const {
    if (device == nullptr) return {};
    return wshare::take_turn(device->device());
  }
  // Reads the defaults of `names` that are not known yet.
  void read_missing_defaults(const std::set<std::string>& names);

  std::shared_ptr<BundleState> bundle;
  std::shared_ptr<const DeviceWeights> device;  // that the session runs on; null: the CPU
  std::string base;
  std::mutex mutex;
  // Guarded by mutex. Adapters stand before the session, which is destroyed first; none ever goes.
  std::map<std::string, TaskAdapter> adapters;
  std::vector<std::string> added;              // names of add_adapter()
  std::map<std::string, Ort::Value> defaults;  // of inputs that bind() has needed
  std::optional<Session> session;
  SessionInputs inputs;
};

namespace {

const TaskRecord& find_adapter_task(const std::vector<TaskRecord>& tasks, const std::string& base,
                                    const std::vector<std::string>& added,
                                    const std::string& name) {
  std::vector<std::string> names;
  for (const TaskRecord& task : tasks) {
    if (task.base != base) continue;
    if (task.name == name && is_over_base(task)) return task;
    if (task.name == name) {
      throw Error(ErrorCode::kInvalid,
                  "task " + in_quotes(name) + " is no adapter over " + in_quotes(base),
                  "it has a model of its own: open a session of " + in_quotes(task.model));
    }
    if (is_over_base(task)) names.push_back(task.name);
  }
  names.insert(names.end(), added.begin(), added.end());
  throw Error(ErrorCode::kInvalid,
              in_quotes(name) + ": no such task over " + in_quotes(base) + " in the bundle",
              names.empty() ? "it has none" : "it has " + list_in_quotes(names));
}

// The hash says that the file is the manifest's; this, that the manifest's list is the file's.
void check_is_listed(const TaskRecord& task, const std::vector<NamedTensor>& listed,
                     const TaskAdapter& adapter) {
  const auto same = [](const NamedTensor& a, const NamedTensor& b) {
    return a.name == b.name && a.dtype == b.dtype && a.shape == b.shape;
  };
  if (std::equal(listed.begin(), listed.end(), adapter.parameters.begin(), adapter.parameters.end(),
                 same)) {
    return;
  }
  throw Error(ErrorCode::kInvalid,
              in_quotes(adapter.file.path().string()) +
                  ": its parameters are not the ones that the manifest lists for task " +
                  in_quotes(task.name));
}

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

}  // namespace

const TaskAdapter* TaskSession::State::find_adapter(const std::string& task) {
  if (task.empty()) return nullptr;
  const std::lock_guard lock(mutex);
  const auto found = adapters.find(task);
  if (found != adapters.end()) return &found->second;
  const TaskRecord& record = find_adapter_task(bundle->manifest.tasks(), base, added, task);
  if (!record.adapter) return nullptr;
  const std::vector<NamedTensor> listed = parameters_of(record);
  check_parameters(task, listed, inputs);
  TaskAdapter adapter = translate_errors(task, [&] {
    return read_task_adapter(bundle->files.whole_blob(*record.adapter), device.get());
  });
  check_is_listed(record, listed, adapter);
  return &adapters.emplace(task, std::move(adapter)).first->second;
}

std::set<std::string> TaskSession::State::find_parameters() const {
  std::set<std::string> names;
  for (const TaskRecord& task : bundle->manifest.tasks()) {
    if (task.base != base) continue;
    for (const ParameterRecord& parameter : task.parameters) names.insert(parameter.name);
  }
  for (const auto& [name, adapter] : adapters) {
    names.insert(adapter.names.begin(), adapter.names.end());
  }
  // What is no input was refused when its task was named.
  std::erase_if(names, [&](const std::string& name) { return !inputs.contains(name); });
  return names;
}

void TaskSession::State::read_missing_defaults(const std::set<std::string>& names) {
  std::set<std::string> missing;
  for (const std::string& name : names) {
    if (!defaults.contains(name)) missing.insert(name);
  }
  if (missing.empty()) return;
  const ModelRecord record = bundle->manifest.read(base).model;
  const MappedFile model = bundle->files.model(record);
  std::map<std::string, Ort::Value> read = read_defaults(
      model.bytes(), record, [&](const Extent& at) { return bundle->files.bytes(at); }, missing);
  if (device != nullptr && device->fails_on_empty()) {
    for (auto& [name, value] : read) value = fill_empty(std::move(value));
  }
  defaults.merge(read);
}

std::vector<std::string> TaskSession::tasks() const {
  std::vector<std::string> names;
  for (const TaskRecord& task : state_->bundle->manifest.tasks()) {
    if (task.base == state_->base && is_over_base(task)) names.push_back(task.name);
  }
  const std::lock_guard lock(state_->mutex);
  names.insert(names.end(), state_->added.begin(), state_->added.end());
  return names;
}

Ort::RunOptions TaskSession::options(const std::string& task) {
  const TaskAdapter* adapter = state_->find_adapter(task);
  return translate_errors(task, [&] {
    Ort::RunOptions options;
    if (adapter != nullptr) options.AddActiveLoraAdapter(adapter->adapter);
    return options;
  });
}

std::vector<Ort::Value> TaskSession::run(const std::string& task, const char* const* input_names,
                                         const Ort::Value* inputs, size_t input_count,
                                         const char* const* output_names, size_t output_count) {
  const TaskAdapter* adapter = state_->find_adapter(task);
  for (size_t i = 0; adapter != nullptr && i < input_count; ++i) {
    // ONNX Runtime would take either, and not say which.
    if (!adapter->names.contains(std::string_view(input_names[i]))) continue;
    throw Error(ErrorCode::kInvalid, "task " + in_quotes(task) + ": input " +
                                         in_quotes(input_names[i]) +
                                         " is given by the task and by the caller");
  }
  return translate_errors(task.empty() ? state_->base : task, [&] {
    const auto turn = state_->take_turn();
    if (adapter != nullptr && state_->device != nullptr) {
      return run_with(*adapter, session(), {input_names, input_count}, {inputs, input_count},
                      {output_names, output_count});
    }
    return session().Run(options(task), input_names, inputs, input_count, output_names,
                         output_count);
  });
}

void TaskSession::bind(Ort::UnownedIoBinding binding, const std::string& task) {
  const TaskAdapter* adapter = state_->find_adapter(task);
  std::map<std::string, const Ort::Value*> values;
  for (size_t i = 0; adapter != nullptr && i < adapter->values.size(); ++i) {
    values[adapter->parameters[i].name] = &adapter->values[i];
  }
  const std::lock_guard lock(state_->mutex);
  std::set<std::string> rest = state_->find_parameters();
  std::erase_if(rest, [&](const std::string& name) { return values.contains(name); });
  translate_errors(task.empty() ? state_->base : task, [&] {
    state_->read_missing_defaults(rest);
    for (const std::string& name : rest) {
      const auto known = state_->defaults.find(name);
      if (known == state_->defaults.end()) {
        throw Error(ErrorCode::kInvalid,
                    "input " + in_quotes(name) + " has no default, and task " + in_quotes(task) +
                        " does not give it",
                    "one binding cannot take turns with a task that gives it");
      }
      values[name] = &known->second;
    }
    const auto turn = state_->take_turn();  // it copies
    for (const auto& [name, value] : values) binding.BindInput(name.c_str(), *value);
  });
}

void TaskSession::add_adapter(const std::string& name, const std::filesystem::path& path) {
  if (name.empty()) throw Error(ErrorCode::kInvalid, "a task needs a name");
  TaskAdapter adapter = translate_errors(name, [&] {
    return read_task_adapter(MappedFile::open(std::filesystem::absolute(path)),
                             state_->device.get());
  });
  check_parameters(name, adapter.parameters, state_->inputs);
  const std::lock_guard lock(state_->mutex);
  const std::vector<TaskRecord>& tasks = state_->bundle->manifest.tasks();
  const bool is_known = std::any_of(tasks.begin(), tasks.end(),
                                    [&](const TaskRecord& task) { return task.name == name; });
  if (is_known || state_->adapters.contains(name)) {
    throw Error(ErrorCode::kInvalid, in_quotes(name) + ": there is a task of this name already");
  }
  state_->adapters.emplace(name, std::move(adapter));
  state_->added.push_back(name);
}

Ort::Session& TaskSession::session() { return **state_->session; }

TaskSession Bundle::task_session(const std::string& base, const SessionOptions& options) try {
  auto state = std::make_shared<TaskSession::State>();
  state->bundle = state_;
  state->base = base;
  if (options.device && !options.device->shares_by_itself())
    state->device = state_->weights_on(*options.device);
  state->session.emplace(session(base, options));
  state->inputs = translate_errors(base, [&] { return inputs_of(**state->session); });
  return TaskSession(std::move(state));
} catch (const std::system_error& error) {
  throw_as_error(error);
}

}  // namespace wshare

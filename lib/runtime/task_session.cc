#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "format/dtype.h"
#include "format/manifest.h"
#include "runtime/bundle_state.h"
#include "runtime/ort_errors.h"
#include "util/mapped_file.h"
#include "util/text.h"
#include "wshare/error.h"
#include "wshare/runtime.h"

// ONNX Runtime appends the parameters of an adapter to the inputs of a run. It does not look at who
// made them, so what could go wrong silently is checked here, once per task: the file is the one
// that the manifest names, and each parameter is an input of the session with its type and shape.

namespace wshare {

struct TaskSession::State {
  std::shared_ptr<Bundle::State> bundle;
  std::string base;
  std::map<std::string, Ort::LoraAdapter> adapters;  // guarded by mutex; before the session
  std::mutex mutex;
  std::optional<Session> session;
};

namespace {

struct Input {
  ONNXTensorElementDataType dtype;
  std::vector<int64_t> shape;  // -1: free
};

// What a session may be given: inputs proper, and those with a default.
std::map<std::string, Input> inputs_of(const Ort::Session& session) {
  std::map<std::string, Input> inputs;
  const Ort::AllocatorWithDefaultOptions allocator;
  const auto add = [&](const std::string& name, const Ort::TypeInfo& type) {
    if (type.GetONNXType() != ONNX_TYPE_TENSOR) return;
    const auto info = type.GetTensorTypeAndShapeInfo();
    inputs[name] = {info.GetElementType(), info.GetShape()};
  };
  for (size_t i = 0; i < session.GetInputCount(); ++i) {
    add(session.GetInputNameAllocated(i, allocator).get(), session.GetInputTypeInfo(i));
  }
  for (size_t i = 0; i < session.GetOverridableInitializerCount(); ++i) {
    add(session.GetOverridableInitializerNameAllocated(i, allocator).get(),
        session.GetOverridableInitializerTypeInfo(i));
  }
  return inputs;
}

[[noreturn]] void refuse(const TaskRecord& task, const std::string& parameter,
                         const std::string& why) {
  throw Error(ErrorCode::kInvalid,
              "task " + in_quotes(task.name) + ": parameter " + in_quotes(parameter) + " " + why);
}

void check_parameters(const TaskRecord& task, const Ort::Session& session) {
  const std::map<std::string, Input> inputs = inputs_of(session);
  for (const ParameterRecord& parameter : task.parameters) {
    const auto found = inputs.find(parameter.name);
    if (found == inputs.end()) refuse(task, parameter.name, "is no input of the session");
    const Input& input = found->second;
    if (find_dtype(std::string_view(parameter.dtype))->code != static_cast<int32_t>(input.dtype)) {
      refuse(task, parameter.name, "has another element type than the session's input");
    }
    bool fits = parameter.shape.size() == input.shape.size();
    for (size_t i = 0; fits && i < input.shape.size(); ++i) {
      fits = input.shape[i] < 0 || input.shape[i] == parameter.shape[i];
    }
    if (!fits) refuse(task, parameter.name, "has another shape than the session's input");
  }
}

const TaskRecord& find_adapter_task(const Manifest& manifest, const std::string& base,
                                    const std::string& name) {
  std::string names;
  for (const TaskRecord& task : manifest.tasks) {
    if (task.base != base) continue;
    if (task.name == name && (task.adapter || task.model.empty())) return task;
    if (task.name == name) {
      throw Error(ErrorCode::kInvalid,
                  "task " + in_quotes(name) + " is no adapter over " + in_quotes(base),
                  "it has a model of its own: open a session of " + in_quotes(task.model));
    }
    if (task.adapter || task.model.empty())
      names += (names.empty() ? "" : ", ") + in_quotes(task.name);
  }
  throw Error(ErrorCode::kInvalid,
              in_quotes(name) + ": no such task over " + in_quotes(base) + " in the bundle",
              names.empty() ? "it has none" : "it has " + names);
}

// Maps the adapter of `task` once it is known to be the manifest's.
Ort::LoraAdapter load_adapter(const std::filesystem::path& folder, const BlobRecord& blob) {
  const std::filesystem::path path = std::filesystem::absolute(folder / blob.file);
  const MappedFile file = open_checked(path, blob.size);
  if (content_hash(file.bytes()) != *blob.hash) {
    throw Error(ErrorCode::kInvalid,
                in_quotes(path.string()) + ": its bytes are not the ones of the manifest",
                "'wshare verify' lists what has changed");
  }
  return Ort::LoraAdapter::CreateLoraAdapter(path.c_str(), nullptr);
}

}  // namespace

std::vector<std::string> TaskSession::tasks() const {
  std::vector<std::string> names;
  for (const TaskRecord& task : state_->bundle->manifest.tasks) {
    const bool is_over_base = task.adapter || task.model.empty();  // or equal to it
    if (task.base == state_->base && is_over_base) names.push_back(task.name);
  }
  return names;
}

Ort::RunOptions TaskSession::options(const std::string& task) {
  Ort::RunOptions options;
  if (task.empty()) return options;
  const std::lock_guard lock(state_->mutex);
  auto found = state_->adapters.find(task);
  if (found == state_->adapters.end()) {
    const Manifest& manifest = state_->bundle->manifest;
    const TaskRecord& record = find_adapter_task(manifest, state_->base, task);
    if (!record.adapter) return options;  // equal to the base
    check_parameters(record, **state_->session);
    found = translate_errors(task, [&] {
      return state_->adapters
          .emplace(task, load_adapter(state_->bundle->folder, manifest.blobs[*record.adapter]))
          .first;
    });
  }
  options.AddActiveLoraAdapter(found->second);
  return options;
}

std::vector<Ort::Value> TaskSession::run(const std::string& task, const char* const* input_names,
                                         const Ort::Value* inputs, size_t input_count,
                                         const char* const* output_names, size_t output_count) {
  const Ort::RunOptions run_options = options(task);
  return translate_errors(task.empty() ? state_->base : task, [&] {
    return session().Run(run_options, input_names, inputs, input_count, output_names, output_count);
  });
}

Ort::Session& TaskSession::session() { return **state_->session; }

TaskSession Bundle::task_session(const std::string& base, const SessionOptions& options) {
  auto state = std::make_shared<TaskSession::State>();
  state->bundle = state_;
  state->base = base;
  state->session.emplace(session(base, options));
  return TaskSession(std::move(state));
}

}  // namespace wshare

#include <algorithm>
#include <span>

#include "runtime/c_api/guard.h"
#include "wshare/runtime_c.h"

// Sessions of the C API. Each is a TaskSession, which any model can be: most just have no tasks.

namespace wshare {
namespace {

// The caller's values as the C++ API wants them, given back untouched.
class Lent {
 public:
  explicit Lent(std::span<const OrtValue* const> values) {
    values_.reserve(values.size());
    // ONNX Runtime never writes to an input; its C++ API has no const form.
    for (const OrtValue* value : values) values_.emplace_back(const_cast<OrtValue*>(value));
  }
  ~Lent() {
    for (Ort::Value& value : values_) value.release();
  }
  Lent(const Lent&) = delete;
  Lent& operator=(const Lent&) = delete;

  const Ort::Value* data() const { return values_.data(); }

 private:
  std::vector<Ort::Value> values_;
};

template <typename Item>
std::span<const Item> require_items(const Item* items, size_t count, const char* name) {
  if (count > 0) require(items, name);
  for (size_t i = 0; i < count; ++i) {
    if (items[i] != nullptr) continue;
    throw Error(ErrorCode::kInvalid,
                "argument " + in_quotes(name) + ": item " + std::to_string(i) + " is NULL");
  }
  return {items, count};
}

}  // namespace
}  // namespace wshare

using namespace wshare;

wshare_error* wshare_session_open(wshare_bundle* bundle, const char* model,
                                  const wshare_options* options, wshare_session** session) {
  return guard([&] {
    require_result(session, "session");
    require(bundle, "bundle");
    require(model, "model");
    *session = new wshare_session{options == nullptr
                                      ? bundle->bundle.task_session(model)
                                      : bundle->bundle.task_session(model, options->options)};
  });
}

void wshare_session_close(wshare_session* session) { delete session; }

OrtSession* wshare_session_ort(const wshare_session* session) {
  return session == nullptr ? nullptr : static_cast<OrtSession*>(session->session.session());
}

wshare_error* wshare_session_tasks(const wshare_session* session, wshare_names** tasks) {
  return guard([&] {
    require_result(tasks, "tasks");
    require(session, "session");
    *tasks = new wshare_names{session->session.tasks()};
  });
}

wshare_error* wshare_session_add_adapter(wshare_session* session, const char* name,
                                         const char* path) {
  return guard([&] {
    require(session, "session");
    require(name, "name");
    require(path, "path");
    session->session.add_adapter(name, path);
  });
}

wshare_error* wshare_session_remove_adapter(wshare_session* session, const char* task) {
  return guard([&] {
    require(session, "session");
    require(task, "task");
    session->session.remove_adapter(task);
  });
}

wshare_error* wshare_session_run(wshare_session* session, const char* task,
                                 const char* const* input_names, const OrtValue* const* inputs,
                                 size_t input_count, const char* const* output_names,
                                 size_t output_count, OrtValue** outputs) {
  return guard([&] {
    if (output_count > 0) require(outputs, "outputs");
    std::fill_n(outputs, output_count, nullptr);
    require(session, "session");
    require_items(input_names, input_count, "input_names");
    require_items(output_names, output_count, "output_names");
    const Lent values(require_items(inputs, input_count, "inputs"));
    std::vector<Ort::Value> results = session->session.run(
        text_or_empty(task), input_names, values.data(), input_count, output_names, output_count);
    for (size_t i = 0; i < results.size(); ++i) outputs[i] = results[i].release();
  });
}

wshare_error* wshare_session_run_options(wshare_session* session, const char* task,
                                         OrtRunOptions** options) {
  return guard([&] {
    require_result(options, "options");
    require(session, "session");
    *options = session->session.options(text_or_empty(task)).release();
  });
}

wshare_error* wshare_session_bind(wshare_session* session, OrtIoBinding* binding,
                                  const char* task) {
  return guard([&] {
    require(session, "session");
    require(binding, "binding");
    session->session.bind(Ort::UnownedIoBinding(binding), text_or_empty(task));
  });
}

#include "run/job_json.h"

#include <array>
#include <concepts>
#include <limits>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "wshare/error.h"

// fields() of a type calls its second argument with the key and the member of each field; what
// makes JSON of a value and what fills a value from JSON both go by it. Texts that may be empty are
// null then (or_null), optional members are left out, numbers that are none are null.

namespace wshare {
namespace {

using Json = nlohmann::ordered_json;

template <typename T, typename Wanted>
concept Is = std::same_as<std::remove_const_t<T>, Wanted>;

// A text that is null in JSON if it is empty.
template <typename Text>
struct OrNull {
  Text& text;
};
template <typename Text>
OrNull<Text> or_null(Text& text) {
  return {text};
}

// A number that is null in JSON if there are no stages.
template <typename Stages>
struct Stage {
  Stages& stages;
  double CreationStages::*member;
};
template <typename Stages>
Stage<Stages> stage(Stages& stages, double CreationStages::*member) {
  return {stages, member};
}

void fields(Is<NamedModel> auto& model, const auto& field) {
  field("name", model.name);
  field("path", model.path);
  field("task_of", model.task_of);
  field("shares_session", model.shares_session);
  field("base", model.base);
}

void fields(Is<InputOptions> auto& inputs, const auto& field) {
  field("inputs", inputs.folder);
  field("shapes", inputs.shapes);
  field("values", inputs.values);
}

void fields(Is<RunJob> auto& job, const auto& field) {
  field("bundle", job.bundle);
  field("tier", job.tier);
  field("ep", job.device.ep);
  field("ep_library", job.device.library);
  field("ep_device", job.device.number);
  field("ep_options", job.device.options);
  field("device_copies", job.device.copies);
  field("models", job.models);
  field("sessions", job.sessions);
  field("repeat", job.repeat);
  field("max_seconds", job.max_seconds);
  field("shared_threads", job.shared_threads);
  field("shared_arena", job.shared_arena);
  fields(job.inputs, field);
  field("against", job.against);
}

void fields(Is<SessionFigures> auto& figures, const auto& field) {
  field("model", figures.model);
  field("task", or_null(figures.task));
  field("shares_session", figures.shares_session);
  field("create_ms", figures.create_ms);
  field("load_ms", stage(figures.stages, &CreationStages::load));
  field("optimise_ms", stage(figures.stages, &CreationStages::optimise));
  field("pack_ms", stage(figures.stages, &CreationStages::pack));
  field("first_run_ms", figures.first_run_ms);
  field("run_ms_median", figures.run_ms_median);
  field("run_ms_min", figures.run_ms_min);
  field("run_ms_max", figures.run_ms_max);
  field("own_bytes", figures.own_bytes);
}

void fields(Is<LeftTensors> auto& group, const auto& field) {
  field("reason", group.reason);
  field("tensors", group.tensors);
  field("bytes", group.bytes);
}

void fields(Is<DeviceReport> auto& device, const auto& field) {
  field("provider", device.provider);
  field("own_bytes", device.own_bytes);
  field("unshared_bytes", device.unshared_bytes);
  field("host_bytes", device.host_bytes);
  field("may_pack", device.may_pack);
  field("by_free_memory", device.by_free_memory);
  field("proof", device.proof);
}

void fields(Is<ModelReport> auto& model, const auto& field) {
  field("name", model.model);
  field("shared_tensors", model.shared_tensors);
  field("shared_bytes", model.shared_bytes);
  field("packed_shared", model.packed_shared);
  field("tier", model.tier);
  field("why", or_null(model.why));
  field("packed_bytes", model.packed_bytes);
  field("packed_by", or_null(model.packed_by));
  field("left", model.left);
  field("device", model.device);
}

void fields(Is<MemoryParts> auto& parts, const auto& field) {
  field("weights_bytes", parts.weights);
  field("copies_bytes", parts.copies);
  field("activations_bytes", parts.activations);
  field("freed_bytes", parts.freed);
  field("other_bytes", parts.other);
  field("pack_saves_bytes", parts.pack_saves);
  field("shared_arena_saves_bytes", parts.arena_saves);
}

void fields(Is<Measurement> auto& measurement, const auto& field) {
  field("sessions", measurement.sessions);
  field("session_count", measurement.session_count);
  field("models", measurement.models);
  field("pss_bytes", measurement.memory.pss);
  field("anonymous_bytes", measurement.memory.anonymous);
  field("device_bytes", measurement.memory.device);
  field("memory_parts", measurement.parts);
  field("threads", measurement.threads);
  field("cut_short", measurement.cut_short);
}

void fields(Is<ParityRow> auto& row, const auto& field) {
  field("model", row.model);
  field("output", row.output);
  field("bit_equal", row.bit_equal);
  field("max_abs_diff", row.max_abs_diff);
  field("max_rel_diff", row.max_rel_diff);
  field("noise_abs_diff", row.noise_abs_diff);
}

void fields(Is<UsedRuntime> auto& runtime, const auto& field) {
  field("version", runtime.version);
  field("path", runtime.library);
}

void fields(Is<RunAnswer> auto& answer, const auto& field) {
  field("measurement", answer.measurement);
  field("parity", answer.parity);
  field("onnxruntime", answer.onnxruntime);
}

constexpr const char* text_of(DeviceCopies copies) {
  return copies == DeviceCopies::kKeep ? "keep" : "refuse";
}

// All values of an enum.
constexpr auto values_of(Tier) {
  return std::array{Tier::kAuto, Tier::kShared, Tier::kCompact, Tier::kPacked};
}
constexpr auto values_of(DeviceCopies) {
  return std::array{DeviceCopies::kRefuse, DeviceCopies::kKeep};
}
constexpr auto values_of(DeviceProof) {
  return std::array{DeviceProof::kNone, DeviceProof::kCounted, DeviceProof::kFreeMemory,
                    DeviceProof::kAbsence};
}
constexpr auto values_of(LeftReason) {
  return std::array{LeftReason::kSmall,    LeftReason::kFolded, LeftReason::kAmbiguousName,
                    LeftReason::kFunction, LeftReason::kDtype,  LeftReason::kProvider};
}

struct AnyField {
  void operator()(const char*, const auto&) const {}
};
template <typename T>
concept HasFields = requires(T& value) {
  fields(value, AnyField());
};

template <typename T>
Json make(const T& value) {
  if constexpr (HasFields<T>) {
    Json json = Json::object();
    fields(value, [&]<typename Member>(const char* key, const Member& member) {
      if constexpr (requires { member.has_value(); }) {
        if (member) json[key] = make(*member);
      } else {
        json[key] = make(member);
      }
    });
    return json;
  } else if constexpr (std::is_enum_v<T>) {
    return text_of(value);
  } else if constexpr (std::same_as<T, std::filesystem::path>) {
    return value.string();
  } else if constexpr (requires { value.text; }) {
    return value.text.empty() ? Json() : Json(value.text);
  } else if constexpr (requires { value.stages; }) {
    return value.stages ? Json((*value.stages).*value.member) : Json();
  } else if constexpr (requires { typename T::mapped_type; }) {
    Json json = Json::object();
    for (const auto& [key, each] : value) json[key] = make(each);
    return json;
  } else if constexpr (requires { typename T::value_type; } && !std::same_as<T, std::string>) {
    Json json = Json::array();
    for (const auto& each : value) json.push_back(make(each));
    return json;
  } else {
    return value;
  }
}

template <typename T>
void fill(T&& value, const Json& json) {
  using Value = std::remove_cvref_t<T>;
  if constexpr (HasFields<Value>) {
    fields(value, [&]<typename Member>(const char* key, Member&& member) {
      if constexpr (requires { member.has_value(); }) {
        if (json.contains(key)) fill(member.emplace(), json.at(key));
      } else {
        fill(member, json.at(key));
      }
    });
  } else if constexpr (std::is_enum_v<Value>) {
    for (const Value each : values_of(Value())) {
      if (json.get_ref<const std::string&>() == text_of(each)) value = each;
    }
  } else if constexpr (std::same_as<Value, std::filesystem::path>) {
    value = json.get_ref<const std::string&>();
  } else if constexpr (requires { value.text; }) {
    if (!json.is_null()) value.text = json.get_ref<const std::string&>();
  } else if constexpr (requires { value.stages; }) {
    if (json.is_null()) return;
    if (!value.stages) value.stages.emplace();
    (*value.stages).*value.member = json.get<double>();
  } else if constexpr (requires { typename Value::mapped_type; }) {
    for (const auto& [key, each] : json.items()) fill(value[key], each);
  } else if constexpr (requires { typename Value::value_type; } &&
                       !std::same_as<Value, std::string>) {
    for (const Json& each : json) fill(value.emplace_back(), each);
  } else if constexpr (std::same_as<Value, double>) {
    value = json.is_null() ? std::numeric_limits<double>::infinity() : json.get<double>();
  } else {
    json.get_to(value);
  }
}

template <typename T>
T from(const Json& json) {
  try {
    T value;
    fill(value, json);
    return value;
  } catch (const Json::exception& error) {
    throw Error(
        ErrorCode::kRuntime,
        std::string("what a child process was told or says cannot be read: ") + error.what());
  }
}

}  // namespace

Json to_json(const RunJob& job) {
  Json json = {{"job", kRunJob}};
  json.update(make(job));
  return json;
}
Json to_json(const InputOptions& inputs) { return make(inputs); }
Json to_json(const RunAnswer& answer) { return make(answer); }
Json to_json(const Measurement& measurement) { return make(measurement); }
Json to_json(const std::vector<ParityRow>& rows) { return make(rows); }

RunJob job_from(const Json& json) { return from<RunJob>(json); }
InputOptions inputs_from(const Json& json) { return from<InputOptions>(json); }
RunAnswer answer_from(const Json& json) { return from<RunAnswer>(json); }

}  // namespace wshare

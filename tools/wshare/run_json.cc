// What `wshare run` prints as JSON, and what its sides tell it.

#include <array>
#include <nlohmann/json.hpp>

#include "run_report.h"

namespace wshare {
namespace {

constexpr std::array kLeftReasons = {LeftReason::kSmall, LeftReason::kFolded,
                                     LeftReason::kAmbiguousName, LeftReason::kFunction,
                                     LeftReason::kDtype};

nlohmann::ordered_json to_json(const ModelReport& model) {
  nlohmann::ordered_json json = {{"name", model.model},
                                 {"shared_tensors", model.shared_tensors},
                                 {"shared_bytes", model.shared_bytes},
                                 {"packed_shared", model.packed_shared}};
  json["tier"] = text_of(model.tier);
  json["why"] = model.why.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(model.why);
  json["packed_bytes"] = model.packed_bytes;
  json["left"] = nlohmann::ordered_json::array();
  for (const LeftTensors& group : model.left) {
    json["left"].push_back(
        {{"reason", text_of(group.reason)}, {"tensors", group.tensors}, {"bytes", group.bytes}});
  }
  if (!model.device) return json;
  json["device"] = {{"provider", model.device->provider},
                    {"own_bytes", model.device->own_bytes},
                    {"unshared_bytes", model.device->unshared_bytes},
                    {"host_bytes", model.device->host_bytes},
                    {"may_pack", model.device->may_pack},
                    {"by_free_memory", model.device->by_free_memory}};
  return json;
}

DeviceReport device_from(const nlohmann::ordered_json& json) {
  return {json.at("provider"),   json.at("own_bytes"), json.at("unshared_bytes"),
          json.at("host_bytes"), json.at("may_pack"),  json.at("by_free_memory")};
}

}  // namespace

nlohmann::ordered_json to_json(const Measurement& measurement) {
  nlohmann::ordered_json json;
  json["sessions"] = nlohmann::ordered_json::array();
  for (const SessionFigures& session : measurement.sessions) {
    const auto of_stages = [&](double CreationStages::*stage) {
      return session.stages ? nlohmann::ordered_json((*session.stages).*stage) : nullptr;
    };
    json["sessions"].push_back(
        {{"model", session.model},
         {"task",
          session.task.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(session.task)},
         {"shares_session", session.shares_session},
         {"create_ms", session.create_ms},
         {"load_ms", of_stages(&CreationStages::load)},
         {"optimise_ms", of_stages(&CreationStages::optimise)},
         {"pack_ms", of_stages(&CreationStages::pack)},
         {"first_run_ms", session.first_run_ms},
         {"run_ms_median", session.run_ms_median},
         {"run_ms_min", session.run_ms_min},
         {"run_ms_max", session.run_ms_max},
         {"own_bytes", session.own_bytes}});
  }
  json["session_count"] = measurement.session_count;
  json["models"] = nlohmann::ordered_json::array();
  for (const ModelReport& model : measurement.models) json["models"].push_back(to_json(model));
  json["pss_bytes"] = measurement.memory.pss;
  json["anonymous_bytes"] = measurement.memory.anonymous;
  json["device_bytes"] = measurement.memory.device;
  json["threads"] = measurement.threads;
  return json;
}

Measurement measurement_from(const nlohmann::ordered_json& json) {
  Measurement measurement;
  for (const auto& session : json.at("sessions")) {
    const auto& task = session.at("task");
    measurement.sessions.push_back({session.at("model"), session.at("create_ms"),
                                    session.at("first_run_ms"), session.at("run_ms_median"),
                                    task.is_null() ? "" : task.get<std::string>(),
                                    session.at("shares_session"), session.at("own_bytes"),
                                    session.at("run_ms_min"), session.at("run_ms_max")});
    if (!session.at("load_ms").is_null()) {
      measurement.sessions.back().stages = {session.at("load_ms"), session.at("optimise_ms"),
                                            session.at("pack_ms")};
    }
  }
  measurement.session_count = json.at("session_count");
  for (const auto& model : json.at("models")) {
    ModelReport report;
    report.model = model.at("name");
    report.shared_tensors = model.at("shared_tensors");
    report.shared_bytes = model.at("shared_bytes");
    report.packed_shared = model.at("packed_shared");
    report.packed_bytes = model.at("packed_bytes");
    if (!model.at("why").is_null()) report.why = model.at("why");
    for (const Tier tier : {Tier::kShared, Tier::kCompact, Tier::kPacked}) {
      if (model.at("tier") == text_of(tier)) report.tier = tier;
    }
    for (const auto& group : model.at("left")) {
      for (const LeftReason reason : kLeftReasons) {
        if (group.at("reason") != text_of(reason)) continue;
        report.left.push_back({reason, group.at("tensors"), group.at("bytes")});
      }
    }
    if (model.contains("device")) report.device = device_from(model.at("device"));
    measurement.models.push_back(std::move(report));
  }
  measurement.memory = {json.at("pss_bytes"), json.at("anonymous_bytes"), json.at("device_bytes")};
  measurement.threads = json.at("threads");
  return measurement;
}

nlohmann::ordered_json to_json(const RunReport& report) {
  nlohmann::ordered_json json = {
      {"schema", "wshare.run/1"}, {"ep", report.ep}, {"tier", report.tier}};
  json.update(to_json(report.shared));
  json["baseline"] = report.baseline ? to_json(*report.baseline) : nlohmann::ordered_json();
  if (report.baseline) json["baseline"].erase("models");  // plain sessions share nothing
  json["parity"] = nlohmann::ordered_json::array();
  for (const ParityRow& row : report.parity) {  // an infinite difference becomes null
    json["parity"].push_back({{"model", row.model},
                              {"output", row.output},
                              {"bit_equal", row.bit_equal},
                              {"max_abs_diff", row.max_abs_diff},
                              {"max_rel_diff", row.max_rel_diff}});
    if (row.noise_abs_diff) json["parity"].back()["noise_abs_diff"] = *row.noise_abs_diff;
  }
  json["exceeded"] = report.exceeded;
  json["ok"] = report.exceeded.empty();
  return json;
}

}  // namespace wshare

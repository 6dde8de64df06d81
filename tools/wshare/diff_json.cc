#include <nlohmann/json.hpp>

#include "diff_report.h"

namespace wshare {
namespace {

using nlohmann::ordered_json;

ordered_json side_json(const std::optional<DiffSide>& side) {
  if (!side) return nullptr;
  return {{"scope", side->scope},
          {"tensor", side->name},
          {"dtype", side->dtype},
          {"shape", side->shape},
          {"bytes", side->bytes}};
}

void add_change(double relative_change, ordered_json& json) {
  const std::optional<double> db = decibels(relative_change);
  json["relative_change"] = relative_change;
  json["snr_db"] = db ? ordered_json(*db) : ordered_json(nullptr);
}

void add_form(const DiffForm& form, ordered_json& json) {
  json["made_of"] = form.of_b ? "b" : "a";
  json["to"] = form.to;
  add_change(form.relative_error, json);
  json["elements"] = form.elements;
  json["off"] = form.off;
}

ordered_json forms_json(const std::vector<DiffForms>& all) {
  ordered_json json = ordered_json::array();
  for (const DiffForms& forms : all) {
    ordered_json entry = {{"class", text_of(forms.tensor_class)},
                          {"weights", forms.weights},
                          {"weights_total", forms.weights_total},
                          {"bytes", forms.bytes}};
    add_form(forms.sum, entry);
    json.push_back(std::move(entry));
  }
  return json;
}

ordered_json tensor_json(const DiffTensor& tensor) {
  ordered_json json = {{"class", text_of(tensor.tensor_class)},
                       {"bytes", bytes_of(tensor)},
                       {"a", side_json(tensor.a)},
                       {"b", side_json(tensor.b)}};
  if (tensor.relative_change) add_change(*tensor.relative_change, json);
  if (tensor.delta) {
    const DiffDelta& delta = *tensor.delta;
    json["changed_rows"] = delta.changed_rows;
    json["changed_columns"] = delta.changed_cols;
    if (delta.rank) {
      json["rank"] = *delta.rank;
      json["relative_error"] = delta.relative_error;
      json["max_abs_error"] = delta.max_abs_error;
      json["energy"] = delta.energy;
      json["singular_values"] = delta.singular_values;
      json["noise_edge"] = delta.noise_edge;
    }
  }
  if (tensor.form) add_form(*tensor.form, json);
  if (!tensor.notes.empty()) json["notes"] = tensor.notes;
  return json;
}

ordered_json values_json(const std::vector<DiffValue>& values) {
  ordered_json json = ordered_json::array();
  for (const DiffValue& value : values) {
    json.push_back({{"name", value.name}, {"a", value.a}, {"b", value.b}});
  }
  return json;
}

ordered_json graph_json(const DiffReport& report) {
  ordered_json json = {{"nodes_a", report.nodes_a}, {"nodes_b", report.nodes_b}};
  json["operators"] = ordered_json::array();
  for (const auto& [op, change] : report.graph.operators) {
    const auto places = report.graph.places.find(op);
    json["operators"].push_back(
        {{"operator", op},
         {"added", change.added},
         {"removed", change.removed},
         {"attributes", change.attributes},
         {"rewired", change.rewired},
         {"nodes", places == report.graph.places.end() ? ordered_json::array()
                                                       : ordered_json(places->second)}});
  }
  json["inputs"] = values_json(report.graph.inputs);
  json["outputs"] = values_json(report.graph.outputs);
  json["opsets"] = values_json(report.graph.opsets);
  json["metadata"] = values_json(report.graph.metadata);
  return json;
}

ordered_json classes_json(const DiffReport& report) {
  ordered_json json = ordered_json::object();
  for (int c = 0; c <= static_cast<int>(TensorClass::kRemoved); ++c) {
    json[text_of(static_cast<TensorClass>(c))] = {{"tensors", 0}, {"bytes", 0}};
  }
  for (const DiffTensor& tensor : report.tensors) {
    ordered_json& entry = json[text_of(tensor.tensor_class)];
    entry["tensors"] = entry["tensors"].get<uint64_t>() + 1;
    entry["bytes"] = entry["bytes"].get<uint64_t>() + bytes_of(tensor);
  }
  return json;
}

}  // namespace

ordered_json diff_json(const DiffReport& report, const DiffView& view) {
  ordered_json json;
  json["schema"] = "wshare.diff/1";
  json["equal"] = report.equal;
  json["same_file"] = report.same_file;
  json["verdict"] = text_of(report.verdict);
  json["equal_bytes"] = report.equal_bytes;
  json["weight_bytes"] = report.weight_bytes;
  json["weight_bytes_a"] = report.weight_bytes_a;
  json["forms"] = forms_json(report.forms);
  json["a"] = view.a;
  json["b"] = view.b;
  json["classes"] = classes_json(report);
  json["tensors"] = ordered_json::array();
  for (const DiffTensor* tensor : shown_tensors(report, view)) {
    json["tensors"].push_back(tensor_json(*tensor));
  }
  json["lora"] = ordered_json::array();
  for (const DiffLora& pair : report.lora) {
    json["lora"].push_back({{"in", pair.in_b ? "b" : "a"},
                            {"weight_a", pair.weight_a},
                            {"weight_b", pair.weight_b},
                            {"factor_a", pair.factor_a},
                            {"factor_b", pair.factor_b},
                            {"rank", pair.rank},
                            {"scaling", pair.scaling}});
  }
  json["graph"] = graph_json(report);
  return json;
}

}  // namespace wshare

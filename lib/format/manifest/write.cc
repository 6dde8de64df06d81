#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <utility>

#include "format/dtype.h"
#include "format/manifest/text.h"
#include "util/hex.h"
#include "util/parallel.h"
#include "util/paths.h"
#include "util/text.h"
#include "util/utf8.h"
#include "wshare/error.h"

// Models are written one by one, so that a bundle of many models needs no tree of all of them in
// memory; one tensor stands on one line, so that two manifests can be compared.

namespace wshare {
namespace {

using Json = nlohmann::ordered_json;

// Appends `text`, which is UTF-8, as a JSON text.
void append_quoted(std::string& out, std::string_view text) {
  constexpr std::string_view kEscaped = "\"\\\b\f\n\r\t", kLetters = "\"\\bfnrt";
  out += '"';
  for (const char c : text) {
    const size_t known = kEscaped.find(c);
    if (known != std::string_view::npos) {
      out += '\\';
      out += kLetters[known];
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += "\\u00" + to_hex({&c, 1});
    } else {
      out += c;
    }
  }
  out += '"';
}

std::string json_text(std::string_view text) {
  std::string out;
  append_quoted(out, to_utf8(text));
  return out;
}

// A name of any bytes; see "Names" in docs/bundle-format.md.
std::string name_text(const char* key, std::string_view name) {
  std::string out = '"' + std::string(key) + "\":";
  if (is_utf8(name)) {
    append_quoted(out, name);
    return out;
  }
  return out + json_text(name) + ",\"" + key + "_bytes\":\"" + to_hex(name) + '"';
}

std::string hash_text(const ContentHash& hash) { return "\"hash\":\"" + to_hex(hash) + '"'; }

std::string text_of(const Extent& extent) {
  return '[' + std::to_string(extent.blob) + ',' + std::to_string(extent.offset) + ',' +
         std::to_string(extent.size) + ']';
}

// Scope, name, dtype and shape, as far as `tensor` has them.
template <typename Tensor>
std::string type_text(const Tensor& tensor) {
  std::string out;
  if constexpr (requires { tensor.scope; }) {
    if (!tensor.scope.empty()) out += name_text("scope", tensor.scope) + ',';
  }
  out += name_text("name", tensor.name) + ",\"dtype\":\"" + dtype_name(tensor.dtype) +
         "\",\"shape\":[";
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    if (i > 0) out += ',';
    out += std::to_string(tensor.shape[i]);
  }
  return out + ']';
}

std::string source_text(const SourceRecord& source) {
  std::string out = "{";
  if (!source.folder.empty()) out += name_text("folder", source.folder) + ',';
  return out + name_text("file", source.file) + ",\"size\":" + std::to_string(source.size) +
         ",\"graph_hash\":\"" + to_hex(source.graph_hash) +
         "\",\"record\":" + text_of(source.record) + ",\"record_hash\":\"" +
         to_hex(source.record_hash) + '"' +
         (source.blobs.empty() ? "" : ",\"blobs\":" + Json(source.blobs).dump()) + '}';
}

Json extent_json(const Extent& extent) { return {extent.blob, extent.offset, extent.size}; }

Json matrix_json(const MatrixRecord& matrix) {
  Json json{{"extent", extent_json(matrix.extent)}, {"dtype", dtype_name(matrix.dtype)}};
  if (matrix.transposed) json["transposed"] = true;
  return json;
}

Json quantised_json(const QuantisedRecord& quantised) {
  const Quantisation& how = quantised.how;
  Json json{{"scale", matrix_json(quantised.scale)}};
  if (quantised.zero) json["zero"] = matrix_json(*quantised.zero);
  if (how.zero != 0) json["zero_value"] = how.zero;
  if (how.axis) json["axis"] = *how.axis;
  if (how.block > 0) json["block"] = how.block;
  if (how.packed_bits > 0) json["bits"] = how.packed_bits;
  if (how.columns > 0) json["columns"] = how.columns;
  if (how.low) json["low"] = *how.low;
  if (how.high) json["high"] = *how.high;
  if (how.by_reciprocal) json["by_reciprocal"] = true;
  if (how.zero_before) json["zero_before"] = true;
  if (how.away) json["away"] = true;
  if (how.in_double) json["in_double"] = true;
  if (how.through != 0) json["through"] = dtype_name(how.through);
  return json;
}

Json steps_json(const std::vector<StepRecord>& steps) {
  Json json = Json::array();
  for (const StepRecord& step : steps) {
    Json& out = json.emplace_back(Json::object());
    if (step.multiplier != 1) out["multiplier"] = step.multiplier;
    if (step.residual.size > 0) out["residual"] = extent_json(step.residual);
  }
  return json;
}

std::string derivation_text(const DerivationRecord& derivation) {
  Json json = Json::object();
  if (derivation.base) json["base"] = matrix_json(*derivation.base);
  if (derivation.multiplier != 1) json["multiplier"] = derivation.multiplier;
  if (derivation.rank > 0) json["rank"] = derivation.rank;
  if (derivation.left) json["left"] = matrix_json(*derivation.left);
  if (derivation.right) json["right"] = matrix_json(*derivation.right);
  if (derivation.quantised) json["quantised"] = quantised_json(*derivation.quantised);
  if (derivation.residual.size > 0) json["residual"] = extent_json(derivation.residual);
  if (!derivation.then.empty()) json["then"] = steps_json(derivation.then);
  if (derivation.codec != 1) json["codec"] = derivation.codec;
  if (!derivation.exact) json["exact"] = false;
  if (derivation.relative_error != 0) json["relative_error"] = derivation.relative_error;
  if (derivation.max_abs_error != 0) json["max_abs_error"] = derivation.max_abs_error;
  return json.dump();
}

// What ends a tensor's object.
std::string flags_text(const auto& tensor) {
  return std::string(tensor.folded ? ",\"folded\":true" : "") +
         (tensor.turned ? ",\"turned\":true}" : "}");
}

std::string original_text(const OriginalTensor& tensor) {
  std::string out = '{' + type_text(tensor) + ',';
  if (tensor.extent) out += "\"extent\":" + text_of(*tensor.extent) + ',';
  if (tensor.derivation) out += "\"derived\":" + derivation_text(*tensor.derivation) + ',';
  return out + hash_text(tensor.hash) + flags_text(tensor);
}

// There may be half a million of these: a tree of JSON values for each took longer than all else
// that a bundle of many small models needs.
std::string tensor_text(const TensorRecord& tensor) {
  return '{' + type_text(tensor) + ",\"extent\":" + text_of(tensor.extent) + ',' +
         hash_text(tensor.hash) + flags_text(tensor);
}

// Appends `items`, already JSON, as an array under `key`, one a line. They go one by one.
void append_lines(std::string& out, std::string_view indent, std::string_view key,
                  std::vector<std::string> items) {
  out += indent;
  out += '"';
  out += key;
  out += "\": [";
  for (size_t i = 0; i < items.size(); ++i) {
    out += i == 0 ? "\n" : ",\n";
    out += indent;
    out += ' ';
    out += items[i];
    std::string().swap(items[i]);
  }
  out += ']';
}

std::string task_text(const TaskRecord& task) {
  std::vector<std::string> parameters, tensors;
  for (const ParameterRecord& parameter : task.parameters)
    parameters.push_back('{' + type_text(parameter) + '}');
  for (const OriginalTensor& tensor : task.tensors) tensors.push_back(original_text(tensor));
  std::string out =
      "{\"name\": " + json_text(task.name) + ",\n  \"base\": " + json_text(task.base) + ",\n";
  if (!task.model.empty()) out += "  \"model\": " + json_text(task.model) + ",\n";
  if (task.adapter) out += "  \"adapter\": " + std::to_string(*task.adapter) + ",\n";
  if (task.source) out += "  \"source\": " + source_text(*task.source) + ",\n";
  append_lines(out, "  ", "parameters", std::move(parameters));
  out += ",\n";
  append_lines(out, "  ", "tensors", std::move(tensors));
  return out + "}";
}

std::string archived_text(const ArchivedRecord& model) {
  std::vector<std::string> tensors;
  for (const OriginalTensor& tensor : model.tensors) tensors.push_back(original_text(tensor));
  std::string out = "{\"name\": " + json_text(model.name) + ",\n";
  if (!model.base.empty()) out += "  \"base\": " + json_text(model.base) + ",\n";
  out += "  \"graph\": " + text_of(model.graph) + ",\n  \"graph_hash\": \"" +
         to_hex(model.graph_hash) + "\",\n  \"size\": " + std::to_string(model.size) +
         ",\n  \"hash\": \"" + to_hex(model.hash) +
         "\",\n  \"source\": " + source_text(*model.source) + ",\n";
  if (!model.files.empty()) out += "  \"files\": " + Json(model.files).dump() + ",\n";
  append_lines(out, "  ", "tensors", std::move(tensors));
  return out + "}";
}

// The keys of a model, `more` before its tensors, without the brace that ends it.
std::string model_keys(const ModelRecord& model, const std::string& more = "") {
  std::vector<std::string> tensors;
  for (const TensorRecord& tensor : model.tensors) tensors.push_back(tensor_text(tensor));
  std::set<uint32_t> blobs;
  for (const TensorRecord& tensor : model.tensors) blobs.insert(tensor.extent.blob);
  std::string out = "{\"name\": " + json_text(model.name) +
                    ",\n  \"file\": " + json_text(model.file) +
                    ",\n  \"size\": " + std::to_string(model.size) + ",\n  \"hash\": \"" +
                    to_hex(model.hash) + "\",\n  \"blobs\": " + Json(blobs).dump() + ",\n";
  if (model.source) out += "  \"source\": " + source_text(*model.source) + ",\n";
  if (!model.files.empty()) out += "  \"files\": " + Json(model.files).dump() + ",\n";
  out += more;
  append_lines(out, "  ", "tensors", std::move(tensors));
  return out;
}

std::string range_text(const Extent& extent, const ContentHash& hash) {
  return "{\"extent\":" + text_of(extent) + ',' + hash_text(hash) + '}';
}

std::string pack_text(const PackRecord& pack) {
  std::vector<std::string> buffers;
  for (const BufferRecord& buffer : pack.buffers)
    buffers.push_back(range_text(buffer.extent, buffer.hash));
  std::string out = model_keys(
      pack.model,
      "  \"made_of\": \"" + to_hex(pack.made_of) + "\",\n  \"onnxruntime\": " +
          json_text(pack.onnxruntime) + ",\n  \"cpu\": " + json_text(pack.cpu) +
          ",\n  \"optimization\": " + json_text(pack.optimization) + ",\n" +
          (pack.own_bytes == 0 ? ""
                               : "  \"own_bytes\": " + std::to_string(pack.own_bytes) + ",\n"));
  append_lines(out += ",\n", "  ", "buffers", std::move(buffers));
  return out + "}";
}

// An older reader would take what it does not know for damage, or delete what is needed.
int version_of(const Manifest& manifest) {
  if (!manifest.archived.empty()) return kFormatVersion;
  const auto is_new = [](const auto& record) {
    const std::optional<SourceRecord>& source = record.source;
    return source && (!source->blobs.empty() || !is_file_name(source->file) ||
                      (!source->folder.empty() && !is_file_name(source->folder)));
  };
  const auto is_new_tensor = [](const OriginalTensor& tensor) {
    return tensor.derivation && (tensor.derivation->quantised || tensor.derivation->codec > 1);
  };
  for (const TaskRecord& task : manifest.tasks) {
    if (std::any_of(task.tensors.begin(), task.tensors.end(), is_new_tensor)) return kFormatVersion;
  }
  const auto has_turned = [](const ModelRecord& model) {
    return std::any_of(model.tensors.begin(), model.tensors.end(),
                       [](const TensorRecord& tensor) { return tensor.turned; });
  };
  if (std::any_of(manifest.models.begin(), manifest.models.end(), has_turned))
    return kFormatVersion;
  std::set<std::string_view> packed;
  for (const PackRecord& pack : manifest.packs) {
    if (!packed.insert(pack.model.name).second) return 5;
  }
  const auto has_files = [](const ModelRecord& model) { return !model.files.empty(); };
  const std::vector<ModelRecord>& models = manifest.models;
  const std::vector<TaskRecord>& tasks = manifest.tasks;
  if (std::any_of(models.begin(), models.end(), is_new) ||
      std::any_of(tasks.begin(), tasks.end(), is_new) ||
      std::any_of(models.begin(), models.end(), has_files)) {
    return 4;
  }
  return !manifest.packs.empty() ? 3 : tasks.empty() ? 1 : 2;
}

}  // namespace

std::string name_in_manifest(std::string_view name) { return to_utf8(name); }

std::string to_json(const Manifest& manifest, unsigned threads) {
  std::vector<std::string> blobs;
  for (const BlobRecord& blob : manifest.blobs) {
    blobs.push_back("{\"file\":" + json_text(blob.file) + ",\"size\":" + std::to_string(blob.size) +
                    (blob.hash ? ',' + hash_text(*blob.hash) : "") + '}');
  }
  std::vector<std::string> models(manifest.models.size());
  parallel_for(models.size(), threads,
               [&](size_t m) { models[m] = model_keys(manifest.models[m]) + "}"; });
  std::vector<std::string> gaps;
  for (const GapRecord& gap : manifest.gaps) gaps.push_back(range_text(gap.extent, gap.hash));
  std::vector<std::string> tasks;
  for (const TaskRecord& task : manifest.tasks) tasks.push_back(task_text(task));
  std::vector<std::string> archived(manifest.archived.size());
  parallel_for(archived.size(), threads,
               [&](size_t m) { archived[m] = archived_text(manifest.archived[m]); });
  std::vector<std::string> packs;
  for (const PackRecord& pack : manifest.packs) packs.push_back(pack_text(pack));
  std::vector<std::string> retired, left_out;
  for (const std::string& file : manifest.retired) retired.push_back(json_text(file));
  for (const std::string& file : manifest.left_out) left_out.push_back(json_text(file));
  const int version = version_of(manifest);
  std::string out =
      "{\n\"format\": \"wshare-bundle\",\n\"version\": " + std::to_string(version) + ",\n";
  size_t size = 1000;  // keys, and what stands around lists; a text that grows is there twice
  for (const std::vector<std::string>* lines :
       {&blobs, &models, &gaps, &tasks, &archived, &packs, &retired, &left_out}) {
    for (const std::string& line : *lines) size += line.size() + std::string_view(",\n ").size();
  }
  out.reserve(size);
  append_lines(out, "", "blobs", std::move(blobs));
  out += ",\n";
  append_lines(out, "", "models", std::move(models));
  out += ",\n";
  if (!tasks.empty()) {
    append_lines(out, "", "tasks", std::move(tasks));
    out += ",\n";
  }
  if (!archived.empty()) {
    append_lines(out, "", "archived", std::move(archived));
    out += ",\n";
  }
  if (!packs.empty()) {
    append_lines(out, "", "packs", std::move(packs));
    out += ",\n";
  }
  append_lines(out, "", "gaps", std::move(gaps));
  if (!manifest.retired.empty()) {
    append_lines(out += ",\n", "", "retired_files", std::move(retired));
  }
  if (!manifest.left_out.empty()) append_lines(out += ",\n", "", "left_out", std::move(left_out));
  out += ",\n\"manifest_hash\": \"" + std::string(kSealDigits, '0');
  out += kSealTail;
  out.replace(seal_at(out), kSealDigits, seal_of(out));
  return out;
}

std::string to_checked_json(const Manifest& manifest, unsigned threads) {
  std::string text = to_json(manifest, threads);
  try {
    parse_manifest(text);
  } catch (const Error& error) {
    throw Error(ErrorCode::kInvalid,
                "the manifest could not be read again: " + std::string(error.what()),
                "nothing was changed; other names may help: NAME=MODEL");
  }
  return text;
}

}  // namespace wshare

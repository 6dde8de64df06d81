#include "export/hf_names.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <string_view>

#include "format/manifest/manifest.h"
#include "model/walk.h"
#include "util/paths.h"

namespace wshare {
namespace {

constexpr char kModel[] = "model";

// Source: transformers.js 4.3 (sessions of its models), optimum-onnx 0.1 (constants).
const std::set<std::string_view>& known_names() {
  static const std::set<std::string_view> names = {kModel,
                                                   "encoder_model",
                                                   "decoder_model",
                                                   "decoder_model_merged",
                                                   "lm_head",
                                                   "text_model",
                                                   "vision_model",
                                                   "decoder_with_past_model",
                                                   "gen_head",
                                                   "text_encoder",
                                                   "vision_encoder",
                                                   "audio_encoder",
                                                   "embed_tokens",
                                                   "speech_encoder",
                                                   "language_model",
                                                   "prompt_encoder_mask_decoder",
                                                   "voice_decoder",
                                                   "conditional_decoder",
                                                   "prepare_inputs_embeds",
                                                   "gen_img_embeds",
                                                   "image_decode",
                                                   "encodec_decode",
                                                   "audio_model",
                                                   "latent_denoiser"};
  return names;
}

const std::map<std::string_view, std::string_view>& short_names() {
  static const std::map<std::string_view, std::string_view> names = {
      {"encoder", "encoder_model"},
      {"decoder", "decoder_model"},
      {"decoder_merged", "decoder_model_merged"},
      {"decoder_with_past", "decoder_with_past_model"}};
  return names;
}

const std::map<std::string_view, std::string_view>& suffixes() {
  static const std::map<std::string_view, std::string_view> words = {
      {"fp32", ""},         {"float32", ""},   {"fp16", "_fp16"},
      {"float16", "_fp16"}, {"half", "_fp16"}, {"quantized", "_quantized"},
      {"q8", "_quantized"}, {"int8", "_int8"}, {"uint8", "_uint8"},
      {"q4", "_q4"},        {"q2", "_q2"},     {"q1", "_q1"},
      {"q4f16", "_q4f16"},  {"bnb4", "_bnb4"}, {"q2f16", "_q2f16"},
      {"q1f16", "_q1f16"}};
  return words;
}

struct NameParts {
  std::string stem;
  std::optional<std::string> suffix;  // that the name says
  bool is_known = false;              // `stem` is a name that clients look for
  bool was_short = false;
};

NameParts split(const std::string& name) {
  NameParts parts;
  parts.stem = name;
  const size_t at = name.find_last_of("_-.");
  if (at != std::string::npos && at > 0) {
    const auto found = suffixes().find(std::string_view(name).substr(at + 1));
    if (found != suffixes().end()) {
      parts.stem = name.substr(0, at);
      parts.suffix = found->second;
    }
  }
  std::string plain = parts.stem;
  std::replace(plain.begin(), plain.end(), '-', '_');
  if (const auto whole = short_names().find(plain); whole != short_names().end()) {
    plain = whole->second;
    parts.was_short = true;
  }
  parts.is_known = known_names().contains(plain);
  if (parts.is_known) parts.stem = plain;
  return parts;
}

// What nodes say of integers that they read as weights.
struct Quantised : GraphVisitor {
  int64_t bits = 0;  // the fewest; 0: there are none
  bool is_code_book = false;

  void note(int64_t found) { bits = bits == 0 ? found : std::min(bits, found); }

  void node(const onnx::NodeProto& node, const WalkPlace<const onnx::GraphProto>&) {
    static const std::set<std::string_view> eight = {
        "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger",
        "QLinearMatMul",    "QLinearConv",           "QGemm",         "DynamicQuantizeMatMul",
        "QAttention",       "MatMulIntegerToFloat"};
    if (eight.contains(node.op_type())) note(8);
    if (node.op_type() == "MatMulBnb4") is_code_book = true;
    if (node.op_type() != "MatMulNBits" && node.op_type() != "GatherBlockQuantized") return;
    int64_t in_blocks = 4;
    for (const onnx::AttributeProto& attribute : node.attribute()) {
      if (attribute.name() == "bits") in_blocks = attribute.i();
    }
    note(in_blocks);
  }
};

}  // namespace

std::string dtype_suffix(const onnx::ModelProto& model, const ModelRecord& record) {
  uint64_t half = 0, single = 0;
  for (const TensorRecord& tensor : record.tensors) {
    if (tensor.dtype == onnx::TensorProto::FLOAT16) half += tensor.extent.size;
    if (tensor.dtype == onnx::TensorProto::FLOAT) single += tensor.extent.size;
  }
  Quantised quantised;
  walk_model(model, quantised);
  if (quantised.is_code_book) return "_bnb4";
  if (quantised.bits == 8) return "_quantized";
  const bool is_half = half > single;
  if (quantised.bits == 1 || quantised.bits == 2 || quantised.bits == 4)
    return "_q" + std::to_string(quantised.bits) + (is_half ? "f16" : "");
  return is_half ? "_fp16" : "";
}

std::vector<std::string> hub_names(const std::vector<HubModel>& models) {
  std::vector<NameParts> parts;
  std::set<std::string_view> others;
  bool has_known = false;
  for (const HubModel& model : models) parts.push_back(split(model.name));
  for (const NameParts& each : parts) {
    has_known = has_known || each.is_known;
    if (!each.is_known) others.insert(each.stem);
  }
  const bool is_one = !has_known && others.size() == 1;
  std::vector<std::string> names;
  for (size_t i = 0; i < models.size(); ++i) {
    const NameParts& each = parts[i];
    const std::string stem = each.is_known ? each.stem
                             : is_one      ? kModel
                                           : safe_file_name(each.stem, 200);
    // A whole name without a dtype says float32, or all that there is.
    const std::string unsaid = each.is_known && !each.was_short ? "" : models[i].suffix;
    names.push_back(stem + each.suffix.value_or(unsaid));
  }
  return names;
}

}  // namespace wshare

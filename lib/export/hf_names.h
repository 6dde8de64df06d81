#pragma once

#include <string>
#include <vector>

namespace onnx {
class ModelProto;
}  // namespace onnx

namespace wshare {

struct ModelRecord;

// How clients of the Hugging Face hub call the numbers in a model, behind its name: "" for float32,
// "_fp16", "_quantized", "_q4", "_q4f16", ...
//
// Source: transformers.js 4.3, "dtype".
std::string dtype_suffix(const onnx::ModelProto& model, const ModelRecord& record);

// A model by its name in a bundle.
struct HubModel {
  std::string name;
  std::string suffix;  // dtype_suffix()
};

// Returns what each of `models`, of one repository, is called on the hub, without ".onnx".
//
// A name that clients look for stays ("decoder_model_merged_fp16"), its short form gets whole
// ("encoder": "encoder_model"), and the only other model, or all variants of it, are "model". What
// is left keeps its name. A name says its dtype, else the weights do.
std::vector<std::string> hub_names(const std::vector<HubModel>& models);

}  // namespace wshare

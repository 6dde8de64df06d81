#pragma once

#include <onnxruntime_cxx_api.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace wshare {

using Shapes = std::map<std::string, std::vector<int64_t>>;

struct InputOptions {
  std::filesystem::path folder;  // of input_0.pb or .npy ...; empty: made up
  Shapes shapes;                 // of made-up inputs; those not named follow the model
  int64_t free_dim = 8;          // size of a free dimension that is no batch
};

// The inputs of one model, in its order.
struct Inputs {
  std::vector<std::string> names;
  std::vector<Ort::Value> values;
  bool made_up = false;
  bool free_dims = false;  // InputOptions::free_dim was used
};

// Returns what to run `session` on; equal models and options give equal inputs.
//
// From options.folder: input_0 may lie in its subfolder of the first of `names` that it has, in
// itself, or in "test_data_set_0" of these, as in the onnx test data. Else made up: floats in
// [-1,1], integers within the rows of the table that they select from (else 0 or 1; ones for a name
// with "mask"), free dimensions 1 for the batch, else options.free_dim, equal for equal names.
// `model_path` is the .onnx of the session.
//
// Throws Error(kInvalid) if a shape or a file contradicts the model, Error(kUnsupported) for inputs
// that are not numeric tensors, and what read_tensor_file() throws.
Inputs make_inputs(const std::vector<std::string>& names, const Ort::Session& session,
                   const std::filesystem::path& model_path, const InputOptions& options);

}  // namespace wshare

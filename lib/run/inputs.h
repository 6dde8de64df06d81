#pragma once

#include <onnxruntime_cxx_api.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace wshare {

// What is said of inputs, by their names: "ids", or of one model (or task) alone "encoder:ids".
template <typename T>
using ByInput = std::map<std::string, T>;
using Shapes = ByInput<std::vector<int64_t>>;
using Values = ByInput<std::string>;  // numbers, as they were written

struct InputOptions {
  std::filesystem::path folder = {};  // of input_0.pb or .npy ...; empty: made up
  Shapes shapes = {};                 // of made-up inputs; those not named follow the model
  int64_t free_dim = 8;               // size of a free dimension that is no batch
  Values values = {};                 // that all elements of made-up inputs have
};

// Returns the key of `given` that is meant for `input` of what is called one of `names`, null: none
// is. What is said of the first name counts most, what is said of no model least.
template <typename T>
const std::string* find_key(const ByInput<T>& given, const std::vector<std::string>& names,
                            const std::string& input) {
  for (const std::string& name : names) {
    if (const auto found = given.find(name + ":" + input); found != given.end())
      return &found->first;
  }
  const auto found = given.find(input);
  return found == given.end() ? nullptr : &found->first;
}

// What a model is called, and its inputs.
struct KnownInputs {
  std::vector<std::string> names, inputs;
};

// Throws Error(kInvalid) if `options` have a shape or a value for what is no input of any of
// `models`.
void check_used(const InputOptions& options, const std::vector<KnownInputs>& models);

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
// [-1,1] (one alone is 1), integers within the rows of the table that they select from (else 0 or
// 1; ones for a name with "mask"), free dimensions 1 for the batch, else options.free_dim, equal
// for equal names.
// `model_path` is the .onnx of the session.
//
// Throws Error(kInvalid) if a shape, a value or a file contradicts the model, Error(kUnsupported)
// for inputs that are not numeric tensors, and what read_tensor_file() throws.
Inputs make_inputs(const std::vector<std::string>& names, const Ort::Session& session,
                   const std::filesystem::path& model_path, const InputOptions& options);

}  // namespace wshare

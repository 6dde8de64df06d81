#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace wshare {

enum class HfData {
  kShared,  // the bundle's files under their own names, each once; browsers are told by a list
  kOwn,     // each model has names of its own, "model.onnx_data", "model.onnx_data_1", ...
};

struct ExportHfOptions {
  HfData data = HfData::kShared;
  bool link = true;                          // files are the bundle's own, where that can be
  std::vector<std::string> models;           // only these; empty: all
  std::map<std::string, std::string> names;  // of files, by model
  bool dry_run = false;                      // find out everything, write nothing
};

struct HfModel {
  std::string name;               // in the bundle
  std::string file;               // in the folder "onnx"
  std::vector<std::string> data;  // files that it names, in that folder
};

struct ExportHfReport {
  std::vector<HfModel> models;
  std::vector<std::string> left;  // tasks, which are adapters
  std::string list;               // JSON: what onnx/external_data.json holds
  uint64_t linked_bytes = 0, copied_bytes = 0;
};

// Puts models of the bundle in the folder `bundle` into `folder`/onnx, under the names that clients
// of the Hugging Face hub look for, and returns what it did. `folder` may be there, with a
// config.json and the like, but have no "onnx", which appears as a whole.
//
// Beside the models lies external_data.json, what browsers must be told of: {"externalData":
// [{"path", "data"}], "models": {file: [...]}}, and with kOwn "use_external_data_format". Throws
// Error(kInvalid) if there is no such model, two would have one name, or a name is none for a file;
// Error(kUnsupported) if a model has more files than transformers.js opens; Error(kIo) if the
// bundle is none, or the folder cannot be written to or has something at that place. Nothing is
// then in it that was not.
ExportHfReport export_hf(const std::filesystem::path& bundle, const std::filesystem::path& folder,
                         const ExportHfOptions& options);

}  // namespace wshare

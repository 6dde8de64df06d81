#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace wshare {

// A model as named on the command line.
struct ModelInput {
  std::string name;
  std::filesystem::path path;
};

// Returns the models that `arguments` name: each a file, NAME=file, or a folder (all *.onnx in it,
// by name). A model is called like its file's stem; where stems collide, like its folder.
//
// Throws Error(kInvalid) if a folder has no model, one file is given twice, a name cannot be a file
// name or two models keep one name; Error(kIo) if something does not exist.
std::vector<ModelInput> resolve_inputs(const std::vector<std::string>& arguments);

}  // namespace wshare

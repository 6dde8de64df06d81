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
// by name, but for hidden files and links that lead nowhere: `left_out` gets a line for each of
// these). A model is called like its file's stem; where stems collide, like its folder.
//
// A model is a name in a folder, since its external data lies there: links to one file are models
// of their own. Throws Error(kInvalid) if a folder has no model, one name in a folder is given
// twice, a name cannot be a file name or two models keep one name; Error(kIo) if something does not
// exist.
std::vector<ModelInput> resolve_inputs(const std::vector<std::string>& arguments,
                                       std::vector<std::string>* left_out = nullptr);

}  // namespace wshare

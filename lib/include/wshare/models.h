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

struct ResolveOptions {
  bool recursive = false;  // look into folders in folders, too, but for hidden ones and links
  std::vector<std::string>* left_out = nullptr;  // gets a line for each file that is left out
};

// Returns the models that `arguments` name: each a file, a folder (all *.onnx in it, by name, but
// for hidden files and links that lead nowhere), or NAME=file or NAME=folder.
//
// A model is called like its file's stem; where stems collide, by the shortest part of the path
// that tells them apart (util/distinct_names.h), with the stem where that is needed, too. The only
// model of NAME=folder is called NAME, of several each NAME- and what it would be called alone.
//
// A model is a name in a folder, since its external data lies there: links to one file are models
// of their own. Throws Error(kInvalid) if a folder has no model, one name in a folder is given
// twice, a name cannot be a file name or two models keep one name; Error(kIo) if something does not
// exist.
std::vector<ModelInput> resolve_inputs(const std::vector<std::string>& arguments,
                                       const ResolveOptions& options = {});

// Returns the one model that `argument` names. Throws what resolve_inputs() throws, and
// Error(kInvalid) where it names several.
ModelInput resolve_input(const std::string& argument);

}  // namespace wshare

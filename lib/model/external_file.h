#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "util/mapped_file.h"

namespace wshare {

// A file beside a model that it refers to: external data, or what a node names.
struct ExternalFile {
  std::string location;         // as in the model
  std::filesystem::path place;  // of the file in the model's folder, without ".."
  MappedFile file;              // its path is where the file stands, canonical
  bool named_by_node = false;   // a node needs it as a file, not a tensor
};

// Opens external data `location` of the model at `model`.
//
// As in ONNX Runtime the file must lie in the model's folder or, when the model itself is a
// symbolic link, in the folder of the file that the link leads to; links and ".." may lead there.
// That is asked of the file that has been opened, so nobody can put another in its place in
// between. Throws Error(kInvalid) if the location leads elsewhere, Error(kIo) if there is no such
// file or it cannot be read.
ExternalFile open_external(const std::filesystem::path& model, std::string_view location);

// Returns the same, or nothing if there is no such file.
std::optional<ExternalFile> find_external(const std::filesystem::path& model,
                                          std::string_view location);

}  // namespace wshare

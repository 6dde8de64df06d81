#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/plan.h"
#include "format/manifest.h"

namespace wshare {

// A file that a bundle gets.
struct NewFile {
  std::string name, bytes;
};

// Gives the model called `name` in `manifest`, of the bundle in `folder`, the file `model` in place
// of `before`, and returns it and others, whose names are taken from `names`.
//
// Restore records that need its file are packed anew: each blob that has some becomes a new one,
// with all its records and gaps. Throws Error(kInvalid) if a record is damaged or lies among other
// things, or the name gets too long for a file; Error(kIo) if a blob cannot be read.
std::vector<NewFile> replace_model(Manifest& manifest, const std::filesystem::path& folder,
                                   const std::string& name, std::string_view before,
                                   std::string model, UnusedNames& names);

// Makes `files` in `folder`, which has none of them. Throws Error(kIo).
void write_files(const std::filesystem::path& folder, const std::vector<NewFile>& files);

// Returns a new name for a file, from `names`. Throws Error(kInvalid) if it is too long for one.
std::string new_file_name(UnusedNames& names, const std::string& stem,
                          const std::string& extension);

}  // namespace wshare

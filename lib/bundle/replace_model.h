#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/plan.h"
#include "format/manifest/manifest.h"

namespace wshare {

// A file that a bundle gets.
struct NewFile {
  std::string name, bytes;
};

// A model of a bundle that gets another file: `model` in place of `before`.
struct ReplacedModel {
  std::string name;
  std::string_view before;
  std::string model;
};

// Gives each of `models`, which are in `manifest`, of the bundle in `folder`, its new file, and
// returns these and others, whose names are taken from `names`.
//
// The old files' names are retired. Restore records that need one of the files are packed anew:
// each blob that has some becomes a new one, with all its records and gaps. Throws Error(kInvalid)
// if a record is damaged or lies among other things; Error(kIo) if a blob cannot be read.
std::vector<NewFile> replace_models(Manifest& manifest, const std::filesystem::path& folder,
                                    std::vector<ReplacedModel> models, UnusedNames& names);

// Makes `files` in `folder`, which has none of them. Throws Error(kIo).
void write_files(const std::filesystem::path& folder, const std::vector<NewFile>& files);

}  // namespace wshare

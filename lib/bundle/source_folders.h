#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "format/bundle_files.h"
#include "format/manifest/manifest.h"

namespace wshare {

// Where restore puts the files that a bundle gives back, relative to its output.
struct RestoredPaths {
  bool flat = true;  // all in one folder
  std::set<std::filesystem::path> paths;
};

// Reads the restore records of a bundle with `manifest` and `files`.
//
// Throws Error(kIo) or Error(kInvalid) if a file is missing or damaged.
RestoredPaths find_restored_paths(const Manifest& manifest, const StoredFiles& files,
                                  unsigned threads);

// The files of an original.
struct SourceFiles {
  std::filesystem::path path;                   // of the model
  std::vector<std::filesystem::path> external;  // places of its external files
  bool names_folder = false;                    // a location of one leads through its folder's name
};

// Returns the folder names that keep `sources` apart from each other and from `taken` on restore:
// "" when all come from one folder, no location names that, and nothing is in their way, else the
// folders' own names, or of several with one name the parts of their paths that tell them apart
// (util/distinct_names.h), with a number where one is taken.
std::vector<std::string> source_folders(const std::vector<SourceFiles>& sources,
                                        const RestoredPaths& taken);

}  // namespace wshare

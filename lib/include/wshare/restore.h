#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "wshare/progress.h"

namespace wshare {

struct RestoreOptions {
  bool replace = false;  // files that exist
  bool dry_run = false;
  unsigned threads = 0;
  ProgressFn progress;
};

struct RestoredModel {
  std::string name;
  std::filesystem::path path;  // of the .onnx, below the output folder
  // True: the .onnx and its external files are the originals byte for byte. False: it is
  // approximate, or an external file also held tensors of models that were not restored with it;
  // those bytes are zero.
  bool identical = false;
  bool approximate = false;  // the bundle has no residuals: merged weights came back rounded
};

// Writes the originals of the models `names` (all when empty) of the bundle into the folder
// `output`: each .onnx under its old name, its external files under theirs, with the same bytes at
// the same offsets. Originals that came from several folders get these folders again.
//
// Every byte is checked against the manifest's hashes on the way. Throws Error(kInvalid) if the
// bundle is damaged or has no such model, Error(kIo) if a file exists already (without `replace`)
// or cannot be written.
std::vector<RestoredModel> restore(const std::filesystem::path& bundle,
                                   const std::vector<std::string>& names,
                                   const std::filesystem::path& output,
                                   const RestoreOptions& options);

}  // namespace wshare

#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "wshare/progress.h"

namespace wshare {

struct ExportOrtPackageOptions {
  bool link = true;                 // files are the bundle's own, where that can be
  std::vector<std::string> models;  // only these; empty: all
  std::vector<std::string> providers = {"CPUExecutionProvider"};  // that a session may ask for
  bool dry_run = false;  // find out everything, write nothing
  unsigned threads = 0;  // 0: all cores
  ProgressFn progress;
};

struct PackagedModel {
  std::string name;  // in the bundle, and of the component
  std::string file;  // in the package
};

struct ExportOrtPackageReport {
  std::vector<PackagedModel> models;
  std::vector<std::string> left;  // tasks, which are adapters
  std::string asset;              // "sha256:..." of the folder that has all weights; "": none
  uint64_t linked_bytes = 0, copied_bytes = 0;
};

// Makes of the bundle in the folder `bundle` a model package of ONNX Runtime (schema 1.0), the
// folder `package`, and returns what it did. Each model is a component with a variant for each
// provider, and the weights of all are one shared asset.
//
// Equal bundles give equal packages. Throws Error(kInvalid) if there is no such model, or two would
// have one name; Error(kIo) if the bundle is none, or the folder cannot be written to or is there
// already. Nothing is then there that was not.
ExportOrtPackageReport export_ort_package(const std::filesystem::path& bundle,
                                          const std::filesystem::path& package,
                                          const ExportOrtPackageOptions& options);

}  // namespace wshare

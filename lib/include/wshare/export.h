#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "wshare/progress.h"

namespace wshare {

enum class OciForm {
  kArtifact,  // of CNCF ModelPack: each file of the bundle is a layer, as it is
  kCar,       // an image whose layers have the files in /models, for what mounts images
};

enum class OciLinks {
  kHard,  // blobs are the bundle's own files, where the file system can
  kCopy,
};

struct ExportOciOptions {
  OciForm form = OciForm::kArtifact;
  OciLinks links = OciLinks::kHard;
  bool with_packs = false;
  std::vector<std::string> models;  // only these, and nothing that only restore needs; empty: all
  bool dry_run = false;             // find out everything, write nothing
  unsigned threads = 0;             // 0: all cores
  ProgressFn progress;
};

struct ExportOciReport {
  std::string tag;
  std::string digest;  // "sha256:..." of the manifest
  uint64_t layers = 0;
  uint64_t bytes = 0;         // of layers, config and manifest: what a first push sends
  uint64_t new_bytes = 0;     // of those that no tag of the layout named before
  uint64_t linked_bytes = 0;  // that the bundle and the layout have once, from now on
  uint64_t copied_bytes = 0;  // that were written
  uint64_t hashed_bytes = 0;  // the layout told the digests of the others
};

// Puts the bundle in the folder `bundle` into the OCI image layout `layout`, under `tag`, and
// returns what it did. A layout that is not there is made.
//
// Equal bundles give equal digests. The tag moves when all that it names is there and durable; all
// that the layout had stays. Throws Error(kInvalid) if the bundle is damaged or has no such model;
// Error(kIo) if it is none, or if the layout is something else, cannot be written to or is being
// written by another process. The layout then has the tags that it had.
ExportOciReport export_oci(const std::filesystem::path& bundle, const std::filesystem::path& layout,
                           const std::string& tag, const ExportOciOptions& options);

enum class TritonBackend {
  kWshare,       // the Python-based backend that comes with wshare
  kOnnxRuntime,  // the server's own
};

enum class TritonLinks {
  kFiles,   // a version folder of symbolic links to the files that the model needs
  kFolder,  // the version folder is a symbolic link to the bundle
  kHard,    // a version folder of hard links
};

struct ExportTritonOptions {
  TritonBackend backend = TritonBackend::kWshare;
  TritonLinks links = TritonLinks::kFiles;
  uint32_t instances = 1;
  bool packed = false;   // over packs, or not at all
  bool dry_run = false;  // find out everything, write nothing
};

struct TritonModel {
  std::string name;
  std::filesystem::path folder;  // of the repository
  std::string model_file;        // in the version folder
};

struct ExportTritonReport {
  std::vector<TritonModel> models;
  std::vector<std::string> left;  // tasks that this backend cannot serve
};

// Makes each model of the bundle in the folder `bundle`, and with kWshare each task over one, a
// model of the Triton model repository `repository`, new or not, and returns what it did.
//
// The repository gets links to the bundle's files, no copies. Throws Error(kInvalid) if a pack is
// asked for and a model has none; Error(kUnsupported) if Triton knows no such inputs or outputs;
// Error(kIo) if the bundle is none, or the repository has such a model already or cannot be written
// to. Nothing is then in it that was not.
ExportTritonReport export_triton(const std::filesystem::path& bundle,
                                 const std::filesystem::path& repository,
                                 const ExportTritonOptions& options);

}  // namespace wshare

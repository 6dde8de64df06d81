#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "wshare/progress.h"

namespace wshare {

struct ImportOptions {
  // Models of the bundle, such as an encoder and its decoders; empty: the one that its tasks name,
  // or its only one.
  std::vector<std::string> bases;
  // Of an adapter for several models of a pipeline, as diffusers calls them (unet, text_encoder):
  // what is for others is left out. Empty: all.
  std::vector<std::string> parts;
  // Empty: called like the adapter's folder or file. With several bases each gets a task
  // "<task>-<base>".
  std::string task;
  bool dry_run = false;  // find out everything, write nothing
  unsigned threads = 0;  // 0: all cores
  // How long to wait for another command that changes the bundle.
  std::chrono::milliseconds wait{10000};
  ProgressFn progress;
};

// Where a part of the adapter went.
struct ImportedModule {
  std::string module;  // as the adapter calls it, with '.' where that has '_' for it
  std::string tensor;  // of the base
  int64_t rank = 0;    // 0: a whole tensor that takes the place of the base's
  double scaling = 1;  // that was multiplied into B
};

// What was done over one base.
struct ImportReport {
  std::string task, base;
  std::vector<ImportedModule> mapping;  // in the order of the base's tensors
  std::vector<std::string> same;        // what the adapter has whole and is the base's
  std::string adapter;                  // file in the bundle
  uint64_t adapter_bytes = 0;
  std::string model;       // file of the base
  bool new_model = false;  // it was written anew, with inputs that the adapter needs
};

// Makes the adapter at `path` a task of the bundle in the folder `bundle`, one over each base, and
// returns what was done for each: a folder of PEFT, a .safetensors file beside its
// adapter_config.json, an .onnx_adapter, or a .safetensors file of kohya's sd-scripts, LyCORIS or
// diffusers. Each part of that (U-Net, text encoders) goes to the base that has all its modules.
//
// A module belongs to the weight whose module has the same path, up to names in front that only one
// of the two has, and whose shape its factors fit. Throws Error(kInvalid) if a module has no weight
// in any base or may be several of one, a base gets nothing, the adapter is malformed or for other
// weights, or the bundle has a model or task of that name; Error(kUnsupported) if a weight can have
// no adapter (quantized, read by several modules) or the adapter is more than a low rank;
// Error(kIo) if something cannot be read or written. The bundle is then as it was.
std::vector<ImportReport> import_adapter(const std::filesystem::path& bundle,
                                         const std::filesystem::path& path,
                                         const ImportOptions& options);

}  // namespace wshare

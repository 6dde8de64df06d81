#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "wshare/progress.h"

namespace wshare {

// Which of ONNX Runtime's graph optimisations a pack has in it.
enum class Optimization { kBasic, kExtended, kAll };

// "basic", "extended", "all".
const char* text_of(Optimization level);

struct PackOptions {
  std::vector<std::string> models;  // empty: all of the bundle
  // With kAll, what a plain session does by default, so that outputs are the same bit for bit.
  Optimization optimization = Optimization::kAll;
  bool dry_run = false;  // find out the sizes: make no packs and try none
  unsigned threads = 0;  // 0: all cores
  // How long to wait for another command that changes the bundle.
  std::chrono::milliseconds wait{10000};
  ProgressFn progress;
  // What packs are tried on, as in `wshare run`: a folder of input_0.pb or .npy ..., or of one such
  // folder per model; empty: inputs are made up, with these shapes and values, by "input" or
  // "MODEL:input".
  std::filesystem::path inputs;
  std::map<std::string, std::vector<int64_t>> shapes;
  std::map<std::string, std::string> values;
  // The program wshare, in whose child processes ONNX Runtime makes packs and tries them: short of
  // memory or files, it may end the process. Empty: it does so in this one.
  std::filesystem::path program;
};

struct PackedModel {
  std::string model;
  std::string file;           // beside the model's own; empty: none was made
  uint64_t file_bytes = 0;    // of `file`
  uint64_t packed_bytes = 0;  // in the form that kernels use: what a plain session has for itself
  uint64_t folded_bytes = 0;  // that optimisers made and no kernel packs: each plain session, too
  uint64_t own_bytes = 0;     // that sessions over the pack have for themselves all the same
  uint64_t raw_bytes = 0;     // of weights as they were, also those that the bundle had already
  std::string why_not;        // of a model without a pack
  std::string untried;        // why no session over the pack was run beside a plain one
  // Outputs that were not compared, since a plain session gives others at each run: random
  // operators without a seed.
  std::vector<std::string> random_outputs;
};

struct PackReport {
  std::vector<PackedModel> models;  // in the order of the bundle
  std::string onnxruntime;          // version that the packs are for
  std::string cpu;                  // and what CPU
  uint64_t bytes_before = 0;        // of all files of the bundle
  uint64_t bytes_out = 0;
  // Of the packs that were made, each range once: what all sessions over them have together.
  uint64_t distinct_packed_bytes = 0, distinct_folded_bytes = 0;
  size_t other_packs = 0;  // of the bundle: for other ONNX Runtimes or CPUs
};

// Makes packs for the models of the bundle in the folder `bundle`: each model as this ONNX Runtime
// optimises it for this CPU, its weights also as kernels pack them, every distinct byte range once
// in the bundle. They take the place of packs for this very version and CPU; those for others stay.
//
// A model is left out, and PackedModel says why, if ONNX Runtime refuses it, or a session over its
// pack holds copies of what is packed, so that the loader would not use it, or does not give the
// outputs of a plain one bit for bit. Throws Error(kInvalid) if there is no such model, one is not
// the file of the manifest, or inputs that are given contradict it; Error(kIo) if the bundle is
// none, it or the folder of temporary files cannot be written to, or it is being changed by another
// process for longer than `wait`; Error(kRuntime) if no model could be packed. The bundle is then
// as it was.
PackReport pack(const std::filesystem::path& bundle, const PackOptions& options);

struct PruneOptions {
  std::vector<std::string> models;  // empty: all of the bundle
  bool dry_run = false;
  unsigned threads = 0;
  std::chrono::milliseconds wait{10000};
};

struct PrunedPack {
  std::string model, file;
  std::string onnxruntime, cpu;  // what it was for
  std::string why;               // nobody here can use it
};

struct PruneReport {
  std::vector<PrunedPack> dropped;  // in the order of the bundle
  size_t kept = 0;                  // packs that stay
  std::string onnxruntime, cpu;     // at hand
  uint64_t bytes_before = 0;        // of all files of the bundle
  uint64_t bytes_out = 0;
  uint64_t unused_bytes = 0;  // in blobs that stay: `remove --compact` frees them
};

// Drops packs that no session of this ONNX Runtime on this CPU would be made over: of another file
// than the model has now, for another CPU, or for another version where the model has a pack for
// this one. (Without that, one for another version stays: it serves where kernels pack the same
// bytes.) Nothing is written where there is none.
//
// Throws as pack() does, but for what making packs may throw.
PruneReport prune_packs(const std::filesystem::path& bundle, const PruneOptions& options);

}  // namespace wshare

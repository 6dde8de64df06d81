#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
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
  // The program wshare, in whose child processes ONNX Runtime makes packs and tries them: short of
  // memory or files, it may end the process. Empty: it does so in this one.
  std::filesystem::path program;
};

struct PackedModel {
  std::string model;
  std::string file;           // beside the model's own; empty: none was made
  uint64_t file_bytes = 0;    // of `file`
  uint64_t packed_bytes = 0;  // in the form that kernels use: what a plain session has for itself
  uint64_t raw_bytes = 0;     // of weights as they were, also those that the bundle had already
  std::string why_not;        // of a model without a pack
  std::string untried;        // why no session over the pack was run beside a plain one
};

struct PackReport {
  std::vector<PackedModel> models;  // in the order of the bundle
  std::string onnxruntime;          // version that the packs are for
  std::string cpu;                  // and what CPU
  uint64_t bytes_before = 0;        // of all files of the bundle
  uint64_t bytes_out = 0;
  uint64_t distinct_packed_bytes = 0;  // packed_bytes of all packs of the bundle, each range once
};

// Makes packs for the models of the bundle in the folder `bundle`, which take the place of older
// ones: each model as this ONNX Runtime optimises it for this CPU, its weights also as kernels pack
// them, every distinct byte range once in the bundle.
//
// A model is left out, and PackedModel says why, if ONNX Runtime refuses it or a session over its
// pack does not give the outputs of a plain one bit for bit, on made-up inputs. Throws
// Error(kInvalid) if there is no such model or one is not the file of the manifest; Error(kIo) if
// the bundle is none, it or the folder of temporary files cannot be written to, or it is being
// changed by another process for longer than `wait`; Error(kRuntime) if no model could be packed. The bundle is then as
// it was.
PackReport pack(const std::filesystem::path& bundle, const PackOptions& options);

}  // namespace wshare

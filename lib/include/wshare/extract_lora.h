#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "wshare/models.h"
#include "wshare/progress.h"
#include "wshare/tensor_class.h"

namespace wshare {

// What a bundle offers of each task, beside what serves it.
struct Emit {
  bool adapter = true;  // <task>.onnx_adapter, where the task is an adapter over the base
  bool onnx = false;    // <task>.onnx over the shared weights, for every task
};

// Adapters of PEFT, beside the bundle.
struct PeftOptions {
  std::filesystem::path folder;  // gets a folder for each task that is plain LoRA; empty: none
  std::filesystem::path map;     // a JSON object: paths of modules by weight; empty: none
};

struct ExtractOptions {
  std::string base;        // "file" or "NAME=file"; empty: what the first task is without its LoRA
  int64_t rank = 0;        // 0: where roundings begin; N: exactly N for every low rank
  int64_t max_rank = 256;  // a difference of a higher rank is no LoRA
  // Largest relative error (Frobenius) of a difference that is stored as low rank; 0: as large as
  // roundings explain.
  double tolerance = 0;
  bool exact = false;    // nothing approximate is served
  bool residual = true;  // keep what makes restore exact
  Emit emit;
  PeftOptions peft;
  uint64_t min_bytes = 1024;  // smaller tensors stay in their models
  unsigned threads = 0;       // 0: all cores
  bool replace = false;       // a bundle that exists, as a whole
  // How long to wait for another command that changes the bundle to be replaced.
  std::chrono::milliseconds wait{10000};
  bool dry_run = false;
  ProgressFn progress;
};

// What became of one tensor of a task.
struct ExtractedTensor {
  std::string base_tensor, task_tensor;  // base_tensor is empty where there is none
  TensorClass tensor_class{};
  uint64_t bytes = 0;         // of the original
  uint64_t stored_bytes = 0;  // for this task alone, without residual
  uint64_t residual_bytes = 0;
  // Of kLowRank and kLora, and of kReplaced where it travels in the adapter as a pair of its full
  // rank.
  int64_t rank = 0;
  double relative_error = 0;  // of what is stored against the difference, Frobenius
  double max_abs_error = 0;
  double energy = 0;
  std::vector<double> singular_values;  // the leading ones, falling
  double noise_edge = 0;
  std::vector<std::string> notes;
};

struct ExtractedTask {
  std::string name, source;
  std::string adapter;  // file in the bundle; empty: none
  std::string model;    // file in the bundle of a model of its own; empty: none
  // The base, or an earlier task, that is served by the same bytes; empty: none.
  std::string same_as;
  std::string peft;                  // folder in PeftOptions::folder; empty: none
  std::string no_peft;               // why there is none, where it was asked for
  std::vector<std::string> reasons;  // why the task is no adapter over the base; empty: it is one
  // Outputs that the base gives under another name, where the task is an adapter: the base's by
  // the task's.
  std::map<std::string, std::string> renamed_outputs;
  uint64_t bytes_in = 0;  // of the model file and its external files
  uint64_t adapter_bytes = 0, residual_bytes = 0;
  uint64_t model_bytes = 0;  // of its own model: graph and weights that no other model uses
  std::vector<ExtractedTensor> tensors;  // what differs from the base, largest first
};

struct ExtractReport {
  std::string base;         // name of the base in the bundle
  uint64_t base_bytes = 0;  // of its file and weights in the bundle
  // Where branches may cost the base bits: "" or what is to be known of it.
  std::string base_note;
  std::vector<ExtractedTask> tasks;
  uint64_t bytes_in = 0;                       // of all inputs
  uint64_t bytes_out = 0, residual_bytes = 0;  // of the bundle; of its residuals in it
  // A folder beside the bundle with files of others that came into a replaced one meanwhile and
  // could not come along; empty: there are none.
  std::string kept;
};

// Makes of task models one base and, for each task, an adapter over it or a small model of its own,
// in the folder `bundle`, which appears whole or not at all.
//
// Throws Error(kInvalid) if a task is no variant of the base (the message says what differs first)
// or an input is malformed; Error(kIo) if something cannot be read or written.
ExtractReport extract_lora(const std::vector<ModelInput>& tasks,
                           const std::filesystem::path& bundle, const ExtractOptions& options);

}  // namespace wshare

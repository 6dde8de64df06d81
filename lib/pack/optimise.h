#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "model/model_file.h"
#include "util/mapped_file.h"
#include "wshare/pack.h"

namespace wshare {

// A model as ONNX Runtime wrote it. All its external data lies in `weights`.
struct OptimisedModel {
  ModelFile model;
  MappedFile weights;
  uint64_t own_bytes = 0;  // packed forms that it refers to no more (drop_unreadable())
};

// What the file of weights is called that lies beside an optimised model.
inline constexpr char kWeightsName[] = "weights";

// A model that ONNX Runtime is to write, optimised, into a folder.
struct OptimiseJob {
  std::string model;  // for messages
  std::filesystem::path path, folder;
  Optimization level = Optimization::kAll;
  unsigned threads = 1;
};

inline constexpr char kOptimiseJob[] = "optimise";  // the name of an OptimiseJob

// Has ONNX Runtime write the model, with large weights and what kernels make of them in one file,
// and returns both. It runs in a child process, which is `program` (run/ask_child.h): where memory
// ends, it may end the process. Empty: in this one.
//
// Throws Error(kRuntime) with ONNX Runtime's message if it refuses the model, or with how the child
// ended; Error(kIo) if the files cannot be written or are not complete.
OptimisedModel optimise(const OptimiseJob& job, const std::filesystem::path& program);

// The child's side.
nlohmann::ordered_json do_optimise(const nlohmann::ordered_json& json);

// Returns the level that is called `name`; kAll for any other name.
Optimization parse_optimization(const std::string& name);

}  // namespace wshare

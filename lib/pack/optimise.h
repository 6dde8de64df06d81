#pragma once

#include <onnxruntime_cxx_api.h>

#include <filesystem>

#include "model/model_file.h"
#include "util/mapped_file.h"
#include "wshare/pack.h"

namespace wshare {

// A model as ONNX Runtime wrote it. All its external data lies in `weights`.
struct OptimisedModel {
  ModelFile model;
  MappedFile weights;
};

// What the file of weights is called that lies beside an optimised model.
inline constexpr char kWeightsName[] = "weights";

// Writes the model at `path` into `folder`, optimised, with large weights and what kernels make of
// them in one file, and returns both; `name` is for messages.
//
// Throws Error(kRuntime) with ONNX Runtime's message if it refuses the model, Error(kIo) if the
// files are not complete: the disk is full.
OptimisedModel optimise(const std::string& name, const std::filesystem::path& path,
                        Optimization level, unsigned threads, const std::filesystem::path& folder);

}  // namespace wshare

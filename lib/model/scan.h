#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/external_file.h"
#include "model/model_file.h"
#include "model/renames.h"
#include "model/tensor_sites.h"
#include "util/mapped_file.h"
#include "util/scratch.h"
#include "wshare/inline_reason.h"

namespace wshare {

// A tensor of one model. `bytes` borrows from the ScannedModel that holds it.
struct TensorRef {
  std::string scope;
  std::string name;
  Home home = Home::kInitializer;
  int32_t dtype = 0;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;  // canonical little-endian; empty when `inline_reason` says why
  std::optional<InlineReason> inline_reason;  // set: the tensor cannot leave the model file
  bool folded = false;                        // some consumer has only constant inputs
  int external_file = -1;  // index in ScannedModel::external, -1 for a tensor of the model file
  uint64_t external_offset = 0;
  bool is_span = false;  // `bytes` lie in the model file as they are
  bool turned = false;   // it is stored as the transpose of `bytes`, and `shape` is that one's
};

// Returns the name of `tensor` behind its scope, as people see it.
std::string full_name(const TensorRef& tensor);

// A model with all its tensors in the order of visit_tensors().
struct ScannedModel {
  ModelFile file;
  std::vector<ExternalFile> external;
  Scratch decoded;
  std::vector<TensorRef> tensors;
  int64_t ir_version = 0;
  std::vector<std::string> texts = {};  // of nodes, that may be names of files
  std::vector<Rename> renames = {};     // by the number of the node
};

// Reads the model at `path` and finds its tensors and their canonical bytes.
//
// Throws Error(kInvalid) if a tensor that the graph uses contradicts its shape or its external
// reference is illegal, two initializers of a graph have one name, or the file is no model;
// Error(kIo) if an external file is missing. Messages name file and tensor.
ScannedModel scan_model(const std::filesystem::path& path);

// The same for a model whose external files lie beside the file `beside`.
ScannedModel scan_model(const std::filesystem::path& path, const std::filesystem::path& beside);

}  // namespace wshare

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "wshare/inline_reason.h"

namespace wshare {

// A tensor that stays in its model, and why.
struct InlineTensor {
  std::string model, scope, tensor;
  uint64_t bytes = 0;
  InlineReason reason{};
};

// A tensor in a blob, for `dedupe --explain`.
struct PlacedTensor {
  std::string model, scope, tensor, blob;
  uint64_t bytes = 0;
  std::vector<std::string> also_in;  // other models that use the same bytes
};

struct DedupedModel {
  std::string name, source;
  std::string same_as;        // the first model whose files hold the same; empty: none
  uint64_t bytes_in = 0;      // the model file and its external files
  uint64_t model_bytes = 0;   // of the new model file
  uint64_t own_bytes = 0;     // of tensors that only it uses
  uint64_t shared_bytes = 0;  // of tensors that other models use, too
  // Its part of what storing each content once saves: what the bundle had before, what it has
  // several times, and of bytes that k new models use 1 - 1/k.
  uint64_t saved_bytes = 0;
  uint64_t tensors = 0;       // in blobs
  uint64_t distinct = 0;
  bool archived = false;  // it does not run: wshare/archive.h
  uint64_t renames = 0;  // nodes of the original that only rename a weight, and are gone
};

}  // namespace wshare

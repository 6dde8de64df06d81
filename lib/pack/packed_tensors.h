#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "format/manifest/manifest.h"
#include "pack/contents.h"
#include "pack/optimise.h"

namespace wshare {

// A tensor of an optimised model that lies in its file of weights.
struct PackedTensor {
  TensorRecord record;                                // its extent is still to be set
  std::vector<PackContents::Found> contents;          // its bytes, then the buffers
  std::vector<std::pair<uint64_t, uint64_t>> places;  // of contents, in the file of weights
};

// Returns the tensors that the optimised form of `model` has in files. ONNX Runtime leaves weights
// of subgraphs where they are, in the blobs of the bundle: these have their extents already.
//
// Throws Error(kIo) if the weights end too early.
std::vector<PackedTensor> find_tensors(const OptimisedModel& optimised, const ModelRecord& model,
                                       const Manifest& manifest, unsigned threads);

// Gives every byte range of `tensors` its place, in the bundle or in the new blob.
void place_contents(std::vector<PackedTensor>& tensors, PackContents& contents);

}  // namespace wshare

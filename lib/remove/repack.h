#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "format/manifest/manifest.h"
#include "format/restore_record.h"
#include "model/model_file.h"

namespace wshare {

// What gives an original back, unpacked.
struct OriginalRecord {
  SourceRecord* source;  // in the manifest
  size_t model;          // index of the model whose .onnx the packed record is compressed against
  RestoreRecord record;
};

// Returns the records of all models, then of all tasks, of `manifest`, which outlives them.
// `models` are the files of its models; `bytes_of` gives the bytes of extents.
//
// Throws Error(kInvalid) if one is damaged.
std::vector<OriginalRecord> unpack_originals(
    Manifest& manifest, std::span<const ModelFile> models,
    const std::function<std::span<const std::byte>(const Extent&)>& bytes_of);

// Numbers the gaps that `originals` name anew, in the order in which they are named. Returns their
// old numbers: number_gaps(...)[new] = old.
std::vector<uint64_t> number_gaps(std::vector<OriginalRecord>& originals);

}  // namespace wshare

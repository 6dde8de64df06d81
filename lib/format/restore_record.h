#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace wshare {

// A run of the original .onnx file: some literal bytes, then the bytes of a tensor.
struct LiteralRun {
  uint64_t literal_size = 0;
  uint32_t tensor = 0;  // index in ModelRecord::tensors
};

// A range of an original file of external data.
struct ExternalPiece {
  enum class Kind { kTensor = 0, kGap = 1, kZeros = 2 };
  Kind kind = Kind::kZeros;
  uint64_t offset = 0;
  uint64_t value =
      0;  // index of the tensor in ModelRecord, of the gap in Manifest, or the count of zeros
};

struct ExternalRecord {
  std::string location;  // as the model has it
  uint64_t size = 0;
  std::vector<ExternalPiece> pieces;
};

// What gives an original back, byte for byte: the bytes of its .onnx that are no tensor payload,
// where the payloads go, and the layout of its external files. Source: docs/bundle-format.md,
// "Restore records".
struct RestoreRecord {
  std::vector<LiteralRun> runs;  // literal bytes after the last run end the file
  std::vector<ExternalRecord> external;
  std::string literal;
};

// Returns the compressed bytes of `record`. `model` is the bundle's .onnx, which holds nearly the
// same bytes: the record says only what differs. Throws Error(kUnsupported) if there are millions
// of runs and pieces.
std::string pack_record(RestoreRecord record, std::string_view model);

// Returns the record in `bytes`, given the same `model`, for an original of `original_bytes` bytes.
// Memory is bounded by 64 bytes for each byte of `bytes` and `model`, and 65 MiB, and by the size
// of the original, whatever `bytes` claim; runs and pieces take eight times as much as their text.
//
// Throws Error(kInvalid) if they hold none.
RestoreRecord unpack_record(std::string_view bytes, std::string_view model,
                            uint64_t original_bytes);

}  // namespace wshare

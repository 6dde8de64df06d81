#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "format/byte_sink.h"
#include "format/codec/lane_decoder.h"
#include "format/codec/prediction.h"

namespace wshare {

// Formats of residuals, as DerivationRecord names them.
inline constexpr int kFirstCodec = 1;  // only read
inline constexpr int kLaneCodec = 2;   // what is written

// Residuals are coded in blocks of this size of the tensor; the last one may be shorter.
inline constexpr size_t kResidualBlock = size_t{1} << 20;

struct ResidualOptions {
  unsigned threads = 1;  // 0: as many as cores
  bool errors = false;   // whether to compute square_delta, square_error, max_abs_error
};

// How far a prediction is from the tensor that it stands for. Sums over all elements, in double;
// NaN where a NaN or an infinity on one side makes them so. sqrt(square_error / square_delta) is
// the relative Frobenius error of the factors.
struct ResidualReport {
  uint64_t coded_bytes = 0;         // 0 if every bit is as predicted
  uint64_t differing_elements = 0;  // whose bits are not those of the rounded prediction
  double square_delta = 0;          // of actual - multiplier * base
  double square_error = 0;          // of actual - the prediction before it is rounded
  double max_abs_error = 0;         // of the same difference
};

// Writes to `write` what turns the rounded prediction into `actual`, the bytes of a tensor of the
// prediction's type and shape, in the format kLaneCodec. The same input gives the same bytes, on
// any number of threads. Memory: about 8 MiB for each thread.
//
// `write` is called in the caller's thread. Throws Error(kInvalid) as check_prediction(), or if
// `actual` has another size.
ResidualReport encode_residual(const Prediction& prediction, std::span<const std::byte> actual,
                               const ByteSink& write, const ResidualOptions& options = {});

// What makes the next tensor of a chain from one of the same type and shape: it is a multiple of
// that one, rounded, and moved by a residual of the format kLaneCodec.
struct ChainStep {
  double multiplier = 1;
  std::span<const std::byte> residual;  // empty: nothing is missed
};

// Writes the bytes of the tensor to `write`, from the first to the last, given a residual of the
// format `codec`, and what then leads to the last tensor of a chain, which is written: steps are
// for kLaneCodec only. Memory: about 4 MiB for each thread; in the first format, which has one
// thread, also what Stretches says of wide rows.
//
// `write` is called in the caller's thread. Throws Error(kInvalid) as check_prediction(), or if
// `residual` cannot belong to it. Damage that is not seen gives other bytes, so compare the hash of
// the tensor.
void decode_residual(const Prediction& prediction, int codec, std::span<const std::byte> residual,
                     const ByteSink& write, unsigned threads = 1,
                     std::span<const ChainStep> then = {});

// Gives any block of a tensor, given its residual in the format kLaneCodec. Threads may share it.
class ResidualReader {
 public:
  // Borrows the bytes of all. Throws as decode_residual() if the sizes of the blocks are damaged.
  ResidualReader(const Prediction& prediction, std::span<const std::byte> residual,
                 LaneForm form = best_lane_form(), std::span<const ChainStep> then = {});

  size_t block_count() const {
    return static_cast<size_t>((size_ + kResidualBlock - 1) / kResidualBlock);
  }
  // Of block number `index`: kResidualBlock, or less at the end.
  size_t block_bytes(size_t index) const;
  // Writes its bytes to `out`, which has that size. Throws as decode_residual().
  void read_block(size_t index, std::span<std::byte> out) const;

 private:
  struct Step {
    double multiplier;
    std::vector<std::span<const std::byte>> codes;  // of the blocks; those behind are as predicted
  };

  Step step_of(double multiplier, std::span<const std::byte> residual) const;

  Prediction prediction_;
  LaneForm form_;
  uint64_t size_;
  std::vector<Step> steps_;  // the first is the prediction's own
};

}  // namespace wshare

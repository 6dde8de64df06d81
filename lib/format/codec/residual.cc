#include "format/codec/residual.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "format/codec/residual_block.h"
#include "format/codec/vector_clones.h"
#include "wshare/error.h"

namespace wshare {
namespace {

constexpr size_t kLanes = 8;

// Sums of many terms in lanes, which become vector instructions and always add up alike.
struct ErrorSums {
  std::array<double, kLanes> delta{}, error{}, largest{};
};

WSHARE_VECTOR_CLONES void add_errors(const double* actual, const double* scaled_base,
                                     const double* predicted, size_t count, ErrorSums& sums) {
  const size_t whole = count / kLanes * kLanes;
  const auto add = [&](size_t at, size_t lanes) __attribute__((always_inline)) {
    for (size_t lane = 0; lane < lanes; ++lane) {
      const size_t i = at + lane;
      // Infinity less infinity would be no number, where nothing is amiss.
      const double delta = actual[i] == scaled_base[i] ? 0 : actual[i] - scaled_base[i];
      const double error = actual[i] == predicted[i] ? 0 : actual[i] - predicted[i];
      const double size = std::abs(error);
      sums.delta[lane] += delta * delta;
      sums.error[lane] += error * error;
      sums.largest[lane] = size > sums.largest[lane] ? size : sums.largest[lane];
    }
  };
  for (size_t i = 0; i < whole; i += kLanes) add(i, kLanes);
  add(whole, count - whole);
}

// Joins stretches to blocks of the size that residuals are coded in.
class BlockBuffer {
 public:
  // Passes whole blocks on to use(first byte, bytes).
  template <typename Use>
  void append(std::span<const std::byte> bytes, const Use& use) {
    while (!bytes.empty()) {
      const size_t some = std::min(bytes.size(), kResidualBlock - block_.size());
      block_.insert(block_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(some));
      bytes = bytes.subspan(some);
      if (block_.size() == kResidualBlock) finish(use);
    }
  }
  // Passes on what is left.
  template <typename Use>
  void finish(const Use& use) {
    if (block_.empty()) return;
    use(first_, std::span(block_));
    first_ += block_.size();
    block_.clear();
  }

 private:
  std::vector<std::byte> block_;
  uint64_t first_ = 0;  // byte of the tensor
};

class Encoder {
 public:
  Encoder(const Prediction& prediction, std::span<const std::byte> actual, const ByteSink& write)
      : prediction_(prediction), actual_(actual), write_(write) {}

  ResidualReport run() {
    Predictor predictor(prediction_);
    const size_t size = float_format(prediction_.dtype)->size;
    Stretches stretches(prediction_.rows, prediction_.cols, size);
    std::vector<std::byte> predicted(stretches.size_bytes());
    const auto encode = [&](uint64_t first, std::span<const std::byte> block) {
      encode_block(first, block);
    };
    while (const std::optional<Stretch> stretch = stretches.next()) {
      predictor.for_each_tile(
          *stretch, [&](const PredictedTile& tile) { add_tile(tile, *stretch, predicted.data()); });
      const size_t bytes = static_cast<size_t>(stretch->rows * stretch->cols) * size;
      blocks_.append({predicted.data(), bytes}, encode);
    }
    blocks_.finish(encode);
    return finish_report();
  }

 private:
  void add_tile(const PredictedTile& tile, const Stretch& stretch, std::byte* predicted) {
    const size_t size = float_format(prediction_.dtype)->size;
    const auto cols = static_cast<size_t>(tile.block.cols);
    actual_row_.resize(cols);
    for (uint64_t row = 0; row < tile.block.rows; ++row) {
      const uint64_t at = (tile.block.row + row) * prediction_.cols + tile.block.col;
      const uint64_t at_stretch = stretch.row * prediction_.cols + stretch.col;
      const double* sums = tile.sums + row * tile.stride;
      write_values({sums, cols}, prediction_.dtype, predicted + (at - at_stretch) * size);
      read_values(actual_.subspan(static_cast<size_t>(at) * size, cols * size), prediction_.dtype,
                  actual_row_.data());
      add_errors(actual_row_.data(), tile.scaled_base + row * tile.stride, sums, cols, errors_);
    }
  }

  void encode_block(uint64_t first, std::span<const std::byte> predicted) {
    code_.clear();
    const std::span<const std::byte> actual =
        actual_.subspan(static_cast<size_t>(first), predicted.size());
    report_.differing_elements +=
        encode_residual_block(predicted, actual, prediction_.dtype, code_);
    if (code_.empty()) {
      ++equal_blocks_;
      return;
    }
    // Equal blocks are written once it is known that another one follows.
    for (; equal_blocks_ > 0; --equal_blocks_) write_block({});
    write_block(std::as_bytes(std::span(code_)));
  }

  void write_block(std::span<const std::byte> code) {
    const auto size = static_cast<uint32_t>(code.size());
    write_(std::as_bytes(std::span(&size, 1)));
    if (!code.empty()) write_(code);
    report_.coded_bytes += sizeof(size) + code.size();
  }

  ResidualReport finish_report() {
    const auto total = [](const std::array<double, kLanes>& lanes) {
      return std::accumulate(lanes.begin(), lanes.end(), 0.0);
    };
    report_.square_delta = total(errors_.delta);
    report_.square_error = total(errors_.error);
    report_.max_abs_error = std::isnan(report_.square_error)
                                ? report_.square_error
                                : *std::max_element(errors_.largest.begin(), errors_.largest.end());
    return report_;
  }

  const Prediction& prediction_;
  std::span<const std::byte> actual_;
  const ByteSink& write_;
  BlockBuffer blocks_;
  std::vector<double> actual_row_;
  ErrorSums errors_;
  std::string code_;
  uint64_t equal_blocks_ = 0;
  ResidualReport report_;
};

// Takes the code of the next block off `residual`; empty if the block is as predicted.
std::span<const std::byte> take_block(std::span<const std::byte>& residual) {
  if (residual.empty()) return {};
  uint32_t size = 0;
  if (residual.size() < sizeof(size)) throw Error(ErrorCode::kInvalid, "residual: ends early");
  std::memcpy(&size, residual.data(), sizeof(size));
  residual = residual.subspan(sizeof(size));
  if (size > residual.size()) {
    throw Error(ErrorCode::kInvalid, "residual: a block has " + std::to_string(size) +
                                         " bytes, only " + std::to_string(residual.size()) +
                                         " are left");
  }
  const std::span<const std::byte> block = residual.first(size);
  residual = residual.subspan(size);
  return block;
}

}  // namespace

ResidualReport encode_residual(const Prediction& prediction, std::span<const std::byte> actual,
                               const ByteSink& write) {
  const uint64_t size = check_prediction(prediction);
  if (actual.size() != size) {
    throw Error(ErrorCode::kInvalid, "residual: the tensor has " + std::to_string(actual.size()) +
                                         " bytes, its prediction " + std::to_string(size));
  }
  return Encoder(prediction, actual, write).run();
}

void decode_residual(const Prediction& prediction, std::span<const std::byte> residual,
                     const ByteSink& write) {
  Predictor predictor(prediction);
  const size_t size = float_format(prediction.dtype)->size;
  Stretches stretches(prediction.rows, prediction.cols, size);
  std::vector<std::byte> predicted(stretches.size_bytes());
  BlockBuffer blocks;
  const auto correct = [&](uint64_t, std::span<std::byte> block) {
    const std::span<const std::byte> code = take_block(residual);
    if (!code.empty()) decode_residual_block(code, prediction.dtype, block);
    write(block);
  };
  while (const std::optional<Stretch> stretch = stretches.next()) {
    predictor.predict(*stretch, predicted.data());
    const size_t bytes = static_cast<size_t>(stretch->rows * stretch->cols) * size;
    blocks.append({predicted.data(), bytes}, correct);
  }
  blocks.finish(correct);
  if (!residual.empty()) {
    throw Error(ErrorCode::kInvalid, "residual: has " + std::to_string(residual.size()) +
                                         " bytes more than its tensor needs");
  }
}

}  // namespace wshare

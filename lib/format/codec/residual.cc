#include "format/codec/residual.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string>

#include "format/codec/delta_block.h"
#include "format/codec/first_residual.h"
#include "format/codec/vector_clones.h"
#include "util/parallel.h"
#include "util/wire.h"
#include "wshare/error.h"

namespace wshare {
namespace {

constexpr size_t kSums = 8;

// Sums of many terms in lanes, which become vector instructions and always add up alike.
struct ErrorSums {
  std::array<double, kSums> delta{}, error{}, largest{};
};

WSHARE_VECTOR_CLONES void add_errors(const double* actual, const double* scaled_base,
                                     const double* predicted, size_t count, ErrorSums& sums) {
  const size_t whole = count / kSums * kSums;
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
  for (size_t i = 0; i < whole; i += kSums) add(i, kSums);
  add(whole, count - whole);
}

void add_sums(const ErrorSums& of_block, ErrorSums& sums) {
  for (size_t lane = 0; lane < kSums; ++lane) {
    sums.delta[lane] += of_block.delta[lane];
    sums.error[lane] += of_block.error[lane];
    sums.largest[lane] = std::max(sums.largest[lane], of_block.largest[lane]);
  }
}

// A part of a tensor that is coded on its own.
struct BlockPlace {
  uint64_t first;  // element
  size_t count;
  size_t element_size;

  size_t bytes() const { return count * element_size; }
  uint64_t first_byte() const { return first * element_size; }
};

BlockPlace place_of(const Prediction& prediction, size_t index) {
  const size_t element_size = float_format(prediction.dtype)->size;
  const uint64_t first = uint64_t{index} * (kResidualBlock / element_size);
  const uint64_t left = prediction.rows * prediction.cols - first;
  return {first, static_cast<size_t>(std::min<uint64_t>(left, kResidualBlock / element_size)),
          element_size};
}

BlockRows rows_of(const Prediction& prediction, const BlockPlace& place) {
  return {prediction.cols, place.first % prediction.cols};
}

// Writes the predicted elements of a block to `out`, and says how far `actual` is from them.
ErrorSums compare_block(const Prediction& prediction, const BlockPlace& place,
                        std::span<const std::byte> actual, std::byte* out) {
  ErrorSums sums;
  std::vector<double> values;
  const auto compare_row = [&](const PredictedTile& tile, uint64_t row, size_t at) {
    const auto cols = static_cast<size_t>(tile.block.cols);
    const double* predicted = tile.sums + row * tile.stride;
    write_values({predicted, cols}, prediction.dtype, out + at * place.element_size);
    values.resize(cols);
    read_values(actual.subspan(at * place.element_size, cols * place.element_size),
                prediction.dtype, values.data());
    add_errors(values.data(), tile.scaled_base + row * tile.stride, predicted, cols, sums);
  };
  Predictor predictor(prediction);
  predictor.for_each_row(place.first, place.count, compare_row);
  if (is_copy(prediction)) predictor.predict_elements(place.first, place.count, out);
  return sums;
}

struct EncodedBlock {
  std::string code;
  uint64_t differing = 0;
  ErrorSums errors;
  std::vector<std::byte> predicted;  // for the next one to use
};

void encode_block(const Prediction& prediction, std::span<const std::byte> actual, size_t index,
                  bool errors, EncodedBlock& block) {
  const BlockPlace place = place_of(prediction, index);
  const auto first_byte = static_cast<size_t>(place.first_byte());
  actual = actual.subspan(first_byte, place.bytes());
  std::span<const std::byte> predicted;
  if (is_copy(prediction) && !prediction.base->transposed && !errors) {
    predicted = prediction.base->bytes.subspan(first_byte, place.bytes());
  } else {
    block.predicted.resize(place.bytes());
    predicted = block.predicted;
    if (errors)
      block.errors = compare_block(prediction, place, actual, block.predicted.data());
    else
      Predictor(prediction).predict_elements(place.first, place.count, block.predicted.data());
  }
  block.code.clear();
  block.differing = encode_delta_block(predicted, actual, prediction.dtype,
                                       rows_of(prediction, place), best_lane_form(), block.code);
}

// Writes blocks in order; equal ones once it is known that another one follows.
class BlockWriter {
 public:
  explicit BlockWriter(const ByteSink& write) : write_(write) {}

  void add(const std::string& code) {
    if (code.empty()) {
      ++equal_;
      return;
    }
    std::string sizes(equal_, '\0');
    equal_ = 0;
    append_varint(sizes, code.size());
    put(sizes);
    put(code);
  }
  uint64_t bytes() const { return bytes_; }

 private:
  void put(const std::string& text) {
    write_(std::as_bytes(std::span(text)));
    bytes_ += text.size();
  }

  const ByteSink& write_;
  size_t equal_ = 0;
  uint64_t bytes_ = 0;
};

void finish_report(const ErrorSums& sums, ResidualReport& report) {
  const auto total = [](const std::array<double, kSums>& lanes) {
    return std::accumulate(lanes.begin(), lanes.end(), 0.0);
  };
  report.square_delta = total(sums.delta);
  report.square_error = total(sums.error);
  report.max_abs_error = std::isnan(report.square_error)
                             ? report.square_error
                             : *std::max_element(sums.largest.begin(), sums.largest.end());
}

// Makes a multiple of `elements`, rounded as a prediction is.
void multiply(int32_t dtype, double multiplier, std::span<std::byte> elements) {
  const std::vector<std::byte> before(elements.begin(), elements.end());
  const uint64_t count = elements.size() / float_format(dtype)->size;
  Prediction multiple{dtype, 1, count, MatrixView{before, dtype, 1, count}, multiplier, {}, {}};
  Predictor(multiple).predict_elements(0, count, elements.data());
}

// Calls make(index, slot) for blocks 0 to count - 1, as many at a time as there are threads, and
// then use(slot) for each of them in order.
template <typename Slot, typename Make, typename Use>
void for_each_block(size_t count, unsigned threads, const Make& make, const Use& use) {
  threads = thread_count(threads);
  std::vector<Slot> slots(std::min<size_t>(count, threads));
  for (size_t first = 0; first < count; first += slots.size()) {
    const size_t some = std::min(slots.size(), count - first);
    parallel_for(some, threads, [&](size_t i) { make(first + i, slots[i]); });
    for (size_t i = 0; i < some; ++i) use(slots[i]);
  }
}

}  // namespace

ResidualReport encode_residual(const Prediction& prediction, std::span<const std::byte> actual,
                               const ByteSink& write, const ResidualOptions& options) {
  const uint64_t size = check_prediction(prediction);
  if (actual.size() != size) {
    throw Error(ErrorCode::kInvalid, "residual: the tensor has " + std::to_string(actual.size()) +
                                         " bytes, its prediction " + std::to_string(size));
  }
  ResidualReport report;
  ErrorSums sums;
  BlockWriter blocks(write);
  for_each_block<EncodedBlock>(
      static_cast<size_t>((size + kResidualBlock - 1) / kResidualBlock), options.threads,
      [&](size_t index, EncodedBlock& block) {
        encode_block(prediction, actual, index, options.errors, block);
      },
      [&](const EncodedBlock& block) {
        blocks.add(block.code);
        report.differing_elements += block.differing;
        add_sums(block.errors, sums);
      });
  report.coded_bytes = blocks.bytes();
  finish_report(sums, report);
  return report;
}

ResidualReader::ResidualReader(const Prediction& prediction, std::span<const std::byte> residual,
                               LaneForm form, std::span<const ChainStep> then)
    : prediction_(prediction), form_(form), size_(check_prediction(prediction)) {
  steps_.push_back(step_of(1, residual));
  for (const ChainStep& step : then) steps_.push_back(step_of(step.multiplier, step.residual));
}

ResidualReader::Step ResidualReader::step_of(double multiplier,
                                             std::span<const std::byte> residual) const {
  Step step{multiplier, {}};
  while (!residual.empty()) {
    const uint64_t size = take_varint(residual);
    if (size > residual.size()) {
      throw Error(ErrorCode::kInvalid, "residual: a block has " + std::to_string(size) +
                                           " bytes, only " + std::to_string(residual.size()) +
                                           " are left");
    }
    if (step.codes.size() == block_count()) {
      throw Error(ErrorCode::kInvalid, "residual: has more than the " +
                                           std::to_string(block_count()) +
                                           " blocks that its tensor has");
    }
    step.codes.push_back(residual.first(static_cast<size_t>(size)));
    residual = residual.subspan(static_cast<size_t>(size));
  }
  return step;
}

size_t ResidualReader::block_bytes(size_t index) const {
  return place_of(prediction_, index).bytes();
}

void ResidualReader::read_block(size_t index, std::span<std::byte> out) const {
  const BlockPlace place = place_of(prediction_, index);
  Predictor(prediction_).predict_elements(place.first, place.count, out.data());
  for (const Step& step : steps_) {
    if (step.multiplier != 1) multiply(prediction_.dtype, step.multiplier, out);
    if (index < step.codes.size() && !step.codes[index].empty()) {
      decode_delta_block(step.codes[index], prediction_.dtype, rows_of(prediction_, place), out,
                         form_);
    }
  }
}

void decode_residual(const Prediction& prediction, int codec, std::span<const std::byte> residual,
                     const ByteSink& write, unsigned threads, std::span<const ChainStep> then) {
  if (codec == kFirstCodec) return decode_first_residual(prediction, residual, write);
  const ResidualReader reader(prediction, residual, best_lane_form(), then);
  for_each_block<std::vector<std::byte>>(
      reader.block_count(), threads,
      [&](size_t index, std::vector<std::byte>& block) {
        block.resize(reader.block_bytes(index));
        reader.read_block(index, block);
      },
      [&](const std::vector<std::byte>& block) { write(block); });
}

}  // namespace wshare

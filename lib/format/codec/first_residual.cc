// Residuals of the first format: block by block, how many floats away the actual element is from
// the predicted one.
//
// Finite floats of one type are evenly numbered by their bits, so the difference of these numbers
// is mostly 0 or +-1 where the prediction is only a rounding off. What the error of the prediction
// is in such steps depends on the step, which is known: it doubles with each exponent. So steps are
// coded under the exponent of the predicted element as class: near the largest exponent they are
// nearly all 0, four exponents below they are 16 times larger. Measured on merged weights of rank
// 16, without the classes a residual takes 2.5 % of float32 weights instead of 1.8 %, and 9.1 % of
// twice rounded float16 weights instead of 8.0 %.
//
// A step is one symbol of symbol_coder.h; larger ones are the number of their bits and the bit
// after the first, and have their other bits as they are in a second stream.
#include "format/codec/first_residual.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "format/codec/float_steps.h"
#include "format/codec/symbol_coder.h"
#include "format/matrix.h"
#include "util/load.h"
#include "wshare/error.h"

namespace wshare {
namespace {

constexpr size_t kBlock = size_t{1} << 20;
constexpr unsigned kDirectBits = 4;
constexpr uint64_t kDirect = 1 << kDirectBits;  // steps below this are a symbol of their own

[[noreturn]] void fail(const char* what) {
  throw Error(ErrorCode::kInvalid, std::string("residual: ") + what);
}

template <typename T>
T take(std::span<const std::byte>& bytes) {
  if (bytes.size() < sizeof(T)) fail("ends early");
  T number;
  std::memcpy(&number, bytes.data(), sizeof(T));
  bytes = bytes.subspan(sizeof(T));
  return number;
}

// The symbol of a step of `bits` >= 5 bits, whose second bit is `second`.
constexpr size_t symbol_of(unsigned bits, uint64_t second) {
  return kDirect + (bits - kDirectBits - 1) * 2 + static_cast<size_t>(second);
}
static_assert(symbol_of(64, 1) + 1 == kSymbols);

template <typename Bits>
std::vector<uint8_t> classes_of(std::span<const std::byte> values, const FloatSteps<Bits>& layout,
                                Bits top) {
  std::vector<uint8_t> classes(values.size() / sizeof(Bits));
  find_classes(values.data(), classes.size(), layout, top, classes.data());
  return classes;
}

class BitReader {
 public:
  explicit BitReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  uint64_t take(unsigned count) {
    uint64_t value = 0;
    for (unsigned done = 0; done < count;) {
      if (waiting_count_ == 0) {
        if (bytes_.empty()) fail("ends early");
        waiting_ = std::to_integer<uint64_t>(bytes_.front());
        waiting_count_ = 8;
        bytes_ = bytes_.subspan(1);
      }
      const unsigned some = std::min(count - done, waiting_count_);
      value |= (waiting_ & ((uint64_t{1} << some) - 1)) << done;
      waiting_ >>= some;
      waiting_count_ -= some;
      done += some;
    }
    return value;
  }
  bool at_end() const { return bytes_.empty() && waiting_ == 0; }

 private:
  std::span<const std::byte> bytes_;
  uint64_t waiting_ = 0;
  unsigned waiting_count_ = 0;
};

uint64_t put_together(uint8_t symbol, BitReader& low_bits) {
  if (symbol < kDirect) return symbol;
  const unsigned bits = (symbol - static_cast<unsigned>(kDirect)) / 2 + kDirectBits + 1;
  return (uint64_t{2} | (symbol & 1)) << (bits - 2) | low_bits.take(bits - 2);
}

// Turns the predicted `values` into the actual ones.
void decode_block(std::span<const std::byte> bytes, int32_t dtype, std::span<std::byte> values) {
  with_bits(dtype, [&]<typename Bits>(Bits) {
    const FloatSteps<Bits> layout(dtype);
    const size_t code_size = take<uint32_t>(bytes);
    const Bits top = take<uint16_t>(bytes);
    if (top >= layout.special) fail("its exponent is too large");
    if (code_size > bytes.size()) fail("ends early");
    const std::vector<uint8_t> classes = classes_of(values, layout, top);
    std::vector<uint8_t> symbols(classes.size());
    decode_symbols(bytes.first(code_size), classes, symbol_of(FloatSteps<Bits>::kBits, 1) + 1,
                   symbols);
    BitReader low_bits(bytes.subspan(code_size));
    for (size_t i = 0; i < symbols.size(); ++i) {
      if (symbols[i] == 0) continue;
      const Bits value =
          FloatSteps<Bits>::after_step(load<Bits>(values.data() + i * sizeof(Bits)),
                                       static_cast<Bits>(put_together(symbols[i], low_bits)));
      std::memcpy(values.data() + i * sizeof(Bits), &value, sizeof(Bits));
    }
    if (!low_bits.at_end()) fail("has bytes that are not used");
  });
}

// Joins stretches to blocks of the size that residuals are coded in.
class BlockBuffer {
 public:
  // Passes whole blocks on to use(first byte, bytes).
  template <typename Use>
  void append(std::span<const std::byte> bytes, const Use& use) {
    while (!bytes.empty()) {
      const size_t some = std::min(bytes.size(), kBlock - block_.size());
      block_.insert(block_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(some));
      bytes = bytes.subspan(some);
      if (block_.size() == kBlock) finish(use);
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

void decode_first_residual(const Prediction& prediction, std::span<const std::byte> residual,
                           const ByteSink& write) {
  Predictor predictor(prediction);
  const size_t size = float_format(prediction.dtype)->size;
  Stretches stretches(prediction.rows, prediction.cols, size);
  std::vector<std::byte> predicted(stretches.size_bytes());
  BlockBuffer blocks;
  const auto correct = [&](uint64_t, std::span<std::byte> block) {
    const std::span<const std::byte> code = take_block(residual);
    if (!code.empty()) decode_block(code, prediction.dtype, block);
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

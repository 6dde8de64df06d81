#include <algorithm>
#include <cstring>
#include <string>

#include "format/codec/quantised.h"
#include "format/codec/symbol_coder.h"
#include "util/load.h"
#include "wshare/error.h"

// The elements of a tensor in blocks, each as steps from what is predicted: nearly all are 0, and
// those that are not were nearly rounded the other way.

namespace wshare {
namespace {

using Bytes = std::span<const std::byte>;

constexpr size_t kBlock = size_t{1} << 18;  // elements
constexpr uint32_t kDirect = 128;           // smaller steps are a symbol of their own
constexpr size_t kMostBytes = 4;            // of a step
constexpr size_t kLimit = kDirect + kMostBytes;
static_assert(kLimit <= kSymbols);

[[noreturn]] void fail(const std::string& what) {
  throw Error(ErrorCode::kInvalid, "residual of integers: " + what);
}

// Differences modulo 2^32, those near 0 on both sides as small numbers.
uint32_t step_of(int32_t from, int32_t to) {
  const uint32_t difference = static_cast<uint32_t>(to) - static_cast<uint32_t>(from);
  return difference << 1 ^ ((difference >> 31) != 0 ? ~uint32_t{0} : 0);
}
int32_t after_step(int32_t from, uint32_t step) {
  const uint32_t difference = step >> 1 ^ ((step & 1) != 0 ? ~uint32_t{0} : 0);
  return static_cast<int32_t>(static_cast<uint32_t>(from) + difference);
}

// Bytes of a step that is no symbol.
size_t bytes_of_step(uint32_t step) {
  size_t bytes = 1;
  while (bytes < kMostBytes && step >> (8 * bytes) != 0) ++bytes;
  return bytes;
}

template <typename T>
void narrow(std::span<const int32_t> values, std::byte* out) {
  for (size_t i = 0; i < values.size(); ++i) {
    const auto value = static_cast<T>(values[i]);
    std::memcpy(out + i * sizeof(T), &value, sizeof(T));
  }
}

// Writes the integers to `out`; the bits after the last one are 0.
void write_integers(std::span<const int32_t> values, int bits, std::byte* out) {
  if (bits == 8) return narrow<uint8_t>(values, out);
  if (bits == 16) return narrow<uint16_t>(values, out);
  if (bits == 32) return narrow<uint32_t>(values, out);
  const auto per_byte = static_cast<size_t>(8 / bits);
  const uint32_t mask = (uint32_t{1} << bits) - 1;
  for (size_t at = 0; at < values.size(); at += per_byte) {
    uint32_t byte = 0;
    for (size_t i = 0; i < per_byte && at + i < values.size(); ++i) {
      byte |= (static_cast<uint32_t>(values[at + i]) & mask) << (i * static_cast<size_t>(bits));
    }
    out[at / per_byte] = static_cast<std::byte>(byte);
  }
}

size_t bytes_of_integers(size_t count, int bits) {
  return (count * static_cast<size_t>(bits) + 7) / 8;
}

struct Buffers {
  std::vector<int32_t> predicted = std::vector<int32_t>(kBlock);
  std::vector<uint8_t> classes = std::vector<uint8_t>(kBlock);
};

// Calls use(first element, elements) for one block after the other.
template <typename Use>
void for_each_block(const QuantisedLayout& layout, const Use& use) {
  const uint64_t count = layout.rows * layout.cols;
  for (uint64_t first = 0; first < count; first += kBlock)
    use(first, static_cast<size_t>(std::min<uint64_t>(kBlock, count - first)));
}

// Appends the steps of a block, not all of which are 0.
void encode_steps(std::span<const uint8_t> classes, std::span<const int32_t> predicted,
                  std::span<const int32_t> actual, std::string& out) {
  std::vector<uint8_t> symbols(classes.size());
  std::string large, coded;
  for (size_t i = 0; i < symbols.size(); ++i) {
    const uint32_t step = step_of(predicted[i], actual[i]);
    if (step < kDirect) {
      symbols[i] = static_cast<uint8_t>(step);
      continue;
    }
    const size_t bytes = bytes_of_step(step);
    symbols[i] = static_cast<uint8_t>(kDirect + bytes - 1);
    large.append(reinterpret_cast<const char*>(&step), bytes);
  }
  encode_symbols(classes, symbols, coded);
  const auto size = static_cast<uint32_t>(coded.size());
  out.append(reinterpret_cast<const char*>(&size), sizeof(size));
  out += coded + large;
}

void decode_steps(Bytes code, std::span<const uint8_t> classes, std::span<int32_t> values) {
  if (code.size() < sizeof(uint32_t)) fail("ends early");
  const auto size = load<uint32_t>(code.data());
  code = code.subspan(sizeof(size));
  if (size > code.size()) fail("its symbols end early");
  std::vector<uint8_t> symbols(values.size());
  decode_symbols(code.first(size), classes, kLimit, symbols);
  Bytes large = code.subspan(size);
  for (size_t i = 0; i < values.size(); ++i) {
    uint32_t step = symbols[i];
    if (step >= kDirect) {
      const size_t bytes = step - kDirect + 1;
      if (bytes > large.size()) fail("its large steps end early");
      step = 0;
      std::memcpy(&step, large.data(), bytes);
      large = large.subspan(bytes);
    }
    values[i] = after_step(values[i], step);
  }
  if (!large.empty()) fail("has " + std::to_string(large.size()) + " bytes too many in a block");
}

void write_sized(const std::string& code, const ByteSink& write, QuantisedReport& report) {
  const auto size = static_cast<uint32_t>(code.size());
  write(std::as_bytes(std::span(&size, 1)));
  if (!code.empty()) write(std::as_bytes(std::span(code)));
  report.coded_bytes += sizeof(size) + code.size();
}

// Takes the code of the next block off `residual`; empty if the block is as predicted.
Bytes take_block(Bytes& residual) {
  if (residual.empty()) return {};
  if (residual.size() < sizeof(uint32_t)) fail("ends early");
  const auto size = load<uint32_t>(residual.data());
  residual = residual.subspan(sizeof(size));
  if (size > residual.size()) {
    fail("a block has " + std::to_string(size) + " bytes, only " + std::to_string(residual.size()) +
         " are left");
  }
  const Bytes block = residual.first(size);
  residual = residual.subspan(size);
  return block;
}

}  // namespace

QuantisedReport encode_quantised(const QuantisedPrediction& prediction, Bytes actual,
                                 const ByteSink& write) {
  QuantisedReader reader(prediction);
  const QuantisedLayout& layout = prediction.layout;
  if (actual.size() != layout.bytes) {
    fail("the tensor has " + std::to_string(actual.size()) + " bytes, its prediction " +
         std::to_string(layout.bytes));
  }
  const auto filled =
      static_cast<unsigned>(layout.rows * layout.cols % 8) * static_cast<unsigned>(layout.bits) % 8;
  if (filled != 0 && static_cast<unsigned>(actual.back()) >> filled != 0)
    fail("bits after its last element are set");
  Buffers buffers;
  std::vector<int32_t> values(kBlock);
  QuantisedReport report;
  uint64_t equal_blocks = 0;
  for_each_block(layout, [&](uint64_t first, size_t count) {
    reader.predict(first, count, buffers.predicted.data(), buffers.classes.data());
    read_integers(actual, layout.bits, layout.is_signed, first, count, values.data());
    uint64_t wrong = 0;
    for (size_t i = 0; i < count; ++i) wrong += values[i] != buffers.predicted[i] ? 1 : 0;
    report.wrong += wrong;
    if (wrong == 0) {
      ++equal_blocks;
      return;
    }
    // Equal blocks are written once it is known that another one follows.
    for (; equal_blocks > 0; --equal_blocks) write_sized("", write, report);
    std::string code;
    encode_steps({buffers.classes.data(), count}, {buffers.predicted.data(), count},
                 {values.data(), count}, code);
    write_sized(code, write, report);
  });
  return report;
}

void decode_quantised(const QuantisedPrediction& prediction, Bytes residual,
                      const ByteSink& write) {
  QuantisedReader reader(prediction);
  const QuantisedLayout& layout = prediction.layout;
  Buffers buffers;
  std::vector<std::byte> bytes;
  for_each_block(layout, [&](uint64_t first, size_t count) {
    reader.predict(first, count, buffers.predicted.data(), buffers.classes.data());
    const Bytes code = take_block(residual);
    if (!code.empty()) {
      decode_steps(code, {buffers.classes.data(), count}, {buffers.predicted.data(), count});
    }
    bytes.resize(bytes_of_integers(count, layout.bits));
    write_integers({buffers.predicted.data(), count}, layout.bits, bytes.data());
    write(bytes);
  });
  if (!residual.empty())
    fail("has " + std::to_string(residual.size()) + " bytes more than its tensor needs");
}

}  // namespace wshare

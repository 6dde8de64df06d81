// Loops over floats by their bits, compiled for each width of vectors (and with -O3: -O2 makes no
// vector instructions of a reduction or of a count that is not known).
#include "format/codec/float_steps.h"

#include <algorithm>

#include "format/codec/vector_clones.h"
#include "util/load.h"

namespace wshare {
namespace {

// The largest finite value has the largest exponent. In lanes: one maximum for all would not become
// vector instructions.
template <typename Bits>
[[gnu::always_inline]] inline Bits top_exponent_of(const std::byte* values, size_t count,
                                                   const FloatSteps<Bits>& layout) {
  constexpr size_t kChunk = 64;
  constexpr auto kUnsigned = static_cast<Bits>(~FloatSteps<Bits>::kSign);
  const auto infinite = static_cast<Bits>(layout.special << layout.significand_bits);
  Bits tops[kChunk] = {};
  size_t first = 0;
  for (; first + kChunk <= count; first += kChunk) {
    for (size_t i = 0; i < kChunk; ++i) {
      const auto size =
          static_cast<Bits>(load<Bits>(values + (first + i) * sizeof(Bits)) & kUnsigned);
      const Bits finite = size < infinite ? size : Bits{0};
      tops[i] = finite > tops[i] ? finite : tops[i];
    }
  }
  Bits top = 0;
  for (; first < count; ++first) {
    const auto size = static_cast<Bits>(load<Bits>(values + first * sizeof(Bits)) & kUnsigned);
    if (size < infinite) top = std::max(top, size);
  }
  for (const Bits each : tops) top = std::max(top, each);
  return static_cast<Bits>(top >> layout.significand_bits);
}

template <typename Bits>
[[gnu::always_inline]] inline void find_classes_of(const std::byte* __restrict values, size_t count,
                                                   const FloatSteps<Bits>& layout, Bits top,
                                                   uint8_t* __restrict classes) {
  const FloatSteps<Bits> known = layout;
  for (size_t i = 0; i < count; ++i)
    classes[i] = known.class_of(load<Bits>(values + i * sizeof(Bits)), top);
}

}  // namespace

WSHARE_VECTOR_CLONES uint16_t top_exponent(const std::byte* values, size_t count,
                                           const FloatSteps<uint16_t>& layout) {
  return top_exponent_of(values, count, layout);
}
WSHARE_VECTOR_CLONES void find_classes(const std::byte* values, size_t count,
                                       const FloatSteps<uint16_t>& layout, uint16_t top,
                                       uint8_t* classes) {
  find_classes_of(values, count, layout, top, classes);
}

WSHARE_VECTOR_CLONES uint32_t top_exponent(const std::byte* values, size_t count,
                                           const FloatSteps<uint32_t>& layout) {
  return top_exponent_of(values, count, layout);
}
WSHARE_VECTOR_CLONES void find_classes(const std::byte* values, size_t count,
                                       const FloatSteps<uint32_t>& layout, uint32_t top,
                                       uint8_t* classes) {
  find_classes_of(values, count, layout, top, classes);
}

uint64_t top_exponent(const std::byte* values, size_t count, const FloatSteps<uint64_t>& layout) {
  return top_exponent_of(values, count, layout);
}
void find_classes(const std::byte* values, size_t count, const FloatSteps<uint64_t>& layout,
                  uint64_t top, uint8_t* classes) {
  find_classes_of(values, count, layout, top, classes);
}

}  // namespace wshare

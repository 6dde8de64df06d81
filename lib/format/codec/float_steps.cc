// Loops over floats by their bits, compiled for each width of vectors (and with -O3: -O2 makes no
// vector instructions of a reduction or of a count that is not known).
#include "format/codec/float_steps.h"

#include "format/codec/vector_clones.h"
#include "util/load.h"

namespace wshare {
namespace {

template <typename Bits>
[[gnu::always_inline]] inline Bits top_exponent_of(const std::byte* values, size_t count,
                                                   const FloatSteps<Bits>& layout) {
  const FloatSteps<Bits> known = layout;
  Bits top = 0;
  for (size_t i = 0; i < count; ++i) {
    const Bits field = known.exponent(load<Bits>(values + i * sizeof(Bits)));
    const Bits finite = field < known.special ? field : Bits{0};
    top = finite > top ? finite : top;
  }
  return top;
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

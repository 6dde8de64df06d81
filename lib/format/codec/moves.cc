// Loops over floats by their bits, compiled for each width of vectors (and with -O3, as
// float_steps.cc).
#include "format/codec/moves.h"

#include <bit>

#include "format/codec/vector_clones.h"
#include "util/load.h"

namespace wshare {
namespace {

// Of `size` > 0 below 2^32: the number of its highest bit. Without a count of zeros, which few
// vectors have: a float's exponent is that number, and cannot be rounded up where the second bit
// is 0. (2^31 becomes a negative number, which does not change the exponent.)
[[gnu::always_inline]] inline uint32_t octave_of(uint32_t size) {
  const auto number = static_cast<float>(static_cast<int32_t>(size & ~(size >> 1)));
  return (std::bit_cast<uint32_t>(number) >> 23 & 0xff) - 127;
}
[[gnu::always_inline]] inline uint64_t octave_of(uint64_t size) {
  return static_cast<uint64_t>(std::bit_width(size)) - 1;
}

template <typename Bits, typename Wide>
[[gnu::always_inline]] inline void find_moves_of(const std::byte* __restrict from,
                                                 const std::byte* __restrict to, size_t count,
                                                 const FloatSteps<Bits>& layout, Bits top,
                                                 uint8_t* __restrict classes,
                                                 uint8_t* __restrict symbols,
                                                 Bits* __restrict raw) {
  const FloatSteps<Bits> known = layout;
  for (size_t i = 0; i < count; ++i) {
    const Bits before = load<Bits>(from + i * sizeof(Bits));
    const Bits after = load<Bits>(to + i * sizeof(Bits));
    classes[i] = known.class_of(before, top);
    const auto move = static_cast<Bits>(known.rank(after) - known.rank(before));
    const Bits sign = (move & known.kSign) != 0 ? Bits{1} : Bits{0};
    const Wide size = sign != 0 ? static_cast<Bits>(-move) : move;
    const Wide octave = octave_of(size | 1);
    const Wide below = octave > 2 ? octave - 2 : 0;
    const Wide two = octave > 2 ? size >> below & 3 : size << (2 - octave) & 3;
    symbols[i] = static_cast<uint8_t>(size == 0 ? 0 : octave * 4 + two + 1);
    raw[i] = static_cast<Bits>((size & ((Wide{1} << below) - 1)) << 1 | sign);
  }
}

}  // namespace

WSHARE_VECTOR_CLONES void find_moves(const std::byte* from, const std::byte* to, size_t count,
                                     const FloatSteps<uint16_t>& layout, uint16_t top,
                                     uint8_t* classes, uint8_t* symbols, uint16_t* raw) {
  find_moves_of<uint16_t, uint32_t>(from, to, count, layout, top, classes, symbols, raw);
}
WSHARE_VECTOR_CLONES void find_moves(const std::byte* from, const std::byte* to, size_t count,
                                     const FloatSteps<uint32_t>& layout, uint32_t top,
                                     uint8_t* classes, uint8_t* symbols, uint32_t* raw) {
  find_moves_of<uint32_t, uint32_t>(from, to, count, layout, top, classes, symbols, raw);
}
void find_moves(const std::byte* from, const std::byte* to, size_t count,
                const FloatSteps<uint64_t>& layout, uint64_t top, uint8_t* classes,
                uint8_t* symbols, uint64_t* raw) {
  find_moves_of<uint64_t, uint64_t>(from, to, count, layout, top, classes, symbols, raw);
}

}  // namespace wshare

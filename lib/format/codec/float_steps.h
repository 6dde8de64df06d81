#pragma once

#include <cstddef>
#include <cstdint>

#include "format/codec/symbol_coder.h"
#include "format/matrix.h"

namespace wshare {

// Floats by their bits: how many floats one is away from another, which is what residuals code, and
// their exponents.

// The bits of a float type of that size, and their order.
template <typename Bits>
struct FloatSteps {
  static constexpr unsigned kBits = sizeof(Bits) * 8;
  static constexpr Bits kSign = static_cast<Bits>(Bits{1} << (kBits - 1));

  explicit FloatSteps(int32_t dtype)
      : significand_bits(float_format(dtype)->significand_bits),
        special(static_cast<Bits>((kSign - 1) >> significand_bits)) {}

  // The number of a float in the order of floats: -infinity, ..., -0, +0, ..., +infinity.
  static Bits rank(Bits bits) {
    return static_cast<Bits>((bits & kSign) != 0 ? ~bits : bits | kSign);
  }
  static Bits at_rank(Bits rank) {
    return static_cast<Bits>((rank & kSign) != 0 ? rank ^ kSign : ~rank);
  }
  // A step is a difference modulo the size of the type, those near 0 on both sides small numbers.
  static Bits after_step(Bits from, Bits step) {
    const auto difference = static_cast<Bits>((step >> 1) ^ ((step & 1) != 0 ? ~Bits{0} : Bits{0}));
    return at_rank(static_cast<Bits>(rank(from) + difference));
  }
  Bits exponent(Bits bits) const {
    return static_cast<Bits>((bits & static_cast<Bits>(kSign - 1)) >> significand_bits);
  }
  // Infinite and NaN if above `top`: then in class 0.
  uint8_t class_of(Bits bits, Bits top) const {
    const Bits field = exponent(bits);
    const Bits below = field < top ? static_cast<Bits>(top - field) : Bits{0};
    return static_cast<uint8_t>(below < kSymbolClasses ? below : kSymbolClasses - 1);
  }

  int significand_bits;
  Bits special;  // the exponent of infinity and NaN
};

// Calls `use` with the unsigned type of the size of `dtype`.
template <typename Use>
auto with_bits(int32_t dtype, const Use& use) {
  switch (float_format(dtype)->size) {
    case 2:
      return use(uint16_t{});
    case 4:
      return use(uint32_t{});
    default:
      return use(uint64_t{});
  }
}

// Calls for float16 and bfloat16, float32, float64. `values` may lie at any address.

// Returns the largest exponent of the `count` values that are finite, or 0.
uint16_t top_exponent(const std::byte* values, size_t count, const FloatSteps<uint16_t>& layout);
uint32_t top_exponent(const std::byte* values, size_t count, const FloatSteps<uint32_t>& layout);
uint64_t top_exponent(const std::byte* values, size_t count, const FloatSteps<uint64_t>& layout);

// Writes layout.class_of() of the `count` values to `classes`.
void find_classes(const std::byte* values, size_t count, const FloatSteps<uint16_t>& layout,
                  uint16_t top, uint8_t* classes);
void find_classes(const std::byte* values, size_t count, const FloatSteps<uint32_t>& layout,
                  uint32_t top, uint8_t* classes);
void find_classes(const std::byte* values, size_t count, const FloatSteps<uint64_t>& layout,
                  uint64_t top, uint8_t* classes);

}  // namespace wshare

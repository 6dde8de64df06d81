#pragma once

#include <bit>
#include <cstdint>

// How tensors store floats: an element of each type as its bytes, and what it is worth. No value()
// has branches, so that loops over elements become vector instructions.

namespace wshare {

struct Half {
  uint16_t bits;
  // Signs are random, and a wrong guess costs more than all else here. The exponent is moved by
  // adding; subnormals get an implied one that is subtracted again.
  // Source: F. Giesen 2012, "Half to float done quickly" (public domain).
  [[gnu::always_inline]] double value() const {
    constexpr uint32_t kExponent = uint32_t{0x7c00} << 13;
    const uint32_t shifted = static_cast<uint32_t>(bits & 0x7fff) << 13;
    const uint32_t exponent = shifted & kExponent;
    const uint32_t moved = shifted + (uint32_t{127 - 15} << 23);
    const uint32_t special = moved + (uint32_t{128 - 16} << 23);
    const float subnormal = std::bit_cast<float>(moved + (uint32_t{1} << 23)) -
                            std::bit_cast<float>(uint32_t{113} << 23);
    uint32_t result = exponent == kExponent ? special : moved;
    result = exponent == 0 ? std::bit_cast<uint32_t>(subnormal) : result;
    result |= static_cast<uint32_t>(bits & 0x8000) << 16;
    return static_cast<double>(std::bit_cast<float>(result));
  }
};

struct Brain {
  uint16_t bits;
  [[gnu::always_inline]] double value() const {
    return static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(bits) << 16));
  }
};

struct Single {
  float number;
  [[gnu::always_inline]] double value() const { return static_cast<double>(number); }
};

struct Double {
  double number;
  [[gnu::always_inline]] double value() const { return number; }
};

}  // namespace wshare

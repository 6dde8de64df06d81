#pragma once

#include <cstdint>
#include <optional>

namespace wshare {

// How integers were made of floats, as quantisers do it: for each element
//
//   v = base / scale, or base * (1 / scale); where zero_before: v + zero
//   round(v), + zero unless that was done, kept within low and high
//
// in float32 (or float64), each step rounded on its own. The bits are the same on every machine.
// Source: docs/bundle-format.md, "Quantised tensors".
struct Quantisation {
  // Dimension of the tensor along which scales change; none: one scale for all.
  std::optional<uint64_t> axis = std::nullopt;
  uint64_t block = 0;  // elements along the axis that have one scale; 0: one each
  // Elements of so many bits, 2, 4 or 8, fill the bytes of a uint8 tensor, a row of blocks for each
  // index of its first dimension; 0: elements are those of its type. Then `block` must be set,
  // and `axis` not.
  int packed_bits = 0;
  uint64_t columns = 0;  // packed: elements of a row that the base has; those after them are 0
  int64_t zero = 0;      // where no tensor has the zero points
  std::optional<int64_t> low = std::nullopt, high = std::nullopt;  // none: what the type holds
  bool by_reciprocal = false;
  bool zero_before = false;
  bool away = false;       // halves are rounded away from zero; false: to even
  bool in_double = false;  // the steps are float64's
  int32_t through = 0;     // a float type that the base is rounded to first; 0: none
  bool operator==(const Quantisation&) const = default;
};

}  // namespace wshare

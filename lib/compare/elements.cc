#include "compare/elements.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>

#include "format/codec/vector_clones.h"
#include "format/float_elements.h"
#include "util/load.h"

// All loops go over blocks of a fixed size that are copied first: then the compiler knows how long
// they are and that nothing overlaps, and makes vector instructions of them. This file is compiled
// with -O3, which for the survey of a matrix is twice as fast as -O2, and without contraction, so
// that all vectors give the same sums.

namespace wshare {
namespace {

constexpr size_t kBlock = 32;
constexpr size_t kLanes = 8;

// Several sums side by side, since a sum of one element after the other waits for each.
class Lanes {
 public:
  void add(const double (&values)[kBlock]) {
    for (size_t i = 0; i < kBlock; i += kLanes) {
      for (size_t lane = 0; lane < kLanes; ++lane) sums_[lane] += values[i + lane];
    }
  }
  double total() const { return std::accumulate(sums_, sums_ + kLanes, 0.0); }

 private:
  double sums_[kLanes] = {};
};

// Calls block(i) for each kBlock elements that begin at i, and one(i) for each that is left.
template <typename Block, typename One>
[[gnu::always_inline]] inline void in_blocks(size_t count, const Block& block, const One& one) {
  size_t i = 0;
  for (; i + kBlock <= count; i += kBlock) block(i);
  for (; i < count; ++i) one(i);
}

template <typename T>
[[gnu::always_inline]] inline void subtract(const std::byte* a, const std::byte* b, size_t count,
                                            double* out) {
  in_blocks(
      count,
      [&](size_t at) {
        T of_a[kBlock], of_b[kBlock];
        std::memcpy(of_a, a + at * sizeof(T), sizeof(of_a));
        std::memcpy(of_b, b + at * sizeof(T), sizeof(of_b));
        for (size_t k = 0; k < kBlock; ++k) out[at + k] = of_b[k].value() - of_a[k].value();
      },
      [&](size_t at) {
        out[at] = load<T>(b + at * sizeof(T)).value() - load<T>(a + at * sizeof(T)).value();
      });
}

WSHARE_VECTOR_CLONES void subtract_singles(const std::byte* a, const std::byte* b, size_t count,
                                           double* out) {
  subtract<Single>(a, b, count, out);
}
WSHARE_VECTOR_CLONES void subtract_halfs(const std::byte* a, const std::byte* b, size_t count,
                                         double* out) {
  subtract<Half>(a, b, count, out);
}

}  // namespace

void subtract_elements(const MatrixView& a, const MatrixView& b, uint64_t at, uint64_t count,
                       double* out) {
  const size_t size_a = float_format(a.dtype)->size, size_b = float_format(b.dtype)->size;
  const std::span<const std::byte> of_a = a.bytes.subspan(at * size_a, count * size_a);
  const std::span<const std::byte> of_b = b.bytes.subspan(at * size_b, count * size_b);
  const int32_t dtype = a.dtype == b.dtype ? a.dtype : 0;
  if (dtype == kFloat32) return subtract_singles(of_a.data(), of_b.data(), count, out);
  if (dtype == kFloat16) return subtract_halfs(of_a.data(), of_b.data(), count, out);
  if (dtype == kBfloat16) return subtract<Brain>(of_a.data(), of_b.data(), count, out);
  constexpr uint64_t kPiece = 1024;
  double piece[kPiece];
  for (uint64_t done = 0; done < count; done += kPiece) {
    const uint64_t rest = std::min(kPiece, count - done);
    read_values(of_a.subspan(done * size_a, rest * size_a), a.dtype, piece);
    read_values(of_b.subspan(done * size_b, rest * size_b), b.dtype, out + done);
    for (uint64_t i = 0; i < rest; ++i) out[done + i] -= piece[i];
  }
}

WSHARE_VECTOR_CLONES void add_to(Rest& rest, const double* values, size_t count) {
  Lanes squares;
  double largest[kLanes] = {}, others = 0, largest_other = 0;
  in_blocks(
      count,
      [&](size_t at) {
        double block[kBlock], square[kBlock];
        std::memcpy(block, values + at, sizeof(block));
        for (size_t k = 0; k < kBlock; ++k) square[k] = block[k] * block[k];
        squares.add(square);
        for (size_t k = 0; k < kBlock; k += kLanes) {
          for (size_t lane = 0; lane < kLanes; ++lane) {
            const double size = std::abs(block[k + lane]);
            largest[lane] = size > largest[lane] ? size : largest[lane];
          }
        }
      },
      [&](size_t at) {
        others += values[at] * values[at];
        largest_other = std::max(largest_other, std::abs(values[at]));
      });
  rest.square += squares.total() + others;
  rest.max_abs =
      std::max({rest.max_abs, largest_other, *std::max_element(largest, largest + kLanes)});
}

WSHARE_VECTOR_CLONES double square_of(const double* values, size_t count) {
  Lanes squares;
  double others = 0;
  in_blocks(
      count,
      [&](size_t at) {
        double square[kBlock];
        for (size_t k = 0; k < kBlock; ++k) square[k] = values[at + k] * values[at + k];
        squares.add(square);
      },
      [&](size_t at) { others += values[at] * values[at]; });
  return squares.total() + others;
}

WSHARE_VECTOR_CLONES RowNoise add_noise(const double* base, const double* delta, size_t count,
                                        const NoiseAt& at_a, const NoiseAt& at_b, double* in_cols) {
  const NoiseAt of_a = at_a, of_b = at_b;  // no write below can change these
  Lanes sum_a, sum_b;
  RowNoise others;
  in_blocks(
      count,
      [&](size_t at) {
        double noise_a[kBlock], noise_b[kBlock], cols[kBlock];
        for (size_t k = 0; k < kBlock; ++k) noise_a[k] = of_a.square_at(base[at + k]);
        for (size_t k = 0; k < kBlock; ++k) {
          noise_b[k] = of_b.square_at(base[at + k] + delta[at + k]);
        }
        std::memcpy(cols, in_cols + at, sizeof(cols));
        for (size_t k = 0; k < kBlock; ++k) cols[k] += noise_a[k] + noise_b[k];
        std::memcpy(in_cols + at, cols, sizeof(cols));
        sum_a.add(noise_a);
        sum_b.add(noise_b);
      },
      [&](size_t at) {
        const double noise_a = of_a.square_at(base[at]);
        const double noise_b = of_b.square_at(base[at] + delta[at]);
        in_cols[at] += noise_a + noise_b;
        others.of_a += noise_a;
        others.of_b += noise_b;
      });
  return {sum_a.total() + others.of_a, sum_b.total() + others.of_b};
}

}  // namespace wshare

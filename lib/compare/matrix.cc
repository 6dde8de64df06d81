#include "compare/matrix.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "format/dtype.h"

namespace wshare {
namespace {

constexpr int32_t kFloat32 = 1;
constexpr int32_t kFloat16 = 10;
constexpr int32_t kFloat64 = 11;
constexpr int32_t kBfloat16 = 16;

struct Half {
  uint16_t bits;
  // Without branches, since signs are random and a wrong guess costs more than all else here. The
  // exponent is moved by adding; subnormals get an implied one that is subtracted again.
  // Source: F. Giesen 2012, "Half to float done quickly" (public domain).
  double value() const {
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
  double value() const {
    return static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(bits) << 16));
  }
};
struct Single {
  float number;
  double value() const { return static_cast<double>(number); }
};
struct Double {
  double number;
  double value() const { return number; }
};

// Calls `use` with an element of the type that stores `dtype`.
template <typename Use>
auto with_type(int32_t dtype, const Use& use) {
  switch (dtype) {
    case kFloat16:
      return use(Half{});
    case kBfloat16:
      return use(Brain{});
    case kFloat64:
      return use(Double{});
    default:
      return use(Single{});
  }
}

// Payloads lie in files at any address.
template <typename T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

constexpr size_t kBlock = 32;

// Writes `count` stored elements to `out`. Blocks of a fixed size become vector instructions.
template <typename T>
void convert(const std::byte* from, uint64_t count, double* out) {
  T block[kBlock];
  uint64_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    std::memcpy(block, from + i * sizeof(T), sizeof(block));
    for (size_t k = 0; k < kBlock; ++k) out[i + k] = block[k].value();
  }
  for (; i < count; ++i) out[i] = load<T>(from + i * sizeof(T)).value();
}

int significand_bits(int32_t dtype) {
  switch (dtype) {
    case kFloat16:
      return 10;
    case kBfloat16:
      return 7;
    case kFloat64:
      return 52;
    default:
      return 23;
  }
}

int smallest_exponent(int32_t dtype) {
  return dtype == kFloat16 ? -14 : dtype == kFloat64 ? -1022 : -126;
}

double largest(int32_t dtype) {
  if (dtype == kFloat16) return 65504;
  if (dtype == kBfloat16) return 0x1.fep127;
  return static_cast<double>(std::numeric_limits<float>::max());
}

// The distance between neighbours at `value`.
double spacing_at(double value, int bits, int32_t dtype) {
  const int exponent =
      value == 0 ? smallest_exponent(dtype) : std::max(std::ilogb(value), smallest_exponent(dtype));
  return std::ldexp(1.0, exponent - bits);
}

// Rounds to nearest, ties to even, as every cast does.
double round_to(double value, int32_t dtype) {
  if (dtype == kFloat64 || value == 0 || !std::isfinite(value)) return value;
  const double step = spacing_at(value, significand_bits(dtype), dtype);
  const double rounded = std::nearbyint(value / step) * step;
  return std::abs(rounded) > largest(dtype) ? std::copysign(INFINITY, value) : rounded;
}

}  // namespace

bool holds_floats(const TensorRef& tensor) {
  if (tensor.dtype != kFloat32 && tensor.dtype != kFloat16 && tensor.dtype != kBfloat16 &&
      tensor.dtype != kFloat64) {
    return false;
  }
  return byte_size(*find_dtype(tensor.dtype), tensor.shape) == tensor.bytes.size();
}

std::optional<MatrixView> matrix_of(const TensorRef& tensor) {
  if (!holds_floats(tensor) || tensor.shape.size() < 2 || tensor.bytes.empty()) {
    return std::nullopt;
  }
  const std::optional<Dtype> dtype = find_dtype(tensor.dtype);
  const auto rows = static_cast<uint64_t>(tensor.shape[0]);
  const uint64_t elements = tensor.bytes.size() / (static_cast<uint64_t>(dtype->bits) / 8);
  return MatrixView{tensor.bytes, tensor.dtype, rows, elements / rows, false};
}

MatrixView transpose_of(MatrixView view) {
  std::swap(view.rows, view.cols);
  view.transposed = !view.transposed;
  return view;
}

void read_rows(const MatrixView& view, uint64_t first, uint64_t count, double* out) {
  with_type(view.dtype, [&]<typename T>(T) {
    const std::byte* data = view.bytes.data();
    if (!view.transposed) {
      convert<T>(data + first * view.cols * sizeof(T), count * view.cols, out);
      return;
    }
    // Blocks of stored rows, so that what is written together lies in the cache.
    double block[kBlock * kBlock];
    for (uint64_t col0 = 0; col0 < view.cols; col0 += kBlock) {
      const uint64_t cols = std::min<uint64_t>(kBlock, view.cols - col0);
      for (uint64_t row0 = 0; row0 < count; row0 += kBlock) {
        const uint64_t rows = std::min<uint64_t>(kBlock, count - row0);
        for (uint64_t col = 0; col < cols; ++col) {
          convert<T>(data + ((col0 + col) * view.rows + first + row0) * sizeof(T), rows,
                     block + col * kBlock);
        }
        for (uint64_t row = 0; row < rows; ++row) {
          double* to = out + (row0 + row) * view.cols + col0;
          for (uint64_t col = 0; col < cols; ++col) to[col] = block[col * kBlock + row];
        }
      }
    }
  });
}

double element_at(const TensorRef& tensor, uint64_t index) {
  return with_type(tensor.dtype, [&]<typename T>(T) {
    return load<T>(tensor.bytes.data() + index * sizeof(T)).value();
  });
}

int used_significand_bits(const MatrixView& view) {
  const int stored = significand_bits(view.dtype);
  if (view.dtype != kFloat32) return stored;
  uint32_t used = 0;
  for (size_t at = 0; at < view.bytes.size(); at += sizeof(uint32_t)) {
    const auto bits = load<uint32_t>(view.bytes.data() + at);
    used |= (bits & 0x7f800000) == 0x7f800000 ? 0 : bits & 0x7fffff;
  }
  return used == 0 ? 0 : stored - std::countr_zero(used);
}

RoundingNoise::RoundingNoise(int bits, int32_t dtype)
    : bits_(bits), smallest_exponent_(smallest_exponent(dtype)) {}

double RoundingNoise::square_at(double value) const {
  constexpr int64_t kBias = 1023;
  const int64_t field = static_cast<int64_t>(std::bit_cast<uint64_t>(value) >> 52 & 0x7ff);
  const int64_t exponent = std::max(field - kBias, smallest_exponent_) - bits_;
  if (exponent < -500) return 0;  // its square is no normal double
  return std::bit_cast<double>(static_cast<uint64_t>(2 * exponent + kBias) << 52) / 12;
}

bool equal_transposed(const TensorRef& a, const TensorRef& b) {
  if (a.dtype != b.dtype || a.shape.size() != 2 || b.shape.size() != 2 ||
      a.shape[0] != b.shape[1] || a.shape[1] != b.shape[0] || a.bytes.size() != b.bytes.size()) {
    return false;
  }
  const std::optional<Dtype> dtype = find_dtype(a.dtype);
  if (!dtype || dtype->bits < 8 || dtype->bits % 8 != 0) return false;
  if (byte_size(*dtype, a.shape) != a.bytes.size()) return false;
  const auto size = static_cast<size_t>(dtype->bits / 8);
  const auto rows = static_cast<size_t>(a.shape[0]);
  const auto cols = static_cast<size_t>(a.shape[1]);
  constexpr size_t kTile = 64;  // rows and columns that stay in the cache
  for (size_t row0 = 0; row0 < rows; row0 += kTile) {
    for (size_t col0 = 0; col0 < cols; col0 += kTile) {
      for (size_t row = row0; row < std::min(rows, row0 + kTile); ++row) {
        for (size_t col = col0; col < std::min(cols, col0 + kTile); ++col) {
          if (std::memcmp(a.bytes.data() + (row * cols + col) * size,
                          b.bytes.data() + (col * rows + row) * size, size) != 0) {
            return false;
          }
        }
      }
    }
  }
  return true;
}

CastResult compare_cast(const TensorRef& a, const TensorRef& b) {
  const bool a_wider = significand_bits(a.dtype) > significand_bits(b.dtype);
  const TensorRef& wide = a_wider ? a : b;
  const TensorRef& narrow = a_wider ? b : a;
  // float16 is narrower than bfloat16 in range and wider in precision: neither rounds to the other.
  const double smallest = spacing_at(0, significand_bits(narrow.dtype), narrow.dtype);
  bool clamped = false;
  const uint64_t count =
      wide.bytes.size() * 8 / static_cast<uint64_t>(find_dtype(wide.dtype)->bits);
  for (uint64_t i = 0; i < count; ++i) {
    const double from = element_at(wide, i);
    const double to = element_at(narrow, i);
    if (round_to(from, narrow.dtype) == to || (std::isnan(from) && std::isnan(to))) continue;
    const bool tiny = std::abs(from) < 2 * smallest && std::abs(to) <= 2 * smallest;
    const bool huge = std::abs(from) > 1e4 && std::abs(to) >= 1e4 && std::isfinite(to);
    if ((!tiny && !huge) || (from > 0) != (to > 0)) return CastResult::kDiffer;
    clamped = true;
  }
  return clamped ? CastResult::kClamped : CastResult::kEqual;
}

}  // namespace wshare

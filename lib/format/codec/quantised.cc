// Predicts integers from floats, with the same bits on every machine.
//
// Every step is one IEEE 754 operation, rounded to nearest even, and none is contracted: this file
// is compiled without. Rounding to whole numbers adds and subtracts 1.5 * 2^52, which is exact for
// all that is not clipped anyway, and needs no instruction that some machines lack.
#include "format/codec/quantised.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <string>

#include "format/codec/vector_clones.h"
#include "format/dtype.h"
#include "util/load.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

static_assert(FLT_EVAL_METHOD == 0, "intermediate results must be rounded to their type");

constexpr size_t kChunk = 256;
constexpr uint64_t kTileRows = 32;  // of a transposed base that are read together

[[noreturn]] void fail(const std::string& what) {
  throw Error(ErrorCode::kInvalid, "quantised: " + what);
}

struct IntegerType {
  int bits;
  bool is_signed;
};

std::optional<IntegerType> integer_type(int32_t dtype) {
  switch (dtype) {
    case 2:
      return IntegerType{8, false};
    case 3:
      return IntegerType{8, true};
    case 4:
      return IntegerType{16, false};
    case 5:
      return IntegerType{16, true};
    case 6:
      return IntegerType{32, true};
    case 21:
      return IntegerType{4, false};
    case 22:
      return IntegerType{4, true};
    case 25:
      return IntegerType{2, false};
    case 26:
      return IntegerType{2, true};
    default:
      return std::nullopt;
  }
}

uint64_t product(uint64_t a, uint64_t b) {
  uint64_t result = 0;
  if (__builtin_mul_overflow(a, b, &result) || result > INT64_MAX) fail("its shape is too large");
  return result;
}

uint64_t divided_up(uint64_t count, uint64_t by) { return count / by + (count % by != 0 ? 1 : 0); }

uint64_t elements_of(std::span<const int64_t> shape) {
  const std::optional<uint64_t> count = element_count(shape);
  if (!count) fail("its shape is too large");
  return *count;
}

void lay_out_packed(int32_t dtype, std::span<const int64_t> shape, const Quantisation& how,
                    QuantisedLayout& layout) {
  const int bits = how.packed_bits;
  if (bits != 2 && bits != 4 && bits != 8)
    fail("elements of " + std::to_string(bits) + " bits are never packed");
  if (dtype != 2 || shape.empty() || how.axis || how.block == 0)
    fail("packed elements need uint8, a dimension, a block and no axis");
  layout.bits = bits;
  layout.bytes = elements_of(shape);
  layout.rows = static_cast<uint64_t>(shape[0]);
  layout.cols =
      product(layout.rows == 0 ? 0 : layout.bytes / layout.rows, static_cast<uint64_t>(8 / bits));
  product(layout.rows, layout.cols);
  layout.base_cols = how.columns;
  if (layout.base_cols > layout.cols) fail("its base has more columns than it");
  layout.length = layout.cols;
  layout.block = how.block;
  layout.zeros_in_row = divided_up(layout.cols, how.block);
  layout.scales = product(layout.rows, layout.zeros_in_row);
}

void lay_out_plain(int32_t dtype, std::span<const int64_t> shape, const Quantisation& how,
                   QuantisedLayout& layout) {
  const std::optional<IntegerType> type = integer_type(dtype);
  if (!type) fail("the elements of " + dtype_name(dtype) + " are no integers of a known width");
  if (how.columns != 0) fail("only packed rows have columns that their base lacks");
  layout.bits = type->bits;
  layout.is_signed = type->is_signed;
  const std::optional<uint64_t> bytes = byte_size(*find_dtype(dtype), shape);
  if (!bytes) fail("its shape is too large");
  layout.bytes = *bytes;
  layout.rows = shape.empty() ? 1 : static_cast<uint64_t>(shape[0]);
  layout.cols = shape.empty() ? 1 : elements_of(shape.subspan(1));
  layout.base_cols = layout.cols;
  if (!how.axis) {
    if (how.block != 0) fail("a block needs an axis");
    layout.inner = std::max<uint64_t>(1, elements_of(shape));
    return;
  }
  if (*how.axis >= shape.size()) fail("it has no axis " + std::to_string(*how.axis));
  const auto axis = static_cast<size_t>(*how.axis);
  layout.length = static_cast<uint64_t>(shape[axis]);
  layout.inner = elements_of(shape.subspan(axis + 1));
  layout.block = how.block;
  layout.scales =
      how.block == 0
          ? layout.length
          : product(product(elements_of(shape.first(axis)), divided_up(layout.length, how.block)),
                    layout.inner);
}

void check_size(const char* what, uint64_t has, std::optional<uint64_t> needed) {
  if (needed == has) return;
  fail(std::string(what) + " has " + std::to_string(has) + " bytes, " +
       (needed ? std::to_string(*needed) : "another type is") + " needed");
}

// Of what arithmetic quotients are. The loops have no branches and become vector instructions.
template <typename Real>
[[gnu::always_inline]] inline void divide(const double* base, const double* scale, bool reciprocal,
                                          double* out) {
  if (reciprocal) {
    for (size_t i = 0; i < kChunk; ++i) {
      const auto s = static_cast<Real>(scale[i]);
      const Real inverse = Real{1} / s;
      out[i] = static_cast<double>(static_cast<Real>(base[i]) * (s == 0 ? Real{0} : inverse));
    }
    return;
  }
  for (size_t i = 0; i < kChunk; ++i) {
    out[i] = static_cast<double>(static_cast<Real>(base[i]) / static_cast<Real>(scale[i]));
  }
}

template <typename Real>
[[gnu::always_inline]] inline void add(const double* zero, double* values) {
  for (size_t i = 0; i < kChunk; ++i)
    values[i] = static_cast<double>(static_cast<Real>(values[i]) + static_cast<Real>(zero[i]));
}

struct Rule {
  bool by_reciprocal, zero_before, away, in_double;
  double low, high;
};

// `fractions` are the distances from what values are rounded to: 0 to 0.5.
WSHARE_VECTOR_CLONES void apply(const Rule& rule, const double* base, const double* scale,
                                const double* zero, double* values, double* fractions) {
  constexpr double kWhole = 6755399441055744;  // 1.5 * 2^52
  if (rule.in_double) {
    divide<double>(base, scale, rule.by_reciprocal, values);
    if (rule.zero_before) add<double>(zero, values);
  } else {
    divide<float>(base, scale, rule.by_reciprocal, values);
    if (rule.zero_before) add<float>(zero, values);
  }
  const double half = rule.away ? 0.5 : 2;  // no distance is 2
  for (size_t i = 0; i < kChunk; ++i) {
    const double even = (values[i] + kWhole) - kWhole;
    const double above = values[i] - even;
    const double up = above == half && values[i] > 0 ? 1 : 0;
    const double down = above == -half && values[i] < 0 ? 1 : 0;
    fractions[i] = above < 0 ? -above : above;
    values[i] = even + up - down;
  }
  if (!rule.zero_before) {
    for (size_t i = 0; i < kChunk; ++i) values[i] += zero[i];
  }
  for (size_t i = 0; i < kChunk; ++i) {  // not a number: low
    const double raised = values[i] >= rule.low ? values[i] : rule.low;
    values[i] = raised <= rule.high ? raised : rule.high;
  }
}

WSHARE_VECTOR_CLONES void finish(const double* values, const double* fractions, int32_t* out,
                                 int32_t* classes) {
  for (size_t i = 0; i < kChunk; ++i) out[i] = static_cast<int32_t>(values[i]);
  for (size_t i = 0; i < kChunk; ++i) {
    const double scaled = fractions[i] * 32;
    classes[i] = static_cast<int32_t>(scaled <= 15 ? scaled : scaled > 15 ? 15.0 : 0.0);
  }
}

template <typename T>
void widen(const std::byte* from, size_t count, int32_t* out) {
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<int32_t>(load<T>(from + i * sizeof(T)));
}

void read_narrow(std::span<const std::byte> bytes, int bits, bool is_signed, uint64_t first,
                 size_t count, int32_t* out) {
  const auto per_byte = static_cast<uint64_t>(8 / bits);
  const int32_t mask = (1 << bits) - 1, sign = is_signed ? 1 << (bits - 1) : 0;
  for (size_t i = 0; i < count; ++i) {
    const uint64_t at = first + i;
    const auto byte = static_cast<int32_t>(bytes[static_cast<size_t>(at / per_byte)]);
    const int32_t value = byte >> (static_cast<int>(at % per_byte) * bits) & mask;
    out[i] = (value ^ sign) - sign;
  }
}

void read_numbers(const NumberView& view, uint64_t first, size_t count, double* out) {
  if (const std::optional<FloatFormat> format = float_format(view.dtype)) {
    return read_values(
        view.bytes.subspan(static_cast<size_t>(first) * format->size, count * format->size),
        view.dtype, out);
  }
  const IntegerType type = *integer_type(view.dtype);
  int32_t values[kChunk];
  for (size_t done = 0; done < count; done += kChunk) {
    const size_t some = std::min(kChunk, count - done);
    read_integers(view.bytes, type.bits, type.is_signed, first + done, some, values);
    for (size_t i = 0; i < some; ++i) out[done + i] = values[i];
  }
}

int64_t smallest(const QuantisedLayout& layout) {
  return layout.is_signed ? -(int64_t{1} << (layout.bits - 1)) : 0;
}
int64_t largest(const QuantisedLayout& layout) {
  return (int64_t{1} << (layout.is_signed ? layout.bits - 1 : layout.bits)) - 1;
}

}  // namespace

QuantisedLayout layout_of(int32_t dtype, std::span<const int64_t> shape,
                          const Quantisation& quantisation) {
  QuantisedLayout layout;
  if (quantisation.packed_bits != 0) {
    lay_out_packed(dtype, shape, quantisation, layout);
  } else {
    lay_out_plain(dtype, shape, quantisation, layout);
  }
  if (quantisation.low.value_or(smallest(layout)) < smallest(layout) ||
      quantisation.high.value_or(largest(layout)) > largest(layout) ||
      quantisation.low.value_or(smallest(layout)) > quantisation.high.value_or(largest(layout))) {
    fail("its limits are none of its type");
  }
  if (quantisation.zero < INT32_MIN || quantisation.zero > INT32_MAX)
    fail("its zero point is too large");
  if (quantisation.through != 0 && !float_format(quantisation.through))
    fail("its base is rounded to " + dtype_name(quantisation.through) + ", which is no float");
  return layout;
}

std::optional<uint64_t> bytes_of_zeros(const QuantisedLayout& layout, int32_t dtype) {
  if (const std::optional<FloatFormat> format = float_format(dtype))
    return product(layout.scales, format->size);
  const std::optional<IntegerType> type = integer_type(dtype);
  if (!type) return std::nullopt;
  if (layout.zeros_in_row != 0) {  // as its elements
    if (dtype != 2) return std::nullopt;
    return product(layout.rows,
                   divided_up(layout.zeros_in_row * static_cast<uint64_t>(layout.bits), 8));
  }
  return divided_up(product(layout.scales, static_cast<uint64_t>(type->bits)), 8);
}

void check_quantised(const QuantisedPrediction& prediction) {
  const QuantisedLayout& layout = prediction.layout;
  const MatrixView& base = prediction.base;
  const std::optional<FloatFormat> of_base = float_format(base.dtype);
  if (!of_base || base.rows != layout.rows || base.cols != layout.base_cols)
    fail("its base has another type or shape");
  check_size("its base", base.bytes.size(), product(product(base.rows, base.cols), of_base->size));
  const std::optional<FloatFormat> of_scale = float_format(prediction.scale.dtype);
  check_size("its scale", prediction.scale.bytes.size(),
             of_scale ? std::optional(product(layout.scales, of_scale->size)) : std::nullopt);
  if (!prediction.zero) return;
  check_size("its zero point", prediction.zero->bytes.size(),
             bytes_of_zeros(layout, prediction.zero->dtype));
}

void read_integers(std::span<const std::byte> bytes, int bits, bool is_signed, uint64_t first,
                   size_t count, int32_t* out) {
  if (bits < 8) return read_narrow(bytes, bits, is_signed, first, count, out);
  const std::byte* from = bytes.data() + static_cast<size_t>(first) * static_cast<size_t>(bits / 8);
  if (bits == 8)
    return is_signed ? widen<int8_t>(from, count, out) : widen<uint8_t>(from, count, out);
  if (bits == 16)
    return is_signed ? widen<int16_t>(from, count, out) : widen<uint16_t>(from, count, out);
  widen<int32_t>(from, count, out);
}

QuantisedReader::QuantisedReader(const QuantisedPrediction& prediction) : prediction_(prediction) {
  check_quantised(prediction_);
  const Quantisation& how = prediction_.quantisation;
  low_ = static_cast<double>(how.low.value_or(smallest(prediction_.layout)));
  high_ = static_cast<double>(how.high.value_or(largest(prediction_.layout)));
}

// Calls fill(at, count, number) where so many elements have one scale, copy(at, count, number)
// where each has the next one.
template <typename Fill, typename Copy>
void QuantisedReader::for_each_run(uint64_t first, size_t count, const Fill& fill,
                                   const Copy& copy) const {
  const QuantisedLayout& layout = prediction_.layout;
  const uint64_t block = std::max<uint64_t>(1, layout.block);
  const uint64_t blocks = divided_up(layout.length, block);
  for (size_t at = 0; at < count;) {
    const uint64_t element = first + at;
    const uint64_t inside = element % layout.inner;
    const uint64_t index = element / layout.inner % layout.length;
    const uint64_t outer = layout.block == 0 ? 0 : element / layout.inner / layout.length;
    const uint64_t number = outer * blocks + index / block;
    uint64_t run = layout.inner - inside;
    const bool each = layout.block == 0 ? layout.inner == 1 : layout.inner > 1;
    if (layout.inner == 1) {
      run = layout.length - index;
      if (layout.block != 0) run = std::min(run, block - index % block);
    }
    const auto some = static_cast<size_t>(std::min<uint64_t>(run, count - at));
    if (each) {
      copy(at, some, layout.block == 0 ? number : number * layout.inner + inside);
    } else {
      fill(at, some, number);
    }
    at += some;
  }
}

void QuantisedReader::read_scales(uint64_t first, size_t count, double* out) const {
  for_each_run(
      first, count,
      [&](size_t at, size_t some, uint64_t number) {
        double scale = 0;
        read_numbers(prediction_.scale, number, 1, &scale);
        std::fill_n(out + at, some, scale);
      },
      [&](size_t at, size_t some, uint64_t number) {
        read_numbers(prediction_.scale, number, some, out + at);
      });
}

void QuantisedReader::read_zeros(uint64_t first, size_t count, double* out) const {
  if (!prediction_.zero) {
    std::fill_n(out, count, static_cast<double>(prediction_.quantisation.zero));
    return;
  }
  const QuantisedLayout& layout = prediction_.layout;
  const bool packed = layout.zeros_in_row != 0 && !float_format(prediction_.zero->dtype);
  for_each_run(
      first, count,
      [&](size_t at, size_t some, uint64_t number) {
        double zero = 0;
        if (packed) {
          const uint64_t row_bytes =
              divided_up(layout.zeros_in_row * static_cast<uint64_t>(layout.bits), 8);
          const uint64_t row = number / layout.zeros_in_row, in_row = number % layout.zeros_in_row;
          int32_t value = 0;
          read_integers(prediction_.zero->bytes.subspan(static_cast<size_t>(row * row_bytes)),
                        layout.bits, false, in_row, 1, &value);
          zero = value;
        } else {
          read_numbers(*prediction_.zero, number, 1, &zero);
        }
        std::fill_n(out + at, some, zero);
      },
      [&](size_t at, size_t some, uint64_t number) {
        read_numbers(*prediction_.zero, number, some, out + at);
      });
}

void QuantisedReader::read_base(uint64_t first, size_t count, double* out) {
  const uint64_t cols = prediction_.layout.cols;
  for (size_t at = 0; at < count;) {
    const uint64_t row = (first + at) / cols, col = (first + at) % cols;
    const uint64_t whole = col == 0 ? (count - at) / cols : 0;
    const uint64_t rows = std::clamp<uint64_t>(whole, 1, kTileRows);
    const uint64_t width = std::min<uint64_t>(cols - col, count - at);
    const uint64_t base_cols = prediction_.base.cols;
    const uint64_t there = col >= base_cols ? 0 : std::min(width, base_cols - col);
    if (there > 0)
      read_block(prediction_.base, {row, rows, col, there}, static_cast<size_t>(width), out + at);
    for (uint64_t r = 0; r < rows && there < width; ++r) {
      std::fill_n(out + at + r * width + there, width - there, 0.0);
    }
    at += static_cast<size_t>(rows * width);
  }
  const int32_t through = prediction_.quantisation.through;
  if (through == 0) return;
  std::byte rounded[kChunk * sizeof(double)];
  const size_t size = float_format(through)->size;
  for (size_t at = 0; at < count; at += kChunk) {
    const size_t some = std::min(kChunk, count - at);
    write_values({out + at, some}, through, rounded);
    read_values({rounded, some * size}, through, out + at);
  }
}

void QuantisedReader::predict(uint64_t first, size_t count, int32_t* out, uint8_t* classes) {
  base_.resize(std::max(base_.size(), count));
  read_base(first, count, base_.data());
  for (size_t at = 0; at < count; at += kChunk) {
    const size_t some = std::min(kChunk, count - at);
    predict_chunk(first + at, base_.data() + at, some, out + at, classes + at);
  }
  const QuantisedLayout& layout = prediction_.layout;
  if (layout.base_cols == layout.cols) return;
  for (uint64_t at = 0; at < count;) {  // the padding
    const uint64_t col = (first + at) % layout.cols;
    if (col < layout.base_cols) {
      at += layout.base_cols - col;
      continue;
    }
    const auto some = static_cast<size_t>(std::min<uint64_t>(layout.cols - col, count - at));
    std::fill_n(out + at, some, 0);
    std::fill_n(classes + at, some, uint8_t{0});
    at += some;
  }
}

void QuantisedReader::predict_chunk(uint64_t first, const double* base, size_t count, int32_t* out,
                                    uint8_t* classes) const {
  const Quantisation& how = prediction_.quantisation;
  double bases[kChunk] = {}, scales[kChunk], zeros[kChunk] = {}, values[kChunk], fractions[kChunk];
  int32_t rounded[kChunk], found[kChunk];
  std::copy_n(base, count, bases);
  read_scales(first, count, scales);
  std::fill(scales + count, scales + kChunk, 1.0);
  read_zeros(first, count, zeros);
  apply({how.by_reciprocal, how.zero_before, how.away, how.in_double, low_, high_}, bases, scales,
        zeros, values, fractions);
  finish(values, fractions, rounded, found);
  std::copy_n(rounded, count, out);
  for (size_t i = 0; i < count; ++i) classes[i] = static_cast<uint8_t>(found[i]);
}

}  // namespace wshare

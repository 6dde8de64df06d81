#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "format/byte_sink.h"
#include "format/matrix.h"
#include "format/quantisation.h"

namespace wshare {

// How the elements of a quantised tensor lie, and how many numbers belong to them.
struct QuantisedLayout {
  int bits = 0;  // of an element
  bool is_signed = false;
  uint64_t rows = 0, cols = 0;  // of elements, the padding of packed rows included
  uint64_t base_cols = 0;
  uint64_t length = 1, inner = 1;  // of the axis; elements from one of its indices to the next
  uint64_t block = 0;              // 0: one scale for each index, or one for all
  uint64_t scales = 1;
  uint64_t zeros_in_row = 0;  // packed: zero points whose last byte is filled up; else 0
  uint64_t bytes = 0;         // of the tensor
};

// Returns the layout of a tensor. Throws Error(kInvalid) if type, shape and quantisation contradict
// each other.
QuantisedLayout layout_of(int32_t dtype, std::span<const int64_t> shape,
                          const Quantisation& quantisation);

// Stored numbers, floats or integers, of which the n-th is read.
struct NumberView {
  std::span<const std::byte> bytes;
  int32_t dtype = 0;
};

// Returns the bytes that the zero points of a tensor have in `dtype`, or nothing if no zero points
// have that type.
std::optional<uint64_t> bytes_of_zeros(const QuantisedLayout& layout, int32_t dtype);

// A quantised tensor and what it is computed of. Borrows all bytes.
struct QuantisedPrediction {
  Quantisation quantisation;
  QuantisedLayout layout;
  MatrixView base;  // [rows, base_cols]
  NumberView scale;
  std::optional<NumberView> zero;
};

// Throws Error(kInvalid) if its parts do not fit together.
void check_quantised(const QuantisedPrediction& prediction);

// Reads what belongs to elements [first, first + count), in the order they are stored.
class QuantisedReader {
 public:
  // Throws as check_quantised().
  explicit QuantisedReader(const QuantisedPrediction& prediction);

  void read_scales(uint64_t first, size_t count, double* out) const;
  void read_zeros(uint64_t first, size_t count, double* out) const;
  // Elements that the base does not have are 0.
  void read_base(uint64_t first, size_t count, double* out);
  // Predicts elements. A class, less than 16, says how near one was to being rounded the other way.
  void predict(uint64_t first, size_t count, int32_t* out, uint8_t* classes);

 private:
  template <typename Fill, typename Copy>
  void for_each_run(uint64_t first, size_t count, const Fill& fill, const Copy& copy) const;
  void predict_chunk(uint64_t first, const double* base, size_t count, int32_t* out,
                     uint8_t* classes) const;

  QuantisedPrediction prediction_;
  double low_, high_;
  std::vector<double> base_;
};

// Reads `count` integers of `bits` each, the first of which is number `first`.
void read_integers(std::span<const std::byte> bytes, int bits, bool is_signed, uint64_t first,
                   size_t count, int32_t* out);

// What a prediction of integers misses.
struct QuantisedReport {
  uint64_t wrong = 0;  // elements
  uint64_t coded_bytes = 0;
};

// Writes to `write` what turns the prediction into `actual`, the bytes of the tensor; nothing where
// they are equal. The same input gives the same bytes. Memory: about 8 MiB.
//
// Throws Error(kInvalid) as check_quantised(), if `actual` has another size, or if bits after its
// last element are set.
QuantisedReport encode_quantised(const QuantisedPrediction& prediction,
                                 std::span<const std::byte> actual, const ByteSink& write);

// Writes the bytes of the tensor to `write`, from the first to the last, given what
// encode_quantised() wrote for it. Memory: about 8 MiB.
//
// Throws Error(kInvalid) as check_quantised(), or if `residual` cannot belong to it.
void decode_quantised(const QuantisedPrediction& prediction, std::span<const std::byte> residual,
                      const ByteSink& write);

}  // namespace wshare

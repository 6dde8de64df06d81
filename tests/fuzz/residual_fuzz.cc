// A residual: (mode bit 6) one that is made here, read as it is and with one bit changed; (bit 7)
// symbols of the first format; (both) of a quantised tensor; else any bytes, as both formats. What
// forms of the decoder the machine has must agree.

#include <optional>

#include "format/codec/quantised.h"
#include "format/codec/residual.h"
#include "format/codec/symbol_coder.h"
#include "fuzz/fuzz.h"

using namespace wshare;
using namespace wshare::fuzz;

namespace {

constexpr int32_t kTypes[] = {kFloat32, kFloat16, kFloat64, kBfloat16};

// So many bytes, from a few of the input.
Exact bytes_from(Input& input, uint64_t size) {
  const std::string given = input.text(input.byte());
  std::string text(size, '\0');
  for (size_t i = 0; !given.empty() && i < size; ++i) text[i] = given[i % given.size()];
  return Exact(text);
}

void try_symbols(Input& input) {
  const std::string given = input.text(input.byte());
  std::vector<uint8_t> classes(given.begin(), given.end());
  for (uint8_t& each : classes) each %= kSymbolClasses;
  std::vector<uint8_t> symbols(classes.size());
  const size_t limit = 1 + input.byte() % kSymbols;
  const Exact code(input.rest());
  accepts([&] { decode_symbols(code.bytes(), classes, limit, symbols); });
}

// What a form makes of a residual; nothing if it refuses it.
std::optional<std::string> decoded(const Prediction& prediction, const Exact& residual,
                                   LaneForm form) {
  std::string values;
  const bool taken = accepts([&] {
    const ResidualReader reader(prediction, residual.bytes(), form);
    for (size_t i = 0; i < reader.block_count(); ++i) {
      std::vector<std::byte> block(reader.block_bytes(i));
      reader.read_block(i, block);
      values += as_text(block);
    }
  });
  return taken ? std::optional(values) : std::nullopt;
}

void decode_by_forms(const Prediction& prediction, const Exact& residual) {
  const std::optional<std::string> values = decoded(prediction, residual, LaneForm::kScalar);
  for (const LaneForm form : {LaneForm::kAvx2, LaneForm::kAvx512}) {
    if (!has_lane_form(form)) continue;
    expect(decoded(prediction, residual, form) == values, "all forms give the same");
  }
}

void try_round_trip(Input& input, const Prediction& prediction, uint64_t size) {
  const Exact actual = bytes_from(input, size);
  std::string code, back;
  if (!accepts([&] { encode_residual(prediction, actual.bytes(), append_to(code)); })) return;
  const Exact stored(code);
  decode_residual(prediction, kLaneCodec, stored.bytes(), append_to(back));
  expect(back == actual.text(), "a tensor comes back from its residual");
  if (code.empty()) return;
  code[input.word() % code.size()] ^= static_cast<char>(1 << input.byte() % 8);
  const Exact damaged(code);
  decode_by_forms(prediction, damaged);
}

// Parts of any sizes, of which most fit together; then any bytes and a real residual.
void try_quantised(Input& input) {
  constexpr int32_t kIntegers[] = {2, 3, 4, 5, 6, 21, 22, 25, 26};
  const uint8_t flags = input.byte();
  Quantisation how;
  const int32_t dtype = kIntegers[input.byte() % std::size(kIntegers)];
  const int64_t shape[] = {input.byte() % 9, input.byte() % 9, input.byte() % 33};
  if ((flags & 1) != 0) how.axis = input.byte() % 4;
  if ((flags & 2) != 0) how.block = input.byte() % 20;
  if ((flags & 4) != 0) how.packed_bits = 1 << input.byte() % 5;
  if ((flags & 8) != 0) how.columns = input.word() % 600;
  if ((flags & 16) != 0) how.low = input.byte() - 128;
  if ((flags & 32) != 0) how.through = kTypes[input.byte() % 4];
  how.zero = input.byte() - 128;
  const uint8_t rule = input.byte();
  how.by_reciprocal = (rule & 1) != 0;
  how.zero_before = (rule & 2) != 0;
  how.away = (rule & 4) != 0;
  how.in_double = (rule & 8) != 0;
  accepts([&] {
    QuantisedPrediction prediction;
    prediction.quantisation = how;
    prediction.layout = layout_of(dtype, shape, how);
    const QuantisedLayout& layout = prediction.layout;
    const int32_t base_type = kTypes[input.byte() % 4], scale_type = kTypes[input.byte() % 4];
    const int32_t zero_type = kIntegers[input.byte() % std::size(kIntegers)];
    const Exact base =
        bytes_from(input, layout.rows * layout.base_cols * float_format(base_type)->size);
    const Exact scale = bytes_from(input, layout.scales * float_format(scale_type)->size);
    const Exact zero = bytes_from(input, bytes_of_zeros(layout, zero_type).value_or(1));
    prediction.base = {base.bytes(), base_type, layout.rows, layout.base_cols, (rule & 16) != 0};
    prediction.scale = {scale.bytes(), scale_type};
    if ((rule & 32) != 0) prediction.zero = NumberView{zero.bytes(), zero_type};
    if ((rule & 64) != 0) {
      const Exact residual(input.rest());
      return decode_quantised(prediction, residual.bytes(), [](std::span<const std::byte>) {});
    }
    const Exact actual = bytes_from(input, layout.bytes);
    std::string code, decoded;
    encode_quantised(prediction, actual.bytes(), append_to(code));
    const Exact stored(code);
    decode_quantised(prediction, stored.bytes(), append_to(decoded));
    expect(decoded == actual.text(), "a quantised tensor comes back from its residual");
    if (code.empty()) return;
    code[input.word() % code.size()] ^= static_cast<char>(1 << input.byte() % 8);
    const Exact damaged(code);
    decode_quantised(prediction, damaged.bytes(), [](std::span<const std::byte>) {});
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const uint8_t mode = input.byte();
  if ((mode & 192) == 192) {
    try_quantised(input);
    return 0;
  }
  if ((mode & 128) != 0) {
    try_symbols(input);
    return 0;
  }
  const auto next_type = [&] { return kTypes[input.byte() % 4]; };
  const int32_t dtype = next_type(), base_type = next_type(), factor_type = next_type();
  const uint64_t rows = input.byte() % 40, cols = input.byte() % 70, rank = input.byte() % 9;
  const auto bytes_of = [](int32_t type, uint64_t count) {
    return count * float_format(type)->size;
  };
  const Exact base = bytes_from(input, bytes_of(base_type, rows * cols));
  const Exact left = bytes_from(input, bytes_of(factor_type, rows * rank));
  const Exact right = bytes_from(input, bytes_of(factor_type, rank * cols));
  Prediction prediction;
  prediction.dtype = dtype;
  prediction.rows = rows;
  prediction.cols = cols;
  if ((mode & 1) != 0)
    prediction.base = MatrixView{base.bytes(), base_type, rows, cols, (mode & 2) != 0};
  if ((mode & 4) != 0) prediction.multiplier = (input.byte() - 128) / 16.0;
  if ((mode & 8) != 0) {
    prediction.left = MatrixView{left.bytes(), factor_type, rows, rank, (mode & 16) != 0};
    prediction.right = MatrixView{right.bytes(), factor_type, rank, cols, (mode & 32) != 0};
  }
  if ((mode & 64) != 0) {
    try_round_trip(input, prediction, bytes_of(dtype, rows * cols));
    return 0;
  }
  const Exact residual(input.rest());
  accepts([&] {
    decode_residual(prediction, kFirstCodec, residual.bytes(), [](std::span<const std::byte>) {});
  });
  if (accepts([&] { check_prediction(prediction); })) decode_by_forms(prediction, residual);
  return 0;
}

#include "format/codec/residual_estimate.h"

#include <algorithm>
#include <cmath>

#include "format/codec/lanes.h"
#include "format/codec/moves.h"
#include "format/codec/residual.h"

namespace wshare {
namespace {

constexpr uint64_t kRun = 256;         // elements
constexpr uint64_t kBlockBytes = 600;  // tables and numbers of a block

// Calls use(first element, count) for runs that are spread over `elements`: `few` of them, of many
// one in as many as kSampledElements are of 4 million.
template <typename Use>
void for_each_run(uint64_t elements, uint64_t few, const Use& use) {
  const uint64_t sampled = std::max(few, elements / (kSampledElements / few * 64));
  const uint64_t runs = std::max<uint64_t>(1, sampled / kRun);
  const uint64_t apart = std::max(kRun, elements / runs);
  for (uint64_t first = 0; first < elements; first += apart)
    use(first, std::min(kRun, elements - first));
}

double entropy(const std::array<uint64_t, kLaneSymbols>& counts) {
  double total = 0, bits = 0;
  for (const uint64_t count : counts) total += static_cast<double>(count);
  for (const uint64_t count : counts) {
    if (count > 0)
      bits -= static_cast<double>(count) * std::log2(static_cast<double>(count) / total);
  }
  return bits;
}

std::span<const std::byte> elements_of(std::span<const std::byte> bytes, uint64_t first,
                                       uint64_t count, size_t size) {
  return bytes.subspan(static_cast<size_t>(first * size), static_cast<size_t>(count * size));
}

}  // namespace

ResidualSample::ResidualSample(int32_t dtype) : dtype_(dtype), counts_(kSymbolClasses) {}

template <typename Bits>
void ResidualSample::add_moves(std::span<const std::byte> predicted,
                               std::span<const std::byte> actual) {
  const FloatSteps<Bits> layout(dtype_);
  const size_t count = predicted.size() / sizeof(Bits);
  if (elements_ == 0) top_ = top_exponent(predicted.data(), count, layout);
  elements_ += count;
  if (std::equal(predicted.begin(), predicted.end(), actual.begin())) return;
  std::vector<uint8_t> classes(count), symbols(count);
  std::vector<Bits> raw(count);
  find_moves(predicted.data(), actual.data(), count, layout, static_cast<Bits>(top_),
             classes.data(), symbols.data(), raw.data());
  for (size_t i = 0; i < count; ++i) {
    ++counts_[classes[i]][symbols[i]];
    raw_bits_ += raw_bits_of(symbols[i]);
  }
}

void ResidualSample::add(std::span<const std::byte> predicted, std::span<const std::byte> actual) {
  with_bits(dtype_, [&]<typename Bits>(Bits) { add_moves<Bits>(predicted, actual); });
}

double ResidualSample::bits_per_element() const {
  if (elements_ == 0) return 0;
  double bits = static_cast<double>(raw_bits_);
  for (const auto& counts : counts_) bits += entropy(counts);
  return bits / static_cast<double>(elements_);
}

uint64_t estimate_residual(const Prediction& prediction, std::span<const std::byte> actual,
                           uint64_t few) {
  const uint64_t bytes = check_prediction(prediction);
  const uint64_t elements = prediction.rows * prediction.cols;
  if (elements <= few || actual.size() != bytes)
    return encode_residual(prediction, actual, [](std::span<const std::byte>) {}).coded_bytes;
  const size_t size = float_format(prediction.dtype)->size;
  ResidualSample sample(prediction.dtype);
  Predictor predictor(prediction);
  std::vector<std::byte> predicted(kRun * size);
  for_each_run(elements, few, [&](uint64_t first, uint64_t count) {
    predictor.predict_elements(first, count, predicted.data());
    sample.add(elements_of(predicted, 0, count, size), elements_of(actual, first, count, size));
  });
  const double bits = sample.bits_per_element();
  if (bits == 0) return 0;
  return static_cast<uint64_t>(bits / 8 * static_cast<double>(elements)) +
         (bytes + kResidualBlock - 1) / kResidualBlock * kBlockBytes;
}

namespace {

double median_quotient(const Prediction& prediction, std::span<const std::byte> actual) {
  const size_t size = float_format(prediction.dtype)->size;
  Prediction base = prediction;
  base.dtype = base.base->dtype;
  base.multiplier = 1;
  base.left = base.right = std::nullopt;
  Predictor predictor(base);
  std::vector<std::byte> from(kRun * sizeof(double));
  std::vector<double> before(kRun), after(kRun), quotients;
  for_each_run(
      prediction.rows * prediction.cols, kFewElements, [&](uint64_t first, uint64_t count) {
        const size_t bytes = static_cast<size_t>(count) * float_format(base.dtype)->size;
        predictor.predict_elements(first, count, from.data());
        read_values(std::span(from).first(bytes), base.dtype, before.data());
        read_values(elements_of(actual, first, count, size), prediction.dtype, after.data());
        for (size_t i = 0; i < count; ++i) {
          const double quotient = after[i] / before[i];
          if (before[i] != 0 && std::isfinite(quotient)) quotients.push_back(quotient);
        }
      });
  if (quotients.empty()) return 1;
  const auto middle = quotients.begin() + static_cast<ptrdiff_t>(quotients.size() / 2);
  std::nth_element(quotients.begin(), middle, quotients.end());
  return *middle;
}

}  // namespace

FittedMultiplier fit_multiplier(const Prediction& prediction, std::span<const std::byte> actual) {
  constexpr double kWorthIt = 0.98;  // a multiple takes longer to compute than a copy
  const uint64_t copied = estimate_residual(prediction, actual);
  if (copied == 0) return {};
  Prediction multiple = prediction;
  multiple.multiplier = median_quotient(prediction, actual);
  if (multiple.multiplier == 1) return {1, copied};
  const uint64_t multiplied = estimate_residual(multiple, actual);
  if (static_cast<double>(multiplied) < kWorthIt * static_cast<double>(copied))
    return {multiple.multiplier, multiplied};
  return {1, copied};
}

}  // namespace wshare

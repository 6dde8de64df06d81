#include "inspect/values.h"

#include <algorithm>
#include <atomic>

#include "format/dtype.h"
#include "format/matrix.h"
#include "util/load.h"
#include "util/parallel.h"

// Problem: which weights hold nothing but zeros, one number, mostly zeros, or float32 values that a
// 16-bit type holds as well? Looking at every element would cost another pass over all bytes.
//
// Idea: each of these is true of all elements or it is false, and an ordinary weight contradicts it
// within a few of them. So 16 probes spread over a content decide whether it is read as a whole,
// which then only weights with something odd are, cut into pieces for all cores.

namespace wshare {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{4} << 20;  // a multiple of each element size
constexpr uint64_t kProbes = 16, kProbeBytes = 4096;
constexpr double kMostlyZero = 0.85;  // of the sample; below the share that makes a finding

// What some elements of a content have in common.
struct PieceFacts {
  bool constant = true, float16 = true, bfloat16 = true;
  uint64_t elements = 0, nonzeros = 0;

  void add(const PieceFacts& other) {
    constant = constant && other.constant;
    float16 = float16 && other.float16;
    bfloat16 = bfloat16 && other.bfloat16;
    elements += other.elements;
    nonzeros += other.nonzeros;
  }
};

// True if the float32 with these bits is also a value of float16: 10 bits of significand, fewer
// below 2^-14.
bool is_float16(uint32_t bits) {
  const uint32_t exponent = bits >> 23 & 0xff;
  const uint32_t significand = bits & 0x7fffff;
  if ((bits << 1) == 0) return true;
  if (exponent == 255 || (exponent >= 113 && exponent <= 142)) return (significand & 0x1fff) == 0;
  if (exponent < 103 || exponent > 142) return false;
  return (significand & ((uint32_t{1} << (126 - exponent)) - 1)) == 0;
}

template <typename Element>
PieceFacts facts_of(Bytes piece, Bytes whole, bool is_float32) {
  PieceFacts facts;
  facts.float16 = facts.bfloat16 = is_float32;
  const Element first = load<Element>(whole.data());
  facts.elements = piece.size() / sizeof(Element);
  for (size_t at = 0; at < piece.size(); at += sizeof(Element)) {
    const Element element = load<Element>(piece.data() + at);
    facts.constant = facts.constant && element == first;
    facts.nonzeros += element != 0;
    if constexpr (sizeof(Element) == 4) {
      facts.bfloat16 = facts.bfloat16 && (element & 0xffff) == 0;
      facts.float16 = facts.float16 && is_float16(element);
    }
  }
  return facts;
}

PieceFacts facts_of(const ValueView& view, uint64_t offset, uint64_t size, int element_bytes) {
  const Bytes piece = view.bytes.subspan(static_cast<size_t>(offset), static_cast<size_t>(size));
  switch (element_bytes) {
    case 2:
      return facts_of<uint16_t>(piece, view.bytes, false);
    case 4:
      return facts_of<uint32_t>(piece, view.bytes, view.dtype == kFloat32);
    case 8:
      return facts_of<uint64_t>(piece, view.bytes, false);
    default:
      return facts_of<uint8_t>(piece, view.bytes, false);
  }
}

// Returns the bytes of an element; types of less or more bits than a plain number are taken as
// bytes.
int element_bytes_of(const ValueView& view) {
  const std::optional<Dtype> dtype = find_dtype(view.dtype);
  const int bytes = dtype ? dtype->bits / 8 : 1;
  const bool is_plain = bytes == 2 || bytes == 4 || bytes == 8;
  return is_plain && view.bytes.size() % static_cast<size_t>(bytes) == 0 ? bytes : 1;
}

bool may_be_odd(const ValueView& view, int element_bytes) {
  PieceFacts sample;
  const uint64_t size = view.bytes.size();
  const uint64_t step = std::max(size / kProbes / kProbeBytes * kProbeBytes, kProbeBytes);
  for (uint64_t probe = 0; probe < kProbes && probe * step < size; ++probe) {
    const uint64_t offset = probe * step;
    sample.add(facts_of(view, offset, std::min(kProbeBytes, size - offset), element_bytes));
  }
  const auto zeros = static_cast<double>(sample.elements - sample.nonzeros);
  return sample.constant || sample.float16 || sample.bfloat16 ||
         zeros >= kMostlyZero * static_cast<double>(sample.elements);
}

}  // namespace

std::vector<ValueFacts> look_at_values(std::span<const ValueView> views, unsigned threads) {
  std::vector<int> element_bytes;
  for (const ValueView& view : views) element_bytes.push_back(element_bytes_of(view));
  std::vector<char> odd(views.size());
  parallel_for(views.size(), threads, [&](size_t v) {
    odd[v] = !views[v].bytes.empty() && may_be_odd(views[v], element_bytes[v]);
  });
  std::vector<std::pair<size_t, uint64_t>> pieces;  // view, offset
  for (size_t v = 0; v < views.size(); ++v) {
    if (!odd[v]) continue;
    for (uint64_t at = 0; at < views[v].bytes.size(); at += kPieceBytes) pieces.emplace_back(v, at);
  }
  std::vector<PieceFacts> found(pieces.size());
  parallel_for(pieces.size(), threads, [&](size_t i) {
    const auto [v, at] = pieces[i];
    const uint64_t size = std::min<uint64_t>(kPieceBytes, views[v].bytes.size() - at);
    found[i] = facts_of(views[v], at, size, element_bytes[v]);
  });
  std::vector<ValueFacts> facts(views.size());
  size_t piece = 0;
  for (size_t v = 0; v < views.size(); ++v) {
    const auto size = static_cast<uint64_t>(views[v].bytes.size());
    facts[v].nonzeros = size / static_cast<uint64_t>(element_bytes[v]);
    if (!odd[v]) continue;
    PieceFacts whole;
    for (; piece < pieces.size() && pieces[piece].first == v; ++piece) whole.add(found[piece]);
    facts[v] = {whole.constant, whole.nonzeros == 0, whole.float16, whole.bfloat16, whole.nonzeros};
  }
  return facts;
}

}  // namespace wshare

// Lanes as two vectors of 16 numbers. See lane_decoder.cc for what is done; the order is the same:
// symbols of all lanes, then a piece of raw bits of all lanes, then another.
#include "format/codec/lane_decoder.h"

#if defined(__x86_64__)
#if !defined(__clang__)
// GCC 12 says so of what its own header leaves undefined (its bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include <bit>

#define WSHARE_AVX512 __attribute__((target("avx512f,avx512vl,popcnt")))
#define WSHARE_AVX512_INLINE WSHARE_AVX512 __attribute__((always_inline)) inline

namespace wshare {
namespace {

constexpr size_t kVectors = 2;
constexpr size_t kWidth = 16;
static_assert(kVectors * kWidth == kMostLanes);

// Elements of 2 bytes lie in the upper halves of 4 bytes: their order is the same there.
WSHARE_AVX512_INLINE __m512i load_elements(const std::byte* at, uint16_t) {
  const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
  return _mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16);
}
WSHARE_AVX512_INLINE __m512i load_elements(const std::byte* at, uint32_t) {
  return _mm512_loadu_si512(at);
}
WSHARE_AVX512_INLINE void store_elements(__m512i elements, std::byte* at, uint16_t) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(at),
                      _mm512_cvtepi32_epi16(_mm512_srli_epi32(elements, 16)));
}
WSHARE_AVX512_INLINE void store_elements(__m512i elements, std::byte* at, uint32_t) {
  _mm512_storeu_si512(at, elements);
}

// Numbers that became small take the next words.
WSHARE_AVX512_INLINE __m512i refill(__m512i numbers, const uint16_t*& next) {
  const __mmask16 small = _mm512_cmplt_epu32_mask(numbers, _mm512_set1_epi32(kLaneStart));
  const __m256i some = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(next));
  const __m512i words = _mm512_maskz_expand_epi32(small, _mm512_cvtepu16_epi32(some));
  next += std::popcount(static_cast<unsigned>(small));
  return _mm512_mask_or_epi32(numbers, small, _mm512_slli_epi32(numbers, kWordBits), words);
}

WSHARE_AVX512_INLINE __m512i take_bits(__m512i& numbers, __m512i count, const uint16_t*& next) {
  const __m512i one = _mm512_set1_epi32(1);
  const __m512i mask = _mm512_sub_epi32(_mm512_sllv_epi32(one, count), one);
  const __m512i bits = _mm512_and_si512(numbers, mask);
  numbers = refill(_mm512_srlv_epi32(numbers, count), next);
  return bits;
}

template <typename Bits>
class Decoder {
 public:
  WSHARE_AVX512 Decoder(const LaneBlock<Bits>& block, const LaneStream& stream)
      : entries_(block.entries),
        significand_(block.layout.significand_bits + static_cast<int>(kSpare)),
        top_(static_cast<int>(block.top)),
        next_(stream.next) {
    for (size_t k = 0; k < kVectors; ++k)
      numbers_[k] = _mm512_loadu_si512(stream.numbers.data() + k * kWidth);
  }

  WSHARE_AVX512_INLINE void decode(std::byte* values) {
    __m512i elements[kVectors], symbols[kVectors], any = _mm512_setzero_si512();
#pragma GCC unroll 2
    for (size_t k = 0; k < kVectors; ++k) {
      elements[k] = load_elements(values + k * kWidth * sizeof(Bits), Bits{});
      symbols[k] = take_symbols(elements[k], numbers_[k]);
      any = _mm512_or_si512(any, symbols[k]);
    }
    if (_mm512_test_epi32_mask(any, any) == 0) return;
    __m512i counts[kVectors], raw[kVectors];
#pragma GCC unroll 2
    for (size_t k = 0; k < kVectors; ++k) {
      counts[k] = raw_bits(symbols[k]);
      const __m512i some = sizeof(Bits) == 2
                               ? counts[k]
                               : _mm512_min_epi32(counts[k], _mm512_set1_epi32(kPieceBits));
      raw[k] = take_bits(numbers_[k], some, next_);
    }
    if constexpr (sizeof(Bits) == 4) take_second_pieces(counts, raw);
#pragma GCC unroll 2
    for (size_t k = 0; k < kVectors; ++k) {
      store_elements(moved(elements[k], symbols[k], raw[k]), values + k * kWidth * sizeof(Bits),
                     Bits{});
    }
  }

  const uint16_t* next() const { return next_; }

  WSHARE_AVX512 void finish(LaneStream& stream) const {
    stream.next = next_;
    for (size_t k = 0; k < kVectors; ++k)
      _mm512_storeu_si512(stream.numbers.data() + k * kWidth, numbers_[k]);
  }

 private:
  static constexpr unsigned kSpare = 32 - FloatSteps<Bits>::kBits;

  WSHARE_AVX512_INLINE __m512i classes_of(__m512i elements) const {
    const __m512i without_sign = _mm512_and_si512(elements, _mm512_set1_epi32(0x7fffffff));
    const __m512i field = _mm512_srl_epi32(without_sign, _mm_cvtsi32_si128(significand_));
    const __m512i below = _mm512_sub_epi32(_mm512_set1_epi32(top_), field);
    return _mm512_min_epi32(_mm512_max_epi32(below, _mm512_setzero_si512()),
                            _mm512_set1_epi32(kSymbolClasses - 1));
  }

  WSHARE_AVX512_INLINE __m512i take_symbols(__m512i elements, __m512i& numbers) {
    const __m512i low = _mm512_set1_epi32(kShares - 1);
    const __m512i place = _mm512_or_si512(_mm512_and_si512(numbers, low),
                                          _mm512_slli_epi32(classes_of(elements), kShareBits));
    const __m512i entry = _mm512_i32gather_epi32(place, entries_, 4);
    const __m512i shares =
        _mm512_add_epi32(_mm512_and_si512(_mm512_srli_epi32(entry, 8), low), _mm512_set1_epi32(1));
    const __m512i above = _mm512_srli_epi32(numbers, kShareBits);
    numbers = refill(
        _mm512_add_epi32(_mm512_mullo_epi32(shares, above), _mm512_srli_epi32(entry, 20)), next_);
    return _mm512_and_si512(entry, _mm512_set1_epi32(0xff));
  }

  WSHARE_AVX512_INLINE static __m512i raw_bits(__m512i symbols) {
    const __m512i one = _mm512_set1_epi32(1);
    const __m512i octave = _mm512_srli_epi32(_mm512_sub_epi32(symbols, one), 2);
    const __m512i below = _mm512_sub_epi32(_mm512_max_epi32(octave, _mm512_set1_epi32(2)), one);
    return _mm512_maskz_mov_epi32(_mm512_test_epi32_mask(symbols, symbols), below);
  }

  WSHARE_AVX512_INLINE void take_second_pieces(const __m512i (&counts)[kVectors],
                                               __m512i (&raw)[kVectors]) {
    const __m512i piece = _mm512_set1_epi32(kPieceBits);
    const __m512i largest = _mm512_max_epi32(counts[0], counts[1]);
    if (_mm512_cmpgt_epi32_mask(largest, piece) == 0) return;
#pragma GCC unroll 2
    for (size_t k = 0; k < kVectors; ++k) {
      const __m512i more = _mm512_sub_epi32(_mm512_max_epi32(counts[k], piece), piece);
      const __m512i bits = take_bits(numbers_[k], more, next_);
      raw[k] = _mm512_or_si512(raw[k], _mm512_slli_epi32(bits, kPieceBits));
    }
  }

  WSHARE_AVX512_INLINE static __m512i flip(__m512i signs) {
    return _mm512_or_si512(_mm512_srai_epi32(signs, 31),
                           _mm512_set1_epi32(static_cast<int>(0x80000000)));
  }

  WSHARE_AVX512_INLINE static __m512i moved(__m512i elements, __m512i symbols, __m512i raw) {
    const __m512i one = _mm512_set1_epi32(1), two = _mm512_set1_epi32(2);
    const __m512i which = _mm512_sub_epi32(symbols, one);
    const __m512i octave = _mm512_srli_epi32(which, 2);
    const __m512i steps =
        _mm512_or_si512(_mm512_and_si512(which, _mm512_set1_epi32(3)), _mm512_set1_epi32(4));
    // A shift by more than 31 gives 0, also by a negative number.
    const __m512i up = _mm512_sllv_epi32(steps, _mm512_sub_epi32(octave, two));
    const __m512i down = _mm512_srlv_epi32(steps, _mm512_sub_epi32(two, octave));
    const __m512i size = _mm512_add_epi32(_mm512_or_si512(up, down), _mm512_srli_epi32(raw, 1));
    const __m512i sign = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_and_si512(raw, one));
    __m512i by = _mm512_sub_epi32(_mm512_xor_si512(size, sign), sign);
    by = _mm512_maskz_slli_epi32(_mm512_test_epi32_mask(symbols, symbols), by, kSpare);
    const __m512i rank = _mm512_add_epi32(_mm512_xor_si512(elements, flip(elements)), by);
    return _mm512_xor_si512(rank, flip(_mm512_xor_si512(rank, _mm512_set1_epi32(-1))));
  }

  const uint32_t* entries_;
  int significand_;
  int top_;
  const uint16_t* next_;
  __m512i numbers_[kVectors];
};

template <typename Bits>
WSHARE_AVX512 void decode_groups(const LaneBlock<Bits>& block, LaneStream& stream, size_t groups,
                                 std::byte* values) {
  Decoder<Bits> decoder(block, stream);
  for (size_t group = 0; group < groups && decoder.next() <= stream.end; ++group)
    decoder.decode(values + group * kMostLanes * sizeof(Bits));
  decoder.finish(stream);
}

}  // namespace

WSHARE_AVX512 void decode_groups_avx512(const LaneBlock<uint16_t>& block, LaneStream& stream,
                                        size_t groups, std::byte* values) {
  decode_groups(block, stream, groups, values);
}
WSHARE_AVX512 void decode_groups_avx512(const LaneBlock<uint32_t>& block, LaneStream& stream,
                                        size_t groups, std::byte* values) {
  decode_groups(block, stream, groups, values);
}

}  // namespace wshare
#endif

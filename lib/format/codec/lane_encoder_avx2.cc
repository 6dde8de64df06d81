// The opposite of lane_decoder_avx2.cc, with the last vector and the last piece of bits first.
// (With vectors of 16 numbers it was no faster: the divisions take as long.)
#include "format/codec/lane_encoder.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <bit>

#define WSHARE_AVX2 __attribute__((target("avx2,popcnt")))
#define WSHARE_AVX2_INLINE WSHARE_AVX2 __attribute__((always_inline)) inline

namespace wshare {
namespace {

constexpr size_t kVectors = 4;
constexpr size_t kWidth = 8;
static_assert(kVectors * kWidth == kMostLanes);

WSHARE_AVX2_INLINE __m256i load_bytes(const uint8_t* at) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(at)));
}
WSHARE_AVX2_INLINE __m256i load_raw(const uint16_t* at) {
  return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
}
WSHARE_AVX2_INLINE __m256i load_raw(const uint32_t* at) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
}

// Four quotients of numbers below 2^32 and shares, where they are below 2^20: a double is exact
// enough that cutting it off is right. Conversions take signed numbers, so 2^31 is moved out and
// in.
WSHARE_AVX2_INLINE __m128i divide(__m128i numbers, __m128i shares) {
  const __m128i moved = _mm_xor_si128(numbers, _mm_set1_epi32(static_cast<int>(0x80000000)));
  const __m256d whole = _mm256_add_pd(_mm256_cvtepi32_pd(moved), _mm256_set1_pd(0x1p31));
  return _mm256_cvttpd_epi32(_mm256_div_pd(whole, _mm256_cvtepi32_pd(shares)));
}
WSHARE_AVX2_INLINE __m256i divide(__m256i numbers, __m256i shares) {
  const __m128i low = divide(_mm256_castsi256_si128(numbers), _mm256_castsi256_si128(shares));
  const __m128i high =
      divide(_mm256_extracti128_si256(numbers, 1), _mm256_extracti128_si256(shares, 1));
  return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

// For each set of lanes that put a word: which of them the last words come from. The first ones of
// the vector are of no use, and are written over.
constexpr std::array<std::array<uint8_t, kWidth>, 256> kJoin = [] {
  std::array<std::array<uint8_t, kWidth>, 256> join{};
  for (size_t set = 0; set < 256; ++set) {
    size_t at = kWidth - static_cast<size_t>(std::popcount(set));
    for (size_t lane = 0; lane < kWidth; ++lane) {
      if ((set >> lane & 1) != 0) join[set][at++] = static_cast<uint8_t>(lane);
    }
  }
  return join;
}();

// Puts the low words of the `large` numbers before the others.
WSHARE_AVX2_INLINE __m256i put_words(__m256i numbers, __m256i large, uint16_t*& first_word) {
  const auto set = static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(large)));
  const __m256i places =
      _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(kJoin[set].data())));
  const __m256i joined =
      _mm256_and_si256(_mm256_permutevar8x32_epi32(numbers, places), _mm256_set1_epi32(0xffff));
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(joined, joined), 0x08);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(first_word - kWidth), _mm256_castsi256_si128(packed));
  first_word -= std::popcount(set);
  return _mm256_blendv_epi8(numbers, _mm256_srli_epi32(numbers, kWordBits), large);
}

WSHARE_AVX2_INLINE __m256i add_bits(__m256i numbers, __m256i bits, __m256i count,
                                    uint16_t*& first_word) {
  const __m256i one = _mm256_set1_epi32(1);
  // A shift by 32 gives 0.
  const __m256i above = _mm256_srlv_epi32(numbers, _mm256_sub_epi32(_mm256_set1_epi32(32), count));
  numbers = put_words(numbers, _mm256_cmpgt_epi32(above, _mm256_setzero_si256()), first_word);
  const __m256i mask = _mm256_sub_epi32(_mm256_sllv_epi32(one, count), one);
  return _mm256_or_si256(_mm256_sllv_epi32(numbers, count), _mm256_and_si256(bits, mask));
}

WSHARE_AVX2_INLINE __m256i raw_bits(__m256i symbols) {
  const __m256i one = _mm256_set1_epi32(1);
  const __m256i octave = _mm256_srli_epi32(_mm256_sub_epi32(symbols, one), 2);
  const __m256i below = _mm256_sub_epi32(_mm256_max_epi32(octave, _mm256_set1_epi32(2)), one);
  return _mm256_andnot_si256(_mm256_cmpeq_epi32(symbols, _mm256_setzero_si256()), below);
}

WSHARE_AVX2_INLINE __m256i add_symbols(__m256i numbers, __m256i classes, __m256i symbols,
                                       const uint32_t* steps, uint16_t*& first_word) {
  const __m256i place = _mm256_or_si256(symbols, _mm256_slli_epi32(classes, 8));
  const __m256i step = _mm256_i32gather_epi32(reinterpret_cast<const int*>(steps), place, 4);
  const __m256i less = _mm256_and_si256(step, _mm256_set1_epi32(kShares - 1));
  const __m256i shares = _mm256_add_epi32(less, _mm256_set1_epi32(1));
  const __m256i top = _mm256_srli_epi32(numbers, 32 - kShareBits);
  numbers = put_words(numbers, _mm256_cmpgt_epi32(top, less), first_word);
  const __m256i others = _mm256_sub_epi32(_mm256_set1_epi32(kShares), shares);
  const __m256i moved = _mm256_mullo_epi32(divide(numbers, shares), others);
  return _mm256_add_epi32(_mm256_add_epi32(numbers, moved), _mm256_srli_epi32(step, kShareBits));
}

template <typename Bits>
WSHARE_AVX2_INLINE void encode_group(const Moves<Bits>& moves, const uint32_t* steps, size_t first,
                                     __m256i (&numbers)[kVectors], uint16_t*& first_word) {
  const __m256i piece = _mm256_set1_epi32(kPieceBits);
  __m256i symbols[kVectors], counts[kVectors], raw[kVectors], most = piece;
#pragma GCC unroll 4
  for (size_t k = 0; k < kVectors; ++k) {
    symbols[k] = load_bytes(moves.symbols.data() + first + k * kWidth);
    counts[k] = raw_bits(symbols[k]);
    raw[k] = load_raw(moves.raw.data() + first + k * kWidth);
    most = _mm256_max_epi32(most, counts[k]);
  }
  if (sizeof(Bits) == 4 && _mm256_movemask_epi8(_mm256_cmpgt_epi32(most, piece)) != 0) {
#pragma GCC unroll 4
    for (size_t last = 0; last < kVectors; ++last) {
      const size_t k = kVectors - 1 - last;
      const __m256i more = _mm256_sub_epi32(_mm256_max_epi32(counts[k], piece), piece);
      numbers[k] = add_bits(numbers[k], _mm256_srli_epi32(raw[k], kPieceBits), more, first_word);
    }
  }
#pragma GCC unroll 4
  for (size_t last = 0; last < kVectors; ++last) {
    const size_t k = kVectors - 1 - last;
    numbers[k] = add_bits(numbers[k], raw[k], _mm256_min_epi32(counts[k], piece), first_word);
  }
#pragma GCC unroll 4
  for (size_t last = 0; last < kVectors; ++last) {
    const size_t k = kVectors - 1 - last;
    const __m256i classes = load_bytes(moves.classes.data() + first + k * kWidth);
    numbers[k] = add_symbols(numbers[k], classes, symbols[k], steps, first_word);
  }
}

template <typename Bits>
WSHARE_AVX2 void encode_groups(const Moves<Bits>& moves, const uint32_t* steps, size_t groups,
                               LaneSink& sink) {
  __m256i numbers[kVectors];
  for (size_t k = 0; k < kVectors; ++k) {
    numbers[k] =
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(sink.numbers.data() + k * kWidth));
  }
  uint16_t* first_word = sink.first_word;
  for (size_t group = groups; group-- > 0;)
    encode_group(moves, steps, group * kMostLanes, numbers, first_word);
  sink.first_word = first_word;
  for (size_t k = 0; k < kVectors; ++k) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sink.numbers.data() + k * kWidth), numbers[k]);
  }
}

}  // namespace

WSHARE_AVX2 void encode_groups_avx2(const Moves<uint16_t>& moves, const uint32_t* steps,
                                    size_t groups, LaneSink& sink) {
  encode_groups(moves, steps, groups, sink);
}
WSHARE_AVX2 void encode_groups_avx2(const Moves<uint32_t>& moves, const uint32_t* steps,
                                    size_t groups, LaneSink& sink) {
  encode_groups(moves, steps, groups, sink);
}

}  // namespace wshare
#endif

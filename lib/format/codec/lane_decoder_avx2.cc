// Lanes as four vectors of 8 numbers: lane_decoder_avx512.cc with what AVX2 has.
#include "format/codec/lane_decoder.h"

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

// Elements of 2 bytes lie in the upper halves of 4 bytes: their order is the same there.
WSHARE_AVX2_INLINE __m256i load_elements(const std::byte* at, uint16_t) {
  const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  return _mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16);
}
WSHARE_AVX2_INLINE __m256i load_elements(const std::byte* at, uint32_t) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
}
WSHARE_AVX2_INLINE void store_elements(__m256i elements, std::byte* at, uint16_t) {
  const __m256i low = _mm256_srli_epi32(elements, 16);
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, low), 0x08);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(at), _mm256_castsi256_si128(packed));
}
WSHARE_AVX2_INLINE void store_elements(__m256i elements, std::byte* at, uint32_t) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), elements);
}

// For each set of lanes that need a word: which of the next ones each of them gets.
constexpr std::array<std::array<uint8_t, kWidth>, 256> kSpread = [] {
  std::array<std::array<uint8_t, kWidth>, 256> spread{};
  for (size_t set = 0; set < 256; ++set) {
    uint8_t next = 0;
    for (size_t lane = 0; lane < kWidth; ++lane) {
      spread[set][lane] = next;
      if ((set >> lane & 1) != 0) ++next;
    }
  }
  return spread;
}();

// Numbers that became small take the next words.
WSHARE_AVX2_INLINE __m256i refill(__m256i numbers, const uint16_t*& next) {
  const __m256i small =
      _mm256_cmpeq_epi32(_mm256_srli_epi32(numbers, kWordBits), _mm256_setzero_si256());
  const auto set = static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(small)));
  const __m128i some = _mm_loadu_si128(reinterpret_cast<const __m128i*>(next));
  const __m256i places =
      _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(kSpread[set].data())));
  const __m256i words = _mm256_permutevar8x32_epi32(_mm256_cvtepu16_epi32(some), places);
  next += std::popcount(set);
  const __m256i filled = _mm256_or_si256(_mm256_slli_epi32(numbers, kWordBits), words);
  return _mm256_blendv_epi8(numbers, filled, small);
}

WSHARE_AVX2_INLINE __m256i take_bits(__m256i& numbers, __m256i count, const uint16_t*& next) {
  const __m256i one = _mm256_set1_epi32(1);
  const __m256i mask = _mm256_sub_epi32(_mm256_sllv_epi32(one, count), one);
  const __m256i bits = _mm256_and_si256(numbers, mask);
  numbers = refill(_mm256_srlv_epi32(numbers, count), next);
  return bits;
}

template <typename Bits>
class Decoder {
 public:
  WSHARE_AVX2 Decoder(const LaneBlock<Bits>& block, const LaneStream& stream)
      : entries_(reinterpret_cast<const int*>(block.entries)),
        significand_(block.layout.significand_bits + static_cast<int>(kSpare)),
        top_(static_cast<int>(block.top)),
        next_(stream.next) {
    for (size_t k = 0; k < kVectors; ++k) {
      numbers_[k] =
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(stream.numbers.data() + k * kWidth));
    }
  }

  WSHARE_AVX2_INLINE void decode(std::byte* values) {
    __m256i elements[kVectors], symbols[kVectors], any = _mm256_setzero_si256();
#pragma GCC unroll 4
    for (size_t k = 0; k < kVectors; ++k) {
      elements[k] = load_elements(values + k * kWidth * sizeof(Bits), Bits{});
      symbols[k] = take_symbols(elements[k], numbers_[k]);
      any = _mm256_or_si256(any, symbols[k]);
    }
    if (_mm256_testz_si256(any, any) != 0) return;
    __m256i counts[kVectors], raw[kVectors];
#pragma GCC unroll 4
    for (size_t k = 0; k < kVectors; ++k) {
      counts[k] = raw_bits(symbols[k]);
      const __m256i some = sizeof(Bits) == 2
                               ? counts[k]
                               : _mm256_min_epi32(counts[k], _mm256_set1_epi32(kPieceBits));
      raw[k] = take_bits(numbers_[k], some, next_);
    }
    if constexpr (sizeof(Bits) == 4) take_second_pieces(counts, raw);
#pragma GCC unroll 4
    for (size_t k = 0; k < kVectors; ++k) {
      store_elements(moved(elements[k], symbols[k], raw[k]), values + k * kWidth * sizeof(Bits),
                     Bits{});
    }
  }

  const uint16_t* next() const { return next_; }

  WSHARE_AVX2 void finish(LaneStream& stream) const {
    stream.next = next_;
    for (size_t k = 0; k < kVectors; ++k) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(stream.numbers.data() + k * kWidth),
                          numbers_[k]);
    }
  }

 private:
  static constexpr unsigned kSpare = 32 - FloatSteps<Bits>::kBits;

  WSHARE_AVX2_INLINE __m256i classes_of(__m256i elements) const {
    const __m256i without_sign = _mm256_and_si256(elements, _mm256_set1_epi32(0x7fffffff));
    const __m256i field = _mm256_srl_epi32(without_sign, _mm_cvtsi32_si128(significand_));
    const __m256i below = _mm256_sub_epi32(_mm256_set1_epi32(top_), field);
    return _mm256_min_epi32(_mm256_max_epi32(below, _mm256_setzero_si256()),
                            _mm256_set1_epi32(kSymbolClasses - 1));
  }

  WSHARE_AVX2_INLINE __m256i take_symbols(__m256i elements, __m256i& numbers) {
    const __m256i low = _mm256_set1_epi32(kShares - 1);
    const __m256i place = _mm256_or_si256(_mm256_and_si256(numbers, low),
                                          _mm256_slli_epi32(classes_of(elements), kShareBits));
    const __m256i entry = _mm256_i32gather_epi32(entries_, place, 4);
    const __m256i shares =
        _mm256_add_epi32(_mm256_and_si256(_mm256_srli_epi32(entry, 8), low), _mm256_set1_epi32(1));
    const __m256i above = _mm256_srli_epi32(numbers, kShareBits);
    numbers = refill(
        _mm256_add_epi32(_mm256_mullo_epi32(shares, above), _mm256_srli_epi32(entry, 20)), next_);
    return _mm256_and_si256(entry, _mm256_set1_epi32(0xff));
  }

  WSHARE_AVX2_INLINE static __m256i is_zero(__m256i symbols) {
    return _mm256_cmpeq_epi32(symbols, _mm256_setzero_si256());
  }

  WSHARE_AVX2_INLINE static __m256i raw_bits(__m256i symbols) {
    const __m256i one = _mm256_set1_epi32(1);
    const __m256i octave = _mm256_srli_epi32(_mm256_sub_epi32(symbols, one), 2);
    const __m256i below = _mm256_sub_epi32(_mm256_max_epi32(octave, _mm256_set1_epi32(2)), one);
    return _mm256_andnot_si256(is_zero(symbols), below);
  }

  WSHARE_AVX2_INLINE void take_second_pieces(const __m256i (&counts)[kVectors],
                                             __m256i (&raw)[kVectors]) {
    const __m256i piece = _mm256_set1_epi32(kPieceBits);
    __m256i largest = counts[0];
    for (size_t k = 1; k < kVectors; ++k) largest = _mm256_max_epi32(largest, counts[k]);
    if (_mm256_movemask_epi8(_mm256_cmpgt_epi32(largest, piece)) == 0) return;
#pragma GCC unroll 4
    for (size_t k = 0; k < kVectors; ++k) {
      const __m256i more = _mm256_sub_epi32(_mm256_max_epi32(counts[k], piece), piece);
      const __m256i bits = take_bits(numbers_[k], more, next_);
      raw[k] = _mm256_or_si256(raw[k], _mm256_slli_epi32(bits, kPieceBits));
    }
  }

  WSHARE_AVX2_INLINE static __m256i flip(__m256i signs) {
    return _mm256_or_si256(_mm256_srai_epi32(signs, 31),
                           _mm256_set1_epi32(static_cast<int>(0x80000000)));
  }

  WSHARE_AVX2_INLINE static __m256i moved(__m256i elements, __m256i symbols, __m256i raw) {
    const __m256i one = _mm256_set1_epi32(1), two = _mm256_set1_epi32(2);
    const __m256i which = _mm256_sub_epi32(symbols, one);
    const __m256i octave = _mm256_srli_epi32(which, 2);
    const __m256i steps =
        _mm256_or_si256(_mm256_and_si256(which, _mm256_set1_epi32(3)), _mm256_set1_epi32(4));
    // A shift by more than 31 gives 0, also by a negative number.
    const __m256i up = _mm256_sllv_epi32(steps, _mm256_sub_epi32(octave, two));
    const __m256i down = _mm256_srlv_epi32(steps, _mm256_sub_epi32(two, octave));
    const __m256i size = _mm256_add_epi32(_mm256_or_si256(up, down), _mm256_srli_epi32(raw, 1));
    const __m256i sign = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_and_si256(raw, one));
    const __m256i by = _mm256_andnot_si256(
        is_zero(symbols),
        _mm256_slli_epi32(_mm256_sub_epi32(_mm256_xor_si256(size, sign), sign), kSpare));
    const __m256i rank = _mm256_add_epi32(_mm256_xor_si256(elements, flip(elements)), by);
    return _mm256_xor_si256(rank, flip(_mm256_xor_si256(rank, _mm256_set1_epi32(-1))));
  }

  const int* entries_;
  int significand_;
  int top_;
  const uint16_t* next_;
  __m256i numbers_[kVectors];
};

template <typename Bits>
WSHARE_AVX2 void decode_groups(const LaneBlock<Bits>& block, LaneStream& stream, size_t groups,
                               std::byte* values) {
  Decoder<Bits> decoder(block, stream);
  for (size_t group = 0; group < groups && decoder.next() <= stream.end; ++group)
    decoder.decode(values + group * kMostLanes * sizeof(Bits));
  decoder.finish(stream);
}

}  // namespace

WSHARE_AVX2 void decode_groups_avx2(const LaneBlock<uint16_t>& block, LaneStream& stream,
                                    size_t groups, std::byte* values) {
  decode_groups(block, stream, groups, values);
}
WSHARE_AVX2 void decode_groups_avx2(const LaneBlock<uint32_t>& block, LaneStream& stream,
                                    size_t groups, std::byte* values) {
  decode_groups(block, stream, groups, values);
}

}  // namespace wshare
#endif

#include "format/codec/lane_decoder.h"

#include <cstring>
#include <type_traits>

#include "util/load.h"
#include "wshare/error.h"

namespace wshare {
namespace {

[[noreturn]] void fail(const char* what) {
  throw Error(ErrorCode::kInvalid, std::string("residual: ") + what);
}

// Takes elements of one group off a stream, lane after lane.
template <typename Bits>
class GroupDecoder {
 public:
  GroupDecoder(const LaneBlock<Bits>& block, LaneStream& stream) : block_(block), stream_(stream) {}

  // Of `count` elements, at most as many as there are lanes.
  void decode(size_t count, std::byte* values) {
    const unsigned most_raw = take_symbols(count, values);
    std::array<Bits, kMostLanes> raw{};
    for (unsigned taken = 0; taken < most_raw; taken += kPieceBits) {
      for (size_t lane = 0; lane < count; ++lane) {
        const unsigned all = raw_bits_of(symbols_[lane]);
        if (all > taken) raw[lane] |= take_raw(lane, all - taken, taken);
      }
    }
    for (size_t lane = 0; lane < count; ++lane) {
      if (symbols_[lane] != 0) move(values + lane * sizeof(Bits), symbols_[lane], raw[lane]);
    }
  }

 private:
  // Returns the most raw bits that one of them has.
  unsigned take_symbols(size_t count, const std::byte* values) {
    unsigned most_raw = 0;
    for (size_t lane = 0; lane < count; ++lane) {
      const unsigned own =
          block_.layout.class_of(load<Bits>(values + lane * sizeof(Bits)), block_.top);
      uint32_t& number = stream_.numbers[lane];
      const uint32_t* entries = block_.entries + (block_.shifted ? 0 : own * kShares);
      const uint32_t entry = entries[number & (kShares - 1)];
      number = entry_shares(entry) * (number >> kShareBits) + entry_at(entry);
      refill(number);
      symbols_[lane] = block_.shifted ? unshifted(entry_symbol(entry), own) : entry_symbol(entry);
      most_raw = std::max(most_raw, raw_bits_of(symbols_[lane]));
    }
    return most_raw;
  }

  static uint32_t unshifted(uint32_t symbol, unsigned own_class) {
    if (symbol == 0) return 0;
    const size_t shift = kMostShift - kClassOctave * own_class;
    if (symbol <= shift || symbol - shift > largest_symbol(FloatSteps<Bits>::kBits))
      fail("has a symbol that its class does not have");
    return symbol - static_cast<uint32_t>(shift);
  }

  Bits take_raw(size_t lane, unsigned left, unsigned taken) {
    const unsigned some = std::min<unsigned>(left, kPieceBits);
    uint32_t& number = stream_.numbers[lane];
    const uint32_t bits = number & ((uint32_t{1} << some) - 1);
    number >>= some;
    refill(number);
    return static_cast<Bits>(static_cast<Bits>(bits) << taken);
  }

  void refill(uint32_t& number) {
    if (number >= kLaneStart) return;
    if (stream_.next == stream_.end) fail("ends early");
    number = number << kWordBits | *stream_.next++;
  }

  static void move(std::byte* value, uint32_t symbol, Bits raw) {
    const auto size = static_cast<Bits>(smallest_of<Bits>(symbol) + (raw >> 1));
    const auto by = static_cast<Bits>((raw & 1) != 0 ? -size : size);
    const auto rank = static_cast<Bits>(FloatSteps<Bits>::rank(load<Bits>(value)) + by);
    const Bits moved = FloatSteps<Bits>::at_rank(rank);
    std::memcpy(value, &moved, sizeof(moved));
  }

  const LaneBlock<Bits>& block_;
  LaneStream& stream_;
  std::array<uint32_t, kMostLanes> symbols_{};
};

template <typename Bits>
size_t decode_vectors(const LaneBlock<Bits>& block, LaneStream& stream, std::span<std::byte> values,
                      LaneForm form) {
#if defined(__x86_64__)
  if constexpr (!std::is_same_v<Bits, uint64_t>) {
    if (block.lanes != kMostLanes || block.shifted || form == LaneForm::kScalar) return 0;
    const size_t groups = values.size() / sizeof(Bits) / kMostLanes;
    if (form == LaneForm::kAvx512)
      decode_groups_avx512(block, stream, groups, values.data());
    else
      decode_groups_avx2(block, stream, groups, values.data());
    if (stream.next > stream.end) fail("ends early");
    return groups * kMostLanes;
  }
#endif
  return 0;
}

}  // namespace

bool has_lane_form(LaneForm form) {
  switch (form) {
    case LaneForm::kScalar:
      return true;
#if defined(__x86_64__)
    case LaneForm::kAvx2:
      return __builtin_cpu_supports("avx2");
    case LaneForm::kAvx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl");
#endif
    default:
      return false;
  }
}

LaneForm best_lane_form() {
  static const LaneForm best = has_lane_form(LaneForm::kAvx512) ? LaneForm::kAvx512
                               : has_lane_form(LaneForm::kAvx2) ? LaneForm::kAvx2
                                                                : LaneForm::kScalar;
  return best;
}

template <typename Bits>
void decode_lanes(const LaneBlock<Bits>& block, LaneStream& stream, std::span<std::byte> values,
                  LaneForm form) {
  const size_t count = values.size() / sizeof(Bits);
  GroupDecoder<Bits> groups(block, stream);
  for (size_t i = decode_vectors(block, stream, values, form); i < count; i += block.lanes)
    groups.decode(std::min(block.lanes, count - i), values.data() + i * sizeof(Bits));
  // Where the encoder began.
  for (size_t lane = 0; lane < block.lanes; ++lane) {
    if (stream.numbers[lane] != kLaneStart) fail("is damaged");
  }
  if (stream.next != stream.end) fail("has bytes that are not used");
}

template void decode_lanes(const LaneBlock<uint16_t>&, LaneStream&, std::span<std::byte>, LaneForm);
template void decode_lanes(const LaneBlock<uint32_t>&, LaneStream&, std::span<std::byte>, LaneForm);
template void decode_lanes(const LaneBlock<uint64_t>&, LaneStream&, std::span<std::byte>, LaneForm);

}  // namespace wshare

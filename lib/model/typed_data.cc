#include "model/typed_data.h"

#include <cstring>

#include "util/wire.h"

namespace wshare {
namespace {

// Calls `take` with each entry of the payloads as 64 bits.
template <typename Take>
void for_each_entry(std::span<const std::byte> file, std::span<const WireField> payloads,
                    const Dtype& dtype, const Take& take) {
  const bool is_float =
      dtype.typed_field == TypedField::kFloat || dtype.typed_field == TypedField::kDouble;
  const size_t fixed_bytes = dtype.typed_field == TypedField::kFloat ? 4 : 8;
  const auto read_fixed = [&](std::span<const std::byte> bytes) {
    uint64_t value = 0;
    std::memcpy(&value, bytes.data(), fixed_bytes);
    return value;
  };
  for (const WireField& payload : payloads) {
    if (payload.type != WireType::kBytes) {
      WireReader run(file, payload.begin, payload.end());
      while (const std::optional<WireField> field = run.next()) {
        take(is_float ? read_fixed(file.subspan(static_cast<size_t>(field->payload)))
                      : field->varint);
      }
      continue;
    }
    std::span<const std::byte> packed = file.subspan(static_cast<size_t>(payload.payload),
                                                     static_cast<size_t>(payload.payload_size));
    while (is_float && packed.size() >= fixed_bytes) {
      take(read_fixed(packed));
      packed = packed.subspan(fixed_bytes);
    }
    while (!is_float && !packed.empty()) take(take_varint(packed));
  }
}

}  // namespace

uint64_t typed_byte_size(std::span<const std::byte> file, std::span<const WireField> payloads,
                         const Dtype& dtype) {
  uint64_t entries = 0;
  for_each_entry(file, payloads, dtype, [&](uint64_t) { ++entries; });
  return (entries * static_cast<uint64_t>(dtype.bits_per_entry) + 7) / 8;
}

void decode_typed(std::span<const std::byte> file, std::span<const WireField> payloads,
                  const Dtype& dtype, std::span<std::byte> out) {
  const auto bits = static_cast<uint64_t>(dtype.bits_per_entry);
  uint64_t at = 0;  // in bits
  for_each_entry(file, payloads, dtype, [&](uint64_t value) {
    if (bits % 8 == 0) {
      std::memcpy(out.data() + at / 8, &value, bits / 8);  // little-endian machine
    } else {
      for (uint64_t bit = 0; bit < bits; ++bit) {
        if ((value >> bit & 1) != 0) out[(at + bit) / 8] |= std::byte{1} << ((at + bit) % 8);
      }
    }
    at += bits;
  });
}

}  // namespace wshare

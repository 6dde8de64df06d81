#include "format/typed_fields.h"

#include <cstring>
#include <string>
#include <vector>

#include "format/onnx_wire.h"
#include "wshare/error.h"

namespace wshare {
namespace {

// The wire type of a single entry of the field.
WireType entry_type(TypedField field) {
  switch (field) {
    case TypedField::kFloat:
      return WireType::kFixed32;
    case TypedField::kDouble:
      return WireType::kFixed64;
    default:
      return WireType::kVarint;
  }
}

class TypedRuns {
 public:
  TypedRuns(std::span<const std::byte> file, const Dtype& dtype)
      : file_(file), dtype_(dtype), entry_type_(entry_type(dtype.typed_field)) {}

  void add(const WireField& payload) {
    if (payload.type == WireType::kBytes || payload.type == entry_type_) runs_.push_back(payload);
  }

  // The bytes of the only run, where they are the canonical ones.
  const WireField* plain() const {
    const bool is_plain =
        runs_.size() == 1 && runs_[0].type == WireType::kBytes && entry_type_ != WireType::kVarint;
    return is_plain ? runs_.data() : nullptr;
  }

  size_t size() const {
    uint64_t entries = 0;
    for_each_entry([&](uint64_t) { ++entries; });
    return static_cast<size_t>((entries * static_cast<uint64_t>(dtype_.bits_per_entry) + 7) / 8);
  }

  // Writes the entries to `out`, which is zero and has size() bytes.
  void decode(std::span<std::byte> out) const {
    const auto bits = static_cast<uint64_t>(dtype_.bits_per_entry);
    uint64_t at = 0;  // in bits
    for_each_entry([&](uint64_t value) {
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

 private:
  // Calls `take` with each entry as 64 bits.
  template <typename Take>
  void for_each_entry(const Take& take) const {
    for (const WireField& run : runs_) {
      if (run.type == WireType::kBytes) {
        take_packed(run, take);
        continue;
      }
      WireReader reader(file_, run.payload, run.end());  // fields of one entry each
      while (const std::optional<WireField> field = reader.next()) {
        take(entry_type_ == WireType::kVarint ? field->varint : fixed(bytes_of(*field)));
      }
    }
  }

  template <typename Take>
  void take_packed(const WireField& run, const Take& take) const {
    std::span<const std::byte> packed = bytes_of(run);
    if (entry_type_ == WireType::kVarint) {
      while (!packed.empty()) take(take_varint(packed));
      return;
    }
    const size_t size = entry_type_ == WireType::kFixed32 ? 4 : 8;
    if (packed.size() % size != 0) {
      throw Error(ErrorCode::kInvalid, "has a packed field of " + std::to_string(packed.size()) +
                                           " bytes, its elements have " + std::to_string(size));
    }
    for (; !packed.empty(); packed = packed.subspan(size)) take(fixed(packed.first(size)));
  }

  static uint64_t fixed(std::span<const std::byte> bytes) {
    uint64_t value = 0;
    std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }

  std::span<const std::byte> bytes_of(const WireField& field) const {
    return file_.subspan(static_cast<size_t>(field.payload),
                         static_cast<size_t>(field.payload_size));
  }

  std::span<const std::byte> file_;
  const Dtype& dtype_;
  WireType entry_type_;
  std::vector<WireField> runs_;
};

}  // namespace

TensorValues read_values(std::span<const std::byte> file, std::span<const WireField> payloads,
                         const Dtype& dtype,
                         const std::function<std::span<std::byte>(size_t)>& allocate) {
  TypedRuns typed(file, dtype);
  const WireField* raw = nullptr;
  for (const WireField& payload : payloads) {
    if (payload.number == tensor_field::kRawData && payload.type == WireType::kBytes)
      raw = &payload;
    if (payload.number == field_number(dtype.typed_field)) typed.add(payload);
  }
  if (const WireField* plain = raw != nullptr ? raw : typed.plain()) {
    return {file.subspan(static_cast<size_t>(plain->payload),
                         static_cast<size_t>(plain->payload_size))};
  }
  const size_t size = typed.size();
  if (size == 0) return {};
  const std::span<std::byte> out = allocate(size);
  typed.decode(out);
  return {out, true};
}

}  // namespace wshare

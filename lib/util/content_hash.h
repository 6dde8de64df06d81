#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace wshare {

// A content of more than one leaf is hashed leaf by leaf, so that all cores can work inside one
// tensor.
inline constexpr uint64_t kHashLeafBytes = uint64_t{4} << 20;

// 128 bits that name a byte string; not its name, dtype or shape.
//
// Up to kHashLeafBytes: XXH3-128 of the bytes. Above: XXH3-128 of the leaves' 16-byte digests in
// order, seeded with the size in bytes. Stored in canonical (big-endian) order. Source:
// docs/bundle-format.md, "Hashes".
struct ContentHash {
  std::array<uint8_t, 16> bytes{};
  auto operator<=>(const ContentHash&) const = default;
};

// Returns the hash of `content`.
ContentHash content_hash(std::span<const std::byte> content);

// Returns the hash of `content`, its leaves hashed on up to `threads` threads.
ContentHash content_hash(std::span<const std::byte> content, unsigned threads);

// Returns the hash of a content of `size` bytes from the digests of its leaves: ceil(size / leaf)
// of them, one for an empty content.
ContentHash combine_leaves(std::span<const ContentHash> leaves, uint64_t size);

// Hashes bytes that arrive in pieces; digest() equals content_hash of all of them.
class ContentHasher {
 public:
  ContentHasher();
  ~ContentHasher();
  ContentHasher(const ContentHasher&) = delete;
  ContentHasher& operator=(const ContentHasher&) = delete;

  void update(std::span<const std::byte> piece);
  ContentHash digest() const;

 private:
  void finish_leaf();
  void* state_;  // XXH3_state_t, owned
  uint64_t size_ = 0;
  uint64_t leaf_size_ = 0;
  std::vector<ContentHash> leaves_;
};

// Returns 32 lower-case hex digits.
std::string to_hex(const ContentHash& hash);

// Returns the hash written as 32 lower-case hex digits.
//
// Throws Error(kInvalid) if `hex` is anything else.
ContentHash parse_hash(std::string_view hex);

}  // namespace wshare

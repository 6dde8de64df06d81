#include "util/content_hash.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "util/parallel.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

ContentHash canonical(XXH128_hash_t value) {
  XXH128_canonical_t bytes;
  XXH128_canonicalFromHash(&bytes, value);
  ContentHash hash;
  static_assert(sizeof bytes.digest == sizeof hash.bytes);
  std::memcpy(hash.bytes.data(), bytes.digest, sizeof bytes.digest);
  return hash;
}

ContentHash leaf_hash(std::span<const std::byte> leaf) {
  return canonical(XXH3_128bits(leaf.data(), leaf.size()));
}

XXH3_state_t* as_state(void* state) { return static_cast<XXH3_state_t*>(state); }

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

ContentHash combine_leaves(std::span<const ContentHash> leaves, uint64_t size) {
  if (leaves.size() == 1) return leaves[0];
  static_assert(sizeof(ContentHash) == 16);
  return canonical(XXH3_128bits_withSeed(leaves.data(), leaves.size_bytes(), size));
}

ContentHash content_hash(std::span<const std::byte> content) { return content_hash(content, 1); }

ContentHash content_hash(std::span<const std::byte> content, unsigned threads) {
  const size_t count = content.empty() ? 1 : (content.size() - 1) / kHashLeafBytes + 1;
  std::vector<ContentHash> leaves(count);
  parallel_for(count, threads, [&](size_t i) {
    const size_t begin = i * kHashLeafBytes;
    leaves[i] =
        leaf_hash(content.subspan(begin, std::min<size_t>(kHashLeafBytes, content.size() - begin)));
  });
  return combine_leaves(leaves, content.size());
}

ContentHasher::ContentHasher() : state_(XXH3_createState()) {
  if (state_ == nullptr) throw std::bad_alloc();
  XXH3_128bits_reset(as_state(state_));
}

ContentHasher::~ContentHasher() { XXH3_freeState(as_state(state_)); }

void ContentHasher::update(std::span<const std::byte> piece) {
  size_ += piece.size();
  while (!piece.empty()) {
    if (leaf_size_ == kHashLeafBytes) finish_leaf();
    const size_t take = std::min<size_t>(piece.size(), kHashLeafBytes - leaf_size_);
    XXH3_128bits_update(as_state(state_), piece.data(), take);
    leaf_size_ += take;
    piece = piece.subspan(take);
  }
}

void ContentHasher::finish_leaf() {
  leaves_.push_back(canonical(XXH3_128bits_digest(as_state(state_))));
  XXH3_128bits_reset(as_state(state_));
  leaf_size_ = 0;
}

ContentHash ContentHasher::digest() const {
  std::vector<ContentHash> leaves = leaves_;
  leaves.push_back(canonical(XXH3_128bits_digest(as_state(state_))));
  return combine_leaves(leaves, size_);
}

std::string to_hex(const ContentHash& hash) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : hash.bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

ContentHash parse_hash(std::string_view hex) {
  ContentHash hash;
  bool right = hex.size() == 2 * hash.bytes.size();
  for (size_t i = 0; right && i < hash.bytes.size(); ++i) {
    const int high = hex_digit(hex[2 * i]);
    const int low = hex_digit(hex[2 * i + 1]);
    right = high >= 0 && low >= 0;
    hash.bytes[i] = static_cast<uint8_t>(high * 16 + low);
  }
  if (!right) throw Error(ErrorCode::kInvalid, in_quotes(hex) + ": no hash of 32 hex digits");
  return hash;
}

}  // namespace wshare

#include "util/sha256.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <new>

#include "util/hex.h"

namespace wshare {

namespace {

EVP_MD_CTX* context(void* state) { return static_cast<EVP_MD_CTX*>(state); }

// OpenSSL fails here only where it has no memory.
void require(int success) {
  if (success != 1) throw std::bad_alloc();
}

}  // namespace

Sha256::Sha256() : state_(EVP_MD_CTX_new()) {
  if (state_ == nullptr) throw std::bad_alloc();
  begin();
}

Sha256::~Sha256() { EVP_MD_CTX_free(context(state_)); }

void Sha256::begin() { require(EVP_DigestInit_ex(context(state_), EVP_sha256(), nullptr)); }

void Sha256::update(std::span<const std::byte> piece) {
  require(EVP_DigestUpdate(context(state_), piece.data(), piece.size()));
}

std::string Sha256::finish() {
  std::array<unsigned char, 32> digest{};
  require(EVP_DigestFinal_ex(context(state_), digest.data(), nullptr));
  begin();
  return to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

std::string sha256_of(std::span<const std::byte> bytes) {
  Sha256 hasher;
  hasher.update(bytes);
  return hasher.finish();
}

bool is_sha256(std::string_view digits) {
  return digits.size() == 64 && std::all_of(digits.begin(), digits.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace wshare

#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace wshare {

// SHA-256 of bytes that arrive in pieces: what registries call a file by. Source: FIPS 180-4.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(std::span<const std::byte> piece);

  // Returns 64 lower-case hex digits of all that came, and begins anew.
  std::string finish();

 private:
  void begin();
  void* state_;  // EVP_MD_CTX, owned
};

// Returns the 64 lower-case hex digits of the SHA-256 of `bytes`.
std::string sha256_of(std::span<const std::byte> bytes);

// True for 64 lower-case hex digits.
bool is_sha256(std::string_view digits);

}  // namespace wshare

#include "format/codec/symbol_coder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "wshare/error.h"

namespace wshare {
namespace {

struct Message {
  std::vector<uint8_t> classes, symbols;

  std::string code() const {
    std::string bytes;
    encode_symbols(classes, symbols, bytes);
    return bytes;
  }
};

// Symbols of class c that are 0 but for one in 2^(c + 1).
Message skewed(size_t count, size_t classes) {
  std::mt19937 random(1);
  Message message;
  for (size_t i = 0; i < count; ++i) {
    message.classes.push_back(static_cast<uint8_t>(random() % classes));
    const bool zero = random() % (2u << message.classes.back()) != 0;
    message.symbols.push_back(static_cast<uint8_t>(zero ? 0 : 1 + random() % 3));
  }
  return message;
}

std::vector<uint8_t> decoded(const std::string& code, const std::vector<uint8_t>& classes,
                             size_t limit = kSymbols) {
  std::vector<uint8_t> symbols(classes.size());
  decode_symbols(std::as_bytes(std::span(code)), classes, limit, symbols);
  return symbols;
}

TEST(EncodeSymbols, RoundTrips) {
  Message all;  // every symbol in every class
  for (size_t i = 0; i < kSymbols * kSymbolClasses; ++i) {
    all.classes.push_back(static_cast<uint8_t>(i % kSymbolClasses));
    all.symbols.push_back(static_cast<uint8_t>(i / kSymbolClasses));
  }
  Message rare = skewed(300000, 1);  // symbols that get a share although they need less
  std::fill(rare.symbols.begin(), rare.symbols.end(), uint8_t{0});
  for (size_t i = 0; i < kSymbols; ++i) rare.symbols[i * 1000] = static_cast<uint8_t>(i);
  struct Case {
    const char* name;
    Message message;
  };
  for (const Case& c :
       {Case{"nothing", {}}, Case{"one", {{3}, {135}}}, Case{"three", {{0, 0, 1}, {1, 0, 0}}},
        Case{"one symbol only", {std::vector<uint8_t>(1000, 5), std::vector<uint8_t>(1000, 7)}},
        Case{"all", all}, Case{"rare", rare}, Case{"skewed", skewed(10007, 12)}}) {
    SCOPED_TRACE(c.name);
    const std::string code = c.message.code();
    EXPECT_EQ(decoded(code, c.message.classes), c.message.symbols);
    EXPECT_EQ(c.message.code(), code);
  }
}

TEST(EncodeSymbols, ComesCloseToTheEntropy) {
  constexpr size_t kCount = 200000;
  constexpr size_t kClasses = 6;
  const Message message = skewed(kCount, kClasses);
  double bits = 0;
  for (size_t c = 0; c < kClasses; ++c) {
    const double p = std::ldexp(0.5, -static_cast<int>(c));
    bits += -(1 - p) * std::log2(1 - p) + p * (std::log2(3) - std::log2(p));
  }
  const double expected = bits / kClasses * kCount / 8;
  EXPECT_LT(static_cast<double>(message.code().size()), 1.01 * expected + 100);
}

TEST(DecodeSymbols, RefusesEveryTruncationAndWhatFollows) {
  const Message message = skewed(500, 3);
  const std::string code = message.code();
  for (size_t size = 0; size < code.size(); ++size) {
    EXPECT_THROW(decoded(code.substr(0, size), message.classes), Error) << size;
  }
  EXPECT_THROW(decoded(code + std::string(2, '\0'), message.classes), Error);
  EXPECT_THROW(decoded(code + '\0', message.classes), Error);
}

TEST(DecodeSymbols, SeesOrSurvivesEveryBitFlip) {
  const Message message = skewed(500, 3);
  const std::string code = message.code();
  size_t seen = 0;
  for (size_t bit = 0; bit < code.size() * 8; ++bit) {
    std::string bad = code;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ 1 << bit % 8);
    try {
      EXPECT_NE(decoded(bad, message.classes), message.symbols) << bit;
    } catch (const Error&) {
      ++seen;
    }
  }
  EXPECT_GT(seen, code.size() * 8 * 9 / 10);
}

TEST(DecodeSymbols, RefusesHostileTables) {
  const std::string numbers("\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0", 16);
  const std::string unused(kSymbolClasses - 1, '\0');
  const std::string all("\x01\x90\x00", 3);  // 4096 shares for symbol 0
  const std::vector<uint8_t> zeros(5);
  EXPECT_EQ(decoded(all + unused + numbers, zeros), zeros);
  struct Case {
    const char* name;
    std::string code;
    std::vector<uint8_t> classes;
    size_t limit;
  };
  for (const Case& c : {
           Case{"no tables", "", zeros, kSymbols},
           Case{"no numbers", all + unused, zeros, kSymbols},
           Case{"class without shares", all + unused + numbers, {0, 1}, kSymbols},
           Case{"too few shares", std::string("\x01\x8f\xff", 3) + unused + numbers, zeros,
                kSymbols},
           Case{"too many shares", std::string("\x01\x90\x01", 3) + unused + numbers, zeros,
                kSymbols},
           Case{"too many shares in sum", std::string("\x02\x90\x00\x01", 4) + unused + numbers,
                zeros, kSymbols},
           Case{"too many symbols", std::string(1, '\x89') + std::string(136, '\0') + all + numbers,
                zeros, kSymbols},
           Case{"symbol above the limit", std::string("\x03\x00\x00\x90\x00", 5) + unused + numbers,
                zeros, 2},
           Case{"number too small", all + unused + std::string(16, '\0'), zeros, kSymbols},
       }) {
    SCOPED_TRACE(c.name);
    EXPECT_THROW(decoded(c.code, c.classes, c.limit), Error);
  }
}

}  // namespace
}  // namespace wshare

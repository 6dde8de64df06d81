#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace wshare {

// The entropy coder of the first residual format and of quantised tensors.
//
// Codes symbols close to their entropy, where each has a class that both sides know and symbols of
// one class are distributed alike. Lossless; the bytes depend on the input only.
// Source: docs/bundle-format.md, "Derived tensors"; J. Duda 2013, "Asymmetric numeral systems".

inline constexpr size_t kSymbolClasses = 16;
inline constexpr size_t kSymbols = 136;

// Appends the code of `symbols`, each less than kSymbols, to `out`. `classes` has the class of each
// symbol, less than kSymbolClasses. Small symbols must be the frequent ones to be coded fast.
void encode_symbols(std::span<const uint8_t> classes, std::span<const uint8_t> symbols,
                    std::string& out);

// Decodes all of `bytes` to `symbols`, as many as `classes` has.
//
// Throws Error(kInvalid) if that is not what encode_symbols() writes for `classes` and some symbols
// less than `limit`.
void decode_symbols(std::span<const std::byte> bytes, std::span<const uint8_t> classes,
                    size_t limit, std::span<uint8_t> symbols);

}  // namespace wshare

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "run/measure.h"
#include "run/parity.h"

namespace wshare {

// What a measurement must not pass; values without a limit are not looked at.
struct Limits {
  std::optional<uint64_t> pss;        // bytes
  std::optional<uint64_t> anonymous;  // bytes
  std::optional<uint64_t> device;     // bytes
  std::optional<double> create_ms;    // of each session
  std::optional<double> abs_diff;     // of each output
};

// Returns one line with both numbers per limit that is passed, in the order above. A difference
// that is no number exceeds every limit.
std::vector<std::string> find_exceeded(const Limits& limits, const Measurement& measurement,
                                       const std::vector<ParityRow>& parity);

}  // namespace wshare

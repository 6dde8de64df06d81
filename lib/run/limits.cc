#include "run/limits.h"

#include <fmt/format.h>

#include <cmath>

#include "util/text.h"

namespace wshare {
namespace {

void check_bytes(const char* what, uint64_t bytes, const std::optional<uint64_t>& limit,
                 std::vector<std::string>& exceeded) {
  if (!limit || bytes <= *limit) return;
  std::string has = format_bytes(bytes), allowed = format_bytes(*limit);
  if (has == allowed) {  // the difference is lost in rounding
    has = fmt::format("{} bytes", bytes);
    allowed = fmt::format("{} bytes", *limit);
  }
  exceeded.push_back(fmt::format("{} is {}, the limit is {}", what, has, allowed));
}

}  // namespace

std::vector<std::string> find_exceeded(const Limits& limits, const Measurement& measurement,
                                       const std::vector<ParityRow>& parity) {
  std::vector<std::string> exceeded;
  check_bytes("PSS", measurement.memory.pss, limits.pss, exceeded);
  check_bytes("anonymous memory", measurement.memory.anonymous, limits.anonymous, exceeded);
  check_bytes("memory of the device", measurement.memory.device, limits.device, exceeded);
  for (const SessionFigures& session : measurement.sessions) {
    if (!limits.create_ms || session.create_ms <= *limits.create_ms) continue;
    exceeded.push_back(fmt::format("{}: making a session took {:g} ms, the limit is {:g} ms",
                                   in_quotes(session.name()), session.create_ms,
                                   *limits.create_ms));
  }
  for (const ParityRow& row : parity) {
    const bool is_within =
        limits.abs_diff && std::isfinite(row.max_abs_diff) && row.max_abs_diff <= *limits.abs_diff;
    if (!limits.abs_diff || is_within) continue;
    exceeded.push_back(fmt::format("{}: output {} differs by {:g}, the limit is {:g}",
                                   in_quotes(row.model), in_quotes(row.output), row.max_abs_diff,
                                   *limits.abs_diff));
  }
  return exceeded;
}

}  // namespace wshare

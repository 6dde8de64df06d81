#include "format/packed_buffers.h"

#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

// Takes the part of `text` before the next `end`, and `end`, away from it.
std::string_view take_until(std::string_view& text, char end) {
  const std::string_view part = text.substr(0, text.find(end));
  text.remove_prefix(part.size() < text.size() ? part.size() + 1 : part.size());
  return part;
}

uint64_t parse(std::string_view number, std::string_view value) {
  const int64_t parsed = parse_decimal(number);
  if (parsed >= 0) return static_cast<uint64_t>(parsed);
  throw Error(ErrorCode::kInvalid,
              in_quotes(std::string(value.substr(0, 200))) + ": names no packed buffers");
}

}  // namespace

std::string move_packed_buffers(
    std::string_view value, const std::function<uint64_t(uint64_t offset, uint64_t size)>& moved) {
  std::string_view rest = value;
  std::string result(take_until(rest, '|'));
  while (!rest.empty()) {
    std::string_view buffer = take_until(rest, '|');
    const uint64_t offset = parse(take_until(buffer, ';'), value);
    const std::string_view size = take_until(buffer, ';');
    result += '|' + std::to_string(moved(offset, parse(size, value))) + ';' + std::string(size) +
              ';' + std::string(buffer);
  }
  return result;
}

}  // namespace wshare

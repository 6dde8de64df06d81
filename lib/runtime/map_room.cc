#include "runtime/map_room.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

// What must still be possible afterwards: stacks of threads take two maps each, a heap some.
constexpr uint64_t kLeftForOthers = 1024;

}  // namespace

uint64_t MapCount::room() const {
  const uint64_t taken = used + kLeftForOthers;
  return limit > taken ? limit - taken : 0;
}

std::optional<MapCount> count_maps() {
  MapCount count;
  if (!(std::ifstream("/proc/sys/vm/max_map_count") >> count.limit)) return std::nullopt;
  std::ifstream maps("/proc/self/maps");
  if (!maps) return std::nullopt;
  count.used = static_cast<uint64_t>(
      std::count(std::istreambuf_iterator<char>(maps), std::istreambuf_iterator<char>(), '\n'));
  return count;
}

std::string why_no_room(uint64_t needed, const std::optional<MapCount>& count) {
  if (needed == 0 || !count || needed <= count->room()) return "";
  return "a session has " + std::to_string(needed) +
         " tensors that ONNX Runtime maps, this process has room for " +
         std::to_string(count->room()) + " maps (it has " + std::to_string(count->used) + " of " +
         std::to_string(count->limit) + "), and the rest would be copied";
}

void require_map_room(const std::string& model, uint64_t needed,
                      const std::optional<MapCount>& count) {
  const std::string why = why_no_room(needed, count);
  if (why.empty()) return;
  throw Error(ErrorCode::kUnsupported, in_quotes(model) + ": " + why,
              "raise vm.max_map_count (sysctl), or keep small tensors in the model: dedupe "
              "--min-bytes 65536");
}

}  // namespace wshare

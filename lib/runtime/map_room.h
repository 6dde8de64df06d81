#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace wshare {

// The maps (of files and of memory) of a process: how many it has, and may have.
struct MapCount {
  uint64_t used = 0;
  uint64_t limit = 0;

  // Returns how many more there may be, when some are left for heap, threads and libraries.
  uint64_t room() const;
};

// Returns the count of this process; nothing where the system does not tell.
// Source: proc(5), /proc/pid/maps; Linux, admin-guide/sysctl/vm, max_map_count.
std::optional<MapCount> count_maps();

// Returns why ONNX Runtime cannot have `needed` maps of its own for a session, with all numbers;
// "" if it can.
std::string why_no_room(uint64_t needed, const std::optional<MapCount>& count = count_maps());

// Throws Error(kUnsupported) if ONNX Runtime cannot have `needed` maps of its own for a session of
// `model`. It would copy each tensor that it cannot map into private memory, without a word.
void require_map_room(const std::string& model, uint64_t needed,
                      const std::optional<MapCount>& count = count_maps());

}  // namespace wshare

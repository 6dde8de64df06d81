#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace wshare {

// Memory of this process, in bytes. Pages shared with other processes count by their share in
// `pss`.
struct MemoryFigures {
  uint64_t pss = 0;
  uint64_t anonymous = 0;
  uint64_t device = 0;  // of the device that sessions run on; 0 on the CPU
};

// Returns the figures of this process. Throws Error(kUnsupported) where the system does not give
// them. Source: proc(5), /proc/pid/smaps_rollup.
MemoryFigures measure_memory();

// Returns the threads of this process. Source: proc(5), /proc/pid/task.
size_t count_threads();

// Returns how many bytes of files wait for any disk; 0 where the system does not say.
uint64_t unwritten_bytes();

// Returns the same from the text of /proc/meminfo. Source: proc(5).
uint64_t parse_unwritten(const std::string& text);

// Returns the figures of measure_memory() from the text of smaps_rollup.
MemoryFigures parse_rollup(const std::string& text);

}  // namespace wshare

#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <istream>
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

// Returns the PSS of all maps of files in or below `folder`. Source: proc(5), /proc/pid/smaps.
uint64_t pss_of_files_below(const std::filesystem::path& folder);

// Returns the same from the text of smaps.
uint64_t parse_pss_below(std::istream& smaps, const std::string& folder);

// Returns how many bytes malloc has given out and not taken back; 0 where it is not glibc's (2.33
// or newer).
uint64_t heap_in_use();

// Gives free memory of the heap back to the system, where malloc can.
void trim_heap();

// Returns the threads of this process. Source: proc(5), /proc/pid/task.
size_t count_threads();

// Returns how many bytes of files wait for any disk; 0 where the system does not say.
uint64_t unwritten_bytes();

// Returns the same from the text of /proc/meminfo. Source: proc(5).
uint64_t parse_unwritten(const std::string& text);

// Returns the figures of measure_memory() from the text of smaps_rollup.
MemoryFigures parse_rollup(const std::string& text);

}  // namespace wshare

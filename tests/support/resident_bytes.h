#pragma once

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>

namespace wshare::test {

// Returns how many bytes of the files whose paths end so this process has in memory by its maps of
// them; of `field`: "Rss", or "Locked" for those that stay there.
inline uint64_t resident_bytes(const std::string& ending, const std::string& field = "Rss") {
  std::ifstream file("/proc/self/smaps");
  uint64_t kib = 0;
  bool counts = false;
  for (std::string line; std::getline(file, line);) {
    const std::string first = line.substr(0, line.find(' '));
    if (!first.ends_with(":")) counts = line.ends_with(ending);  // the head of a map
    if (!counts || first != field + ":") continue;
    uint64_t value = 0;
    std::istringstream(line.substr(first.size())) >> value;
    kib += value;
  }
  return kib << 10;
}

}  // namespace wshare::test

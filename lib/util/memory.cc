#include "util/memory.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "wshare/error.h"

namespace wshare {

MemoryFigures parse_rollup(const std::string& text) {
  MemoryFigures figures;
  bool has_pss = false;
  std::istringstream lines(text);
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string key;
    uint64_t kib = 0;
    if (!(words >> key >> kib)) continue;
    if (key == "Pss:") {
      figures.pss = kib * 1024;
      has_pss = true;
    }
    if (key == "Anonymous:") figures.anonymous = kib * 1024;
  }
  if (!has_pss) {
    throw Error(ErrorCode::kUnsupported,
                "'/proc/self/smaps_rollup': has no figures; this needs Linux 4.14 or newer");
  }
  return figures;
}

size_t count_threads() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return static_cast<size_t>(std::distance(begin(tasks), end(tasks)));
}

MemoryFigures measure_memory() {
  std::ifstream file("/proc/self/smaps_rollup");
  std::stringstream text;
  text << file.rdbuf();
  return parse_rollup(text.str());
}

}  // namespace wshare

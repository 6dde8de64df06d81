#include "util/memory.h"

#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "util/as_text.h"
#include "util/descriptor.h"
#include "util/file_calls.h"
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

uint64_t parse_unwritten(const std::string& text) {
  std::istringstream lines(text);
  std::string line;
  uint64_t bytes = 0;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string key;
    uint64_t kib = 0;
    if (words >> key >> kib && (key == "Dirty:" || key == "Writeback:")) bytes += kib * 1024;
  }
  return bytes;
}

uint64_t unwritten_bytes() {
  const Descriptor file(file_calls::open_at(AT_FDCWD, "/proc/meminfo", O_RDONLY | O_CLOEXEC));
  std::array<std::byte, 4096> bytes{};
  const int64_t size = file.number() < 0 ? -1 : file_calls::read_at(file.number(), bytes, 0);
  if (size <= 0) return 0;
  return parse_unwritten(std::string(as_text({bytes.data(), static_cast<size_t>(size)})));
}

}  // namespace wshare

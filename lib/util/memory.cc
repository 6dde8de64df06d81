#include "util/memory.h"

#include <malloc.h>

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

// A map is a line "FROM-TO PERMISSIONS OFFSET DEVICE INODE PATH", then lines "KEY: VALUE kB".
uint64_t parse_pss_below(std::istream& smaps, const std::string& folder) {
  uint64_t bytes = 0;
  bool is_below = false;
  std::string line;
  while (std::getline(smaps, line)) {
    const size_t space = line.find(' ');
    if (space != line.npos && space > 0 && line[space - 1] != ':') {
      const size_t path = line.find('/');
      is_below = path != line.npos && line.compare(path, folder.size(), folder) == 0 &&
                 line.size() > path + folder.size() && line[path + folder.size()] == '/';
    } else if (is_below && line.starts_with("Pss:")) {
      bytes += std::stoull(line.substr(4)) * 1024;
    }
  }
  return bytes;
}

uint64_t pss_of_files_below(const std::filesystem::path& folder) {
  std::ifstream file("/proc/self/smaps");
  return parse_pss_below(file, std::filesystem::weakly_canonical(folder).string());
}

uint64_t heap_in_use() {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
  const struct mallinfo2 heap = mallinfo2();
  return heap.uordblks + heap.hblkhd;
#else
  return 0;
#endif
}

void trim_heap() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
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

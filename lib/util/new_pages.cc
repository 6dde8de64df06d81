#include "util/new_pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

namespace wshare {
namespace {

uintptr_t page_size() { return static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE)); }

uintptr_t address_of(const std::byte* byte) { return reinterpret_cast<uintptr_t>(byte); }

// Without a buffer: only whole entries can be read.
void open_pages(std::ifstream& pages) {
  pages.rdbuf()->pubsetbuf(nullptr, 0);
  pages.open("/proc/self/pagemap", std::ios::binary);
}

// Source: Linux, admin-guide/mm/pagemap: 64 bits for each page of the process.
std::vector<bool> read_pages(std::ifstream& pages, std::span<const std::byte> bytes) {
  if (bytes.empty()) return {};
  constexpr uint64_t kPresent = uint64_t{1} << 63;
  const uintptr_t page = page_size();
  const uintptr_t first = address_of(bytes.data()) / page;
  const uintptr_t end = (address_of(bytes.data()) + bytes.size() - 1) / page + 1;
  std::vector<uint64_t> entries(end - first);
  pages.seekg(static_cast<std::streamoff>(first * sizeof(uint64_t)));
  pages.read(reinterpret_cast<char*>(entries.data()),
             static_cast<std::streamsize>(entries.size() * sizeof(uint64_t)));
  std::vector<bool> resident(entries.size());
  if (!pages) return resident;
  for (size_t i = 0; i < entries.size(); ++i) resident[i] = (entries[i] & kPresent) != 0;
  return resident;
}

}  // namespace

std::vector<bool> resident_pages(std::span<const std::byte> bytes) {
  std::ifstream pages;
  open_pages(pages);
  return read_pages(pages, bytes);
}

NewPages::NewPages() { open_pages(pages_); }

void NewPages::watch(std::span<const std::byte> bytes) {
  pieces_.push_back({bytes, read_pages(pages_, bytes)});
}

void NewPages::drop() const {
  const uintptr_t page = page_size();
  for (const Piece& piece : pieces_) {
    const uintptr_t first = address_of(piece.bytes.data()) / page * page;
    const std::vector<bool>& was = piece.was_resident;
    for (size_t begin = 0; begin < was.size();) {
      size_t end = begin;
      while (end < was.size() && !was[end]) ++end;
      if (end > begin)
        ::madvise(reinterpret_cast<void*>(first + begin * page), (end - begin) * page,
                  MADV_DONTNEED);
      begin = end + 1;
    }
  }
}

}  // namespace wshare

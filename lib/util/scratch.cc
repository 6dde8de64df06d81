#include "util/scratch.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "util/descriptor.h"
#include "util/file_calls.h"
#include "util/left_over.h"
#include "util/temporary_folder.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

// Returns a new file in `folder` that has no name, or errno in it.
Descriptor open_nameless(const std::filesystem::path& folder) {
  Descriptor file(
      file_calls::open_at(AT_FDCWD, folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (file.number() >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
    return file;
  // Not every file system makes such files; overlays of containers do since Linux 6.1.
  const std::filesystem::path path = folder / hidden_name("wshare");
  file = Descriptor(file_calls::open_at(AT_FDCWD, path.c_str(),
                                        O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (file.number() >= 0) file_calls::unlink_at(AT_FDCWD, path.c_str());
  return file;
}

// Returns true once writing to a map of `file` cannot meet a full disk, which would raise SIGBUS.
bool make_room(int file, size_t size) {
  if (file_calls::allocate(file, size) == 0) return true;
  if (errno != EOPNOTSUPP && errno != EINVAL && errno != ENOSYS) return false;
  static constexpr std::array<std::byte, 65536> kZeros{};
  for (size_t at = 0; at < size; at += kZeros.size()) {
    const auto piece = std::span(kZeros).first(std::min(kZeros.size(), size - at));
    if (file_calls::write_at(file, piece, at) != 0) return false;
  }
  return true;
}

}  // namespace

void Scratch::Unmap::operator()(std::byte* data) const { munmap(data, size); }

std::span<std::byte> Scratch::allocate(size_t size) {
  constexpr size_t kLargestOnHeap = size_t{256} << 10;
  if (size <= kLargestOnHeap) {
    heap_.push_back(std::make_unique<std::byte[]>(size));
    return {heap_.back().get(), size};
  }
  const std::filesystem::path folder = folder_of_temporary_files();
  void* data = MAP_FAILED;
  int error = 0;
  {
    const Descriptor file = open_nameless(folder);
    if (file.number() >= 0 && make_room(file.number(), size))
      data = file_calls::map(file.number(), size, PROT_READ | PROT_WRITE, MAP_SHARED);
    error = errno;
  }
  if (data == MAP_FAILED) {
    throw Error(ErrorCode::kIo,
                in_quotes(folder.string()) + ": no room for " + format_bytes(size) +
                    " of decoded tensors: " + std::strerror(error),
                "set TMPDIR to a folder with more space");
  }
  files_.emplace_back(static_cast<std::byte*>(data), Unmap{size});
  return {files_.back().get(), size};
}

}  // namespace wshare

#include "util/scratch.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "util/text.h"
#include "wshare/error.h"

namespace wshare {

void Scratch::Unmap::operator()(std::byte* data) const { munmap(data, size); }

std::span<std::byte> Scratch::allocate(size_t size) {
  constexpr size_t kLargestOnHeap = size_t{256} << 10;
  if (size <= kLargestOnHeap) {
    heap_.push_back(std::make_unique<std::byte[]>(size));
    return {heap_.back().get(), size};
  }
  std::error_code no_folder;
  const std::filesystem::path folder = std::filesystem::temp_directory_path(no_folder);
  if (no_folder)
    throw Error(ErrorCode::kIo, "no folder for temporary files: " + no_folder.message(),
                "set TMPDIR to one that exists");
  const int descriptor = open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  int error = errno;
  void* data = MAP_FAILED;
  // Reserving first: writing through a map of a file without space would raise SIGBUS.
  if (descriptor >= 0) error = posix_fallocate(descriptor, 0, static_cast<off_t>(size));
  if (descriptor >= 0 && error == 0) {
    data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    error = errno;
  }
  if (descriptor >= 0) close(descriptor);
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

#include "util/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "util/file_calls.h"
#include "util/text.h"
#include "wshare/error.h"

// A mapped page beyond the end of its file raises SIGBUS. The handler may not throw, lock or
// allocate; it looks the address up in a fixed table, marks that file as damaged and puts a page of
// zeros under the reader, which then runs to its next check_unchanged(). Files over the table's
// size stay unguarded.

namespace wshare {
namespace {

struct GuardSlot {
  std::atomic<uintptr_t> begin{0};
  std::atomic<uintptr_t> end{0};
  std::atomic<bool> taken{false};
  std::atomic<bool> damaged{false};
};
std::array<GuardSlot, 16384> guard_slots;
std::atomic<int> guard_slots_used{0};  // no slot at or above this index was ever taken

void on_sigbus(int signal_number, siginfo_t* details, void*) {
  const auto address = reinterpret_cast<uintptr_t>(details->si_addr);
  const int used = guard_slots_used.load();
  for (int i = 0; i < used; ++i) {
    GuardSlot& slot = guard_slots[static_cast<size_t>(i)];
    if (address < slot.begin.load() || address >= slot.end.load()) continue;
    const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    slot.damaged = true;
    if (mmap(reinterpret_cast<void*>(address & ~(page - 1)), page, PROT_READ,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED) {
      return;
    }
  }
  std::signal(signal_number, SIG_DFL);  // not ours: the second fault ends the process as usual
}

int take_guard_slot(const std::byte* data, size_t size) {
  for (size_t i = 0; i < guard_slots.size(); ++i) {
    GuardSlot& slot = guard_slots[i];
    if (slot.taken.exchange(true)) continue;
    slot.damaged = false;
    slot.begin = reinterpret_cast<uintptr_t>(data);
    slot.end = slot.begin + size;
    int used = guard_slots_used.load();
    const int needed = static_cast<int>(i) + 1;
    while (used < needed && !guard_slots_used.compare_exchange_weak(used, needed)) {
    }
    return static_cast<int>(i);
  }
  return -1;
}

int64_t changed_ns(const struct stat& status) {
  return int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
}

constexpr char kChangedHint[] = "run it again when nothing writes to the file";

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what, int error) {
  throw Error(ErrorCode::kIo, in_quotes(path.string()) + ": " + what + ": " + std::strerror(error));
}

}  // namespace

FileId file_id(const std::filesystem::path& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) {
    throw Error(ErrorCode::kIo, in_quotes(path.string()) + ": " + std::strerror(errno));
  }
  return {status.st_dev, status.st_ino};
}

MappedFile MappedFile::open(const std::filesystem::path& path) {
  MappedFile file(path);
  // O_NONBLOCK: a named pipe without a writer must not hang us; it is refused below.
  file.descriptor_ = file_calls::open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file.descriptor_ < 0) fail(path, "cannot open", errno);
  struct stat status {};
  if (fstat(file.descriptor_, &status) != 0) fail(path, "cannot stat", errno);
  if (!S_ISREG(status.st_mode)) {
    throw Error(ErrorCode::kIo, in_quotes(path.string()) + ": is not a regular file");
  }
  file.size_ = static_cast<size_t>(status.st_size);
  file.id_ = {status.st_dev, status.st_ino};
  file.changed_ns_ = changed_ns(status);
  if (file.size_ == 0) return file;
  void* data = file_calls::map(file.descriptor_, file.size_, PROT_READ, MAP_PRIVATE);
  if (data == MAP_FAILED) fail(path, "cannot map", errno);
  file.data_ = static_cast<const std::byte*>(data);
  file.guard_slot_ = take_guard_slot(file.data_, file.size_);
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      id_(other.id_),
      changed_ns_(other.changed_ns_),
      guard_slot_(std::exchange(other.guard_slot_, -1)) {}

MappedFile::~MappedFile() {
  if (guard_slot_ >= 0) {
    GuardSlot& slot = guard_slots[static_cast<size_t>(guard_slot_)];
    slot.begin = 0;
    slot.end = 0;
    slot.taken = false;
  }
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
  if (descriptor_ >= 0) ::close(descriptor_);  // nothing of a reader can be lost
}

void MappedFile::check_unchanged() const {
  struct stat status {};
  if (fstat(descriptor_, &status) != 0) fail(path_, "cannot stat", errno);
  const bool damaged = guard_slot_ >= 0 && guard_slots[static_cast<size_t>(guard_slot_)].damaged;
  const auto size_now = static_cast<uint64_t>(status.st_size);
  if (size_now != size_) {
    throw Error(ErrorCode::kIo,
                in_quotes(path_.string()) + ": changed while it was read: had " +
                    std::to_string(size_) + " bytes, has " + std::to_string(size_now),
                kChangedHint);
  }
  if (damaged || changed_ns(status) != changed_ns_) {
    throw Error(ErrorCode::kIo, in_quotes(path_.string()) + ": changed while it was read",
                kChangedHint);
  }
}

void MappedFile::drop_pages() const {
  if (data_ != nullptr) madvise(const_cast<std::byte*>(data_), size_, MADV_DONTNEED);
}

void install_sigbus_guard() {
  struct sigaction action {};
  action.sa_sigaction = on_sigbus;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, nullptr);
}

}  // namespace wshare

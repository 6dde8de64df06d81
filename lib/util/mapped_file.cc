#include "util/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
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

// AddressSanitizer's own; null without it. Behind the end of a file its last page has zeros that
// can be read: under the sanitizer that is an error, as behind the end of a heap block.
extern "C" __attribute__((weak)) void __asan_poison_memory_region(const volatile void*, size_t);
extern "C" __attribute__((weak)) void __asan_unpoison_memory_region(const volatile void*, size_t);

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
// As many as Linux lets a process map, by its default; pages of slots that are never taken take no
// memory.
std::array<GuardSlot, 65536> guard_slots;
std::atomic<int> guard_slots_used{0};  // no slot at or above this index was ever taken
std::atomic<size_t> guard_slots_taken{0};
std::atomic<size_t> guard_slot_to_try{0};  // where a free one is likely

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
  if (guard_slots_taken.fetch_add(1) >= guard_slots.size()) {
    --guard_slots_taken;
    return -1;
  }
  // From the one that was taken or given back last, or a process with ten thousand maps would look
  // at all of them for each.
  for (size_t i = guard_slot_to_try;; i = (i + 1) % guard_slots.size()) {
    GuardSlot& slot = guard_slots[i];
    if (slot.taken.exchange(true)) continue;
    guard_slot_to_try = (i + 1) % guard_slots.size();
    slot.damaged = false;
    slot.begin = reinterpret_cast<uintptr_t>(data);
    slot.end = slot.begin + size;
    int used = guard_slots_used.load();
    const int needed = static_cast<int>(i) + 1;
    while (used < needed && !guard_slots_used.compare_exchange_weak(used, needed)) {
    }
    return static_cast<int>(i);
  }
}

void mark_rest_of_page(const std::byte* data, size_t size,
                       void (*mark)(const volatile void*, size_t)) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  if (mark != nullptr && size % page != 0) mark(data + size, page - size % page);
}

constexpr char kChangedHint[] = "run it again when nothing writes to the file";

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what, int error) {
  throw Error(ErrorCode::kIo, in_quotes(path.string()) + ": " + what + ": " + std::strerror(error));
}

// Closes at the end of its scope; nothing of a reader can be lost.
struct OpenFile {
  int number;
  ~OpenFile() {
    if (number >= 0) ::close(number);
  }
};

// A named pipe without a writer must not hang us; what is no regular file is refused later.
constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;

}  // namespace

MappedFile MappedFile::open(const std::filesystem::path& path) {
  MappedFile file(nullptr, path);
  file.map(file_calls::open_at(AT_FDCWD, path.c_str(), kFlags));
  return file;
}

MappedFile MappedFile::open(std::shared_ptr<const Folder> folder, const std::string& name) {
  const int directory = folder->descriptor();
  std::filesystem::path path = folder->path() / name;
  MappedFile file(std::move(folder), std::move(path));
  file.map(file_calls::open_at(directory, name.c_str(), kFlags));
  return file;
}

void MappedFile::map(int number) {
  const int error = errno;
  const OpenFile descriptor{number};
  if (number < 0) fail(path_, "cannot open", error);
  stamp_ = stamp_of(number, path_);
  if (!stamp_.is_regular)
    throw Error(ErrorCode::kIo, in_quotes(path_.string()) + ": is not a regular file");
  size_ = static_cast<size_t>(stamp_.size);
  if (size_ == 0) return;
  void* data = file_calls::map(number, size_, PROT_READ, MAP_PRIVATE);
  if (data == MAP_FAILED) fail(path_, "cannot map", errno);
  data_ = static_cast<const std::byte*>(data);
  mark_rest_of_page(data_, size_, __asan_poison_memory_region);
  guard_slot_ = take_guard_slot(data_, size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : folder_(std::move(other.folder_)),
      path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      stamp_(other.stamp_),
      guard_slot_(std::exchange(other.guard_slot_, -1)) {}

MappedFile::~MappedFile() {
  if (guard_slot_ >= 0) {
    GuardSlot& slot = guard_slots[static_cast<size_t>(guard_slot_)];
    slot.begin = 0;
    slot.end = 0;
    slot.taken = false;
    guard_slot_to_try = static_cast<size_t>(guard_slot_);
    --guard_slots_taken;
  }
  if (data_ == nullptr) return;
  mark_rest_of_page(data_, size_, __asan_unpoison_memory_region);
  munmap(const_cast<std::byte*>(data_), size_);
}

std::optional<FileStamp> MappedFile::stamp_now() const {
  return folder_ == nullptr ? look_up(path_) : folder_->look_up(path_.filename().string());
}

std::filesystem::path MappedFile::open_path() const {
  return folder_ == nullptr ? path_ : folder_->path_of(path_.filename().string());
}

bool MappedFile::is_damaged() const {
  return guard_slot_ >= 0 && guard_slots[static_cast<size_t>(guard_slot_)].damaged;
}

bool MappedFile::is_unchanged() const { return !is_damaged() && stamp_now() == stamp_; }

// One look at the name: between two, another file may take it.
bool MappedFile::was_written_to() const {
  const std::optional<FileStamp> now = stamp_now();
  return is_damaged() || (now && now->id == stamp_.id && *now != stamp_);
}

void MappedFile::check_unchanged() const {
  if (is_unchanged()) return;
  const std::optional<FileStamp> now = stamp_now();
  std::string what = ": changed while it was read";
  if (!now) what += ": is gone";
  if (now && now->size != size_)
    what += ": had " + std::to_string(size_) + " bytes, has " + std::to_string(now->size);
  throw Error(ErrorCode::kIo, in_quotes(path_.string()) + what, kChangedHint);
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

#include "util/left_over.h"

#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <thread>

#include "util/file_calls.h"
#include "util/folder.h"
#include "util/interrupt.h"
#include "util/output_errors.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz012345";
constexpr size_t kRandomLetters = 10;

std::string hidden_front(std::string_view name) {
  constexpr size_t kLongestFront = 200;  // so that what is written may have any name
  return "." + std::string(name.substr(0, kLongestFront)) + ".wshare-";
}

bool is_hidden_name(std::string_view candidate, std::string_view front) {
  return candidate.size() == front.size() + kRandomLetters && candidate.starts_with(front) &&
         candidate.find_first_not_of(kLetters, front.size()) == std::string_view::npos;
}

// Deletes `name` in the open folder `parent`, with all that is in it.
void remove_at(int parent, const std::string& name) {
  if (file_calls::unlink_at(parent, name.c_str()) == 0 || (errno != EISDIR && errno != EPERM))
    return;
  {
    const Descriptor folder(
        file_calls::open_at(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (folder.number() < 0) return;
    for (const std::string& each : list_folder(folder.number()).names)
      remove_at(folder.number(), each);
  }
  file_calls::unlink_at(parent, name.c_str(), AT_REMOVEDIR);
}

bool is_mine(int descriptor) {
  struct stat opened {};
  return ::fstat(descriptor, &opened) == 0 && opened.st_uid == ::geteuid();
}

Descriptor open_folder(const fs::path& folder) {
  return Descriptor(
      file_calls::open_at(AT_FDCWD, folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

}  // namespace

std::string hidden_name(std::string_view name) {
  std::array<unsigned char, kRandomLetters> random{};
  if (::getrandom(random.data(), random.size(), 0) <
      0) {  // never for so few bytes, says the manual
    const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
    for (size_t i = 0; i < random.size(); ++i) random[i] = static_cast<unsigned char>(now >> i * 5);
  }
  std::string result = hidden_front(name);
  for (const unsigned char byte : random) result += kLetters[byte % kLetters.size()];
  return result;
}

void clear_left_over(const fs::path& folder, std::string_view name) {
  const Descriptor parent = open_folder(folder);
  if (parent.number() < 0) return;
  const std::string front = hidden_front(name);
  for (const std::string& each : list_folder(parent.number()).names) {
    if (!is_hidden_name(each, front)) continue;
    const Descriptor found(file_calls::open_at(parent.number(), each.c_str(),
                                               O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (found.number() < 0 || !is_mine(found.number())) continue;
    if (file_calls::lock(found.number(), LOCK_EX | LOCK_NB) != 0) continue;
    if (leads_to(parent.number(), each, found.number())) remove_at(parent.number(), each);
  }
}

Descriptor make_hidden_folder(const fs::path& parent, std::string_view name, unsigned mode,
                              fs::path& made) {
  constexpr int kTries = 100;
  const fs::path target = parent / name;
  const Descriptor above = open_folder(parent.empty() ? fs::path(".") : parent);
  if (above.number() < 0) fail_output(target, "cannot create a folder beside it", errno);
  const Unstoppable making;
  for (int i = 0; i < kTries; ++i) {
    const std::string hidden = hidden_name(name);
    if (file_calls::make_folder_at(above.number(), hidden.c_str(), mode) != 0) {
      if (errno == EEXIST) continue;
      fail_output(target, "cannot create a folder beside it", errno);
    }
    Descriptor folder(file_calls::open_at(above.number(), hidden.c_str(),
                                          O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (folder.number() < 0) {
      const int error = errno;
      if (error == ENOENT) continue;  // taken for left over, see below
      file_calls::unlink_at(above.number(), hidden.c_str(), AT_REMOVEDIR);
      fail_output(target, "cannot create a folder beside it", error);
    }
    // Between making and locking another writer of this name may have taken it for left over. A
    // file system without locks has no such writers.
    if (file_calls::lock(folder.number(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) continue;
    if (!leads_to(above.number(), hidden, folder.number())) continue;
    made = parent / hidden;
    return folder;
  }
  fail_output(target, "cannot create a folder beside it", EEXIST);
}

bool remove_folder(const fs::path& folder) {
  constexpr int kTries = 50;
  std::error_code error;
  for (int i = 0; i < kTries; ++i) {
    remove_at(AT_FDCWD, folder.string());  // fails where a file is made in it meanwhile
    if (fs::symlink_status(folder, error).type() == fs::file_type::not_found) return true;
    if (i > 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

}  // namespace wshare

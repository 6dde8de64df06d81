#include "restore/file_plan.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

constexpr size_t kLongestName = 255, kLongestPath = 4095;  // NAME_MAX and PATH_MAX of Linux

[[noreturn]] void refuse(const fs::path& path, const std::string& why, const std::string& hint) {
  throw Error(ErrorCode::kInvalid, in_quotes(path.string()) + ": " + why, hint);
}

bool is_odd(const std::string& name) {
  return name[0] == '.' || name[0] == '-' || std::any_of(name.begin(), name.end(), [](char c) {
           const auto byte = static_cast<unsigned char>(c);
           return byte < 0x20 || byte == 0x7f;
         });
}

}  // namespace

size_t FilePlan::add(const fs::path& path, uint64_t size) {
  const std::string name = path.filename().string();
  if (name.empty() || name == ".") refuse(output_ / path, "is no name of a file", "");
  number_of_.emplace(path.string(), paths_.size());
  paths_.push_back(path);
  sizes_.push_back(size);
  return paths_.size() - 1;
}

size_t FilePlan::add_model(const fs::path& path, uint64_t size) {
  const fs::path normal = path.lexically_normal();
  if (number_of_.contains(normal.string())) {
    refuse(output_ / path, "two originals have this place",
           "restore them one after the other, by name, to folders of their own");
  }
  is_external_.push_back(false);
  return add(normal, size);
}

size_t FilePlan::add_external(const fs::path& path, uint64_t size) {
  const fs::path normal = path.lexically_normal();
  const auto at = number_of_.find(normal.string());
  if (at == number_of_.end()) {
    is_external_.push_back(true);
    return add(normal, size);
  }
  if (!is_external_[at->second]) {
    refuse(output_ / path, "two originals have this place",
           "restore them one after the other, by name, to folders of their own");
  }
  return at->second;
}

void FilePlan::check(bool fresh) const {
  for (const fs::path& path : paths_) {
    const fs::path whole = output_ / path;
    if (whole.string().size() > kLongestPath)
      refuse(whole, "is longer than " + std::to_string(kLongestPath) + " bytes", "");
    for (const fs::path& part : path) {
      if (part.string().size() > kLongestName) {
        refuse(whole,
               "has a name of " + std::to_string(part.string().size()) + " bytes, " +
                   std::to_string(kLongestName) + " are the most",
               "");
      }
      if (!fresh && is_odd(part.string())) {
        refuse(whole, "is hidden, begins with '-' or has control characters",
               "such files come back only into a folder that is new or empty");
      }
    }
    const std::string name = path.string();
    for (size_t slash = name.rfind('/'); slash != std::string::npos && slash > 0;
         slash = name.rfind('/', slash - 1)) {
      const std::string above = name.substr(0, slash);
      if (number_of_.contains(above))
        refuse(whole, in_quotes((output_ / above).string()) + " is to be a file, too", "");
    }
  }
}

void FilePlan::check_room() const {
  fs::path there = output_;
  struct statvfs room {};
  while (::statvfs(there.empty() ? "." : there.c_str(), &room) != 0) {
    if (there.empty() || there == there.parent_path()) return;
    there = there.parent_path();
  }
  uint64_t left = uint64_t{room.f_bavail} * room.f_frsize;
  const uint64_t free_bytes = left;
  const bool enough = std::all_of(sizes_.begin(), sizes_.end(), [&](uint64_t size) {
    if (size > left) return false;
    left -= size;
    return true;
  });
  if (enough || room.f_blocks == 0) return;  // some file systems do not say
  uint64_t total = 0;
  for (const uint64_t size : sizes_) total = size > UINT64_MAX - total ? UINT64_MAX : total + size;
  throw Error(ErrorCode::kIo,
              in_quotes(output_.string()) + ": the originals take " + format_bytes(total) + ", " +
                  format_bytes(free_bytes) + " are free: " + std::strerror(ENOSPC),
              "make room on that disk, or write to another one");
}

}  // namespace wshare

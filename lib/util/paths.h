#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace wshare {

// True when `name` can be a file directly in a bundle on any system: not empty, at most 240 bytes,
// UTF-8, no separator of paths, no control byte, not hidden, not "." or "..".
inline constexpr size_t kLongestFileName = 240;
bool is_file_name(std::string_view name);

// True when `name` can be a file or folder of an original, which restore makes again: any single
// part of a path, of at most 255 bytes.
bool is_path_part(std::string_view name);

// Returns a name for is_file_name() that is like `name`: other bytes become '_', dots in front go,
// what is over `longest` bytes is cut; "model" where nothing is left.
std::string safe_file_name(std::string_view name, size_t longest = kLongestFileName);

// Returns `folder` / `relative`.
//
// Looks at the text only. Throws Error(kInvalid) if `relative` is empty, absolute, has a ".." or
// holds a zero byte.
std::filesystem::path join_inside(const std::filesystem::path& folder, std::string_view relative);

// True when the canonical form of `path` is `folder` or lies below it; neither needs to exist.
bool is_inside(const std::filesystem::path& path, const std::filesystem::path& folder);

// The same of two paths that are canonical already; looks at the text only.
bool is_below(const std::filesystem::path& path, const std::filesystem::path& folder);

// Canonical paths of many files in few folders: each folder is looked up once.
class CanonicalPaths {
 public:
  // Returns the canonical form of `path`. Throws Error(kIo) if there is no such file.
  std::filesystem::path of(const std::filesystem::path& path);

  // Returns where the file stands: its name in the canonical form of its folder. It may be a link.
  // Throws Error(kIo) if there is no such folder.
  std::filesystem::path place_of(const std::filesystem::path& path);

 private:
  std::map<std::filesystem::path, std::filesystem::path> folders_;
};

}  // namespace wshare

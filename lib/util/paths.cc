#include "util/paths.h"

#include <algorithm>
#include <string>

#include "util/text.h"
#include "util/utf8.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {

namespace {

bool is_plain(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x20 && byte != 0x7f && c != '/' && c != '\\';
}

}  // namespace

bool is_file_name(std::string_view name) {
  return !name.empty() && name.size() <= kLongestFileName && name[0] != '.' &&
         std::all_of(name.begin(), name.end(), is_plain) && is_utf8(name);
}

bool is_path_part(std::string_view name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

std::string safe_file_name(std::string_view name, size_t longest) {
  std::string safe;
  while (!name.empty()) {
    const Utf8Step step = utf8_step(name);
    const std::string_view part = step.valid && is_plain(name[0]) ? name.substr(0, step.size) : "_";
    name.remove_prefix(step.size);
    if (part == "." && safe.empty()) continue;
    if (safe.size() + part.size() > longest) break;
    safe += part;
  }
  return safe.empty() ? "model" : safe;
}

fs::path join_inside(const fs::path& folder, std::string_view relative) {
  const fs::path path(relative);
  const bool climbs = std::find(path.begin(), path.end(), fs::path("..")) != path.end();
  if (relative.empty() || path.is_absolute() || climbs ||
      relative.find('\0') != std::string_view::npos) {
    throw Error(
        ErrorCode::kInvalid,
        in_quotes(relative) + ": leaves its folder; only relative paths without '..' may be used");
  }
  return folder / path.lexically_normal();
}

bool is_inside(const fs::path& path, const fs::path& folder) {
  return is_below(fs::weakly_canonical(path), fs::weakly_canonical(folder));
}

bool is_below(const fs::path& path, const fs::path& folder) {
  const auto [in_folder, in_path] =
      std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  return in_folder == folder.end() || (in_folder->empty() && std::next(in_folder) == folder.end());
}

fs::path CanonicalPaths::of(const fs::path& path) {
  std::error_code error;
  const fs::file_type type = fs::symlink_status(path, error).type();
  fs::path result;
  if (type == fs::file_type::symlink || !path.has_filename()) {
    result = fs::canonical(path, error);
  } else if (!error) {
    return place_of(path);
  }
  if (error) throw Error(ErrorCode::kIo, in_quotes(path.string()) + ": " + error.message());
  return result;
}

fs::path CanonicalPaths::place_of(const fs::path& path) {
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  const auto [at, is_new] = folders_.try_emplace(folder);
  std::error_code error;
  if (is_new) at->second = fs::canonical(folder, error);
  if (error) throw Error(ErrorCode::kIo, in_quotes(path.string()) + ": " + error.message());
  return at->second / path.filename();
}

}  // namespace wshare

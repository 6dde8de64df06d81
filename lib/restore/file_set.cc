#include "restore/file_set.h"

#include <stdio.h>
#include <sys/stat.h>

#include <cerrno>
#include <set>
#include <system_error>
#include <utility>

#include "util/durable.h"
#include "util/file_calls.h"
#include "util/left_over.h"
#include "util/output_errors.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

constexpr char kName[] = "restore";  // of the hidden folder
constexpr int kFolder = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

// Old kernels and some file systems know no flags of rename.
bool has_no_flags(int error) { return error == EINVAL || error == ENOSYS || error == ENOTSUP; }

std::optional<struct stat> status_at(int folder, const std::string& name) {
  struct stat status {};
  if (::fstatat(folder, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return std::nullopt;
  return status;
}

[[noreturn]] void fail_taken(const fs::path& path, const struct stat& there) {
  if (S_ISDIR(there.st_mode)) {
    throw Error(ErrorCode::kIo, in_quotes(path.string()) + ": is a folder",
                "move it away, or write elsewhere");
  }
  throw Error(ErrorCode::kIo, in_quotes(path.string()) + ": exists already",
              "--force overwrites it");
}

[[noreturn]] void fail_folder(const fs::path& path, int parent, const std::string& name,
                              int error) {
  const std::optional<struct stat> there = status_at(parent, name);
  if (there && S_ISLNK(there->st_mode)) {
    throw Error(ErrorCode::kIo,
                in_quotes(path.string()) + ": is a symbolic link, and restore follows none",
                "move it away, or restore to another folder");
  }
  fail_output(path, "cannot make this folder", error);
}

fs::path without_slash(const fs::path& folder) {
  if (folder.empty()) return ".";
  return folder.has_filename() ? folder : folder.parent_path();
}

}  // namespace

FileSet::FileSet(const fs::path& folder, bool overwrite)
    : folder_(without_slash(folder)), overwrite_(overwrite) {
  std::error_code ignored;
  fs::path place = folder_;
  if (fs::symlink_status(folder_, ignored).type() == fs::file_type::not_found) {
    above_.make(folder_.parent_path());
    whole_.emplace(folder_, false);
    place = whole_->path();
  } else {
    clear_left_over(folder_, kName);
  }
  root_ = Descriptor(file_calls::open_at(AT_FDCWD, place.c_str(), kFolder));
  if (root_.number() < 0) fail_output(folder_, "cannot open", errno);
  batch_.emplace(root_.number(), ".", folder_);
  const Unstoppable making;
  hidden_ = make_hidden_folder(place, kName, 0777, hidden_path_);
  clean_up_.emplace([this] { return remove_folder(hidden_path_); });
}

FileSet::~FileSet() {
  if (!hidden_path_.empty()) remove_folder(hidden_path_);
}

void FileSet::check_free(const fs::path& path) const {
  const Descriptor parent = open_existing(path.parent_path());
  if (parent.number() < 0) return;
  const std::optional<struct stat> there = status_at(parent.number(), path.filename().string());
  if (there && (!overwrite_ || S_ISDIR(there->st_mode))) fail_taken(shown(path), *there);
}

OutputFile FileSet::create(size_t number, uint64_t size, const fs::path& shown_as) {
  return OutputFile(hidden_.number(), std::to_string(number), shown_as, size);
}

OutputFile FileSet::open_again(size_t number, const fs::path& shown_as) {
  return OutputFile::again(hidden_.number(), std::to_string(number), shown_as);
}

void FileSet::publish(const std::vector<fs::path>& paths) {
  batch_->finish();
  const Unstoppable publishing;
  try {
    for (size_t i = 0; i < paths.size(); ++i) place(i, paths[i]);
    if (!whole_) sync_placed();
  } catch (const Error& error) {
    std::string standing;
    for (const std::string& path : take_back())
      standing += (standing.empty() ? "; not taken back: " : ", ") + in_quotes(path);
    if (standing.empty()) throw;
    throw Error(error.code(), error.what() + standing, error.hint());
  }
  placed_.clear();
  remove_folder(hidden_path_);
  hidden_path_.clear();
  if (!whole_) return;
  above_.sync();
  whole_->commit();
  above_.keep();
}

// Returns the folder `path` below the root, opened without following a link; with `make`, folders
// that are missing are made.
Descriptor FileSet::open_below(const fs::path& path, bool make) {
  Descriptor at(file_calls::open_at(root_.number(), ".", kFolder));
  if (at.number() < 0) fail_output(folder_, "cannot open", errno);
  fs::path so_far;
  for (const fs::path& part : path) {
    so_far /= part;
    const std::string name = part.string();
    if (make && file_calls::make_folder_at(at.number(), name.c_str(), 0777) == 0) {
      made_.push_back(so_far);
    } else if (make && errno != EEXIST) {
      fail_output(shown(so_far), "cannot make this folder", errno);
    }
    Descriptor next(file_calls::open_at(at.number(), name.c_str(), kFolder | O_NOFOLLOW));
    if (next.number() < 0) fail_folder(shown(so_far), at.number(), name, errno);
    at = std::move(next);
  }
  return at;
}

// The same of a folder that may be missing, which gives none.
Descriptor FileSet::open_existing(const fs::path& path) const {
  Descriptor at(file_calls::open_at(root_.number(), ".", kFolder));
  fs::path so_far;
  for (const fs::path& part : path) {
    so_far /= part;
    Descriptor next(file_calls::open_at(at.number(), part.c_str(), kFolder | O_NOFOLLOW));
    if (next.number() < 0 && errno != ENOENT)
      fail_folder(shown(so_far), at.number(), part.string(), errno);
    if (next.number() < 0) return next;
    at = std::move(next);
  }
  return at;
}

void FileSet::place(size_t number, const fs::path& path) {
  const Descriptor folder = open_below(path.parent_path(), true);
  const std::string from = std::to_string(number), name = path.filename().string();
  constexpr int kTries = 100;  // what is in the way may come and go
  for (int i = 0; i < kTries; ++i) {
    if (place_in_free(from, folder.number(), name, shown(path))) {
      placed_.push_back({path, ""});
      return;
    }
    const std::optional<struct stat> there = status_at(folder.number(), name);
    if (!there) continue;
    if (!overwrite_ || S_ISDIR(there->st_mode)) fail_taken(shown(path), *there);
    std::string kept = exchange(from, folder.number(), name, shown(path));
    if (kept.empty()) continue;
    placed_.push_back({path, std::move(kept)});
    return;
  }
  fail_output(shown(path), "cannot put it there", EEXIST);
}

// Moves the hidden file `from` to a place where nothing is; returns false if something is there.
bool FileSet::place_in_free(const std::string& from, int folder, const std::string& name,
                            const fs::path& path) const {
  const char* const to = name.c_str();
  if (file_calls::rename_at(hidden_.number(), from.c_str(), folder, to, RENAME_NOREPLACE) == 0)
    return true;
  if (errno == EEXIST) return false;
  if (!has_no_flags(errno)) fail_output(path, "cannot put it there", errno);
  if (file_calls::link_at(hidden_.number(), from.c_str(), folder, to) == 0) return true;
  if (errno == EEXIST) return false;
  if (status_at(folder, name)) return false;  // without links there is nothing better
  if (file_calls::rename_at(hidden_.number(), from.c_str(), folder, to) == 0) return true;
  fail_output(path, "cannot put it there", errno);
}

// Moves the hidden file `from` to where another file is and keeps that one; returns under which
// hidden name, or "" if it went meanwhile.
std::string FileSet::exchange(const std::string& from, int folder, const std::string& name,
                              const fs::path& path) const {
  const int hidden = hidden_.number();
  if (file_calls::rename_at(hidden, from.c_str(), folder, name.c_str(), RENAME_EXCHANGE) == 0) {
    const std::optional<struct stat> kept = status_at(hidden, from);
    if (!kept || !S_ISDIR(kept->st_mode)) return from;
    file_calls::rename_at(hidden, from.c_str(), folder, name.c_str(), RENAME_EXCHANGE);
    fail_taken(path, *kept);
  }
  if (errno == ENOENT) return "";
  if (!has_no_flags(errno)) fail_output(path, "cannot put it there", errno);
  std::string kept = from + ".old";
  if (file_calls::rename_at(folder, name.c_str(), hidden, kept.c_str()) != 0)
    fail_output(path, "cannot put it there", errno);
  if (file_calls::rename_at(hidden, from.c_str(), folder, name.c_str()) == 0) return kept;
  const int error = errno;
  file_calls::rename_at(hidden, kept.c_str(), folder, name.c_str());
  fail_output(path, "cannot put it there", error);
}

void FileSet::sync_placed() {
  std::set<fs::path> folders;
  for (const Placed& placed : placed_) folders.insert(placed.path.parent_path());
  for (const fs::path& made : made_) folders.insert(made.parent_path());
  if (sync_all(root_.number(), folders.size(), 0, folder_)) return;
  for (const fs::path& each : folders) sync_folder(open_below(each, false).number(), shown(each));
}

// Returns what could not be undone.
std::vector<std::string> FileSet::take_back() {
  std::vector<std::string> standing;
  for (size_t i = placed_.size(); i-- > 0;) {
    if (!take_back(placed_[i])) standing.push_back(shown(placed_[i].path).string());
  }
  placed_.clear();
  for (size_t i = made_.size(); i-- > 0;)
    file_calls::unlink_at(root_.number(), made_[i].c_str(), AT_REMOVEDIR);
  return standing;
}

bool FileSet::take_back(const Placed& placed) {
  try {
    const Descriptor folder = open_below(placed.path.parent_path(), false);
    const std::string name = placed.path.filename().string();
    if (placed.kept.empty()) return file_calls::unlink_at(folder.number(), name.c_str()) == 0;
    return file_calls::rename_at(hidden_.number(), placed.kept.c_str(), folder.number(),
                                 name.c_str()) == 0;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace wshare

#include "bundle/staging.h"

#include <fcntl.h>
#include <stdio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "bundle/edit.h"
#include "util/file_calls.h"
#include "util/paths.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

constexpr std::string_view kPrefix = ".wshare-edit";
constexpr std::string_view kPlaced = ".placed";  // behind the name of a file that was moved away

[[noreturn]] void fail(const fs::path& path, const std::string& what, int error) {
  const bool forbidden = error == EACCES || error == EPERM || error == EROFS;
  throw Error(ErrorCode::kIo, in_quotes(path.string()) + ": " + what + ": " + std::strerror(error),
              forbidden ? "copy the bundle to where you may write; --dry-run only reads" : "");
}

int open_folder(int parent, const char* name) {
  return file_calls::open_at(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

// What a bundle calls its files: nothing else is ever deleted.
bool may_be_ours(const std::string& name) {
  constexpr std::array<std::string_view, 5> kExtensions = {".onnx", ".bin", ".onnx_adapter",
                                                           ".residual", ".archive"};
  return is_file_name(name) &&
         std::any_of(kExtensions.begin(), kExtensions.end(),
                     [&](std::string_view extension) { return name.ends_with(extension); });
}

bool is_same_file(int one, int other, const std::string& name) {
  const std::optional<FileId> id = id_at(one, name);
  return id && id == id_at(other, name);
}

// The number of the file `name` in `folder`, as a text; empty if there is none.
std::string number_of(int folder, const std::string& name) {
  const std::optional<FileId> id = id_at(folder, name);
  return id ? std::to_string(id->device) + ":" + std::to_string(id->inode) : "";
}

// True if the folder of an edit says that `name` in the bundle is a file of that edit's. Reads
// again what cannot be read once: else that file would stay.
bool is_placed(int bundle, int folder, const std::string& name) {
  if (is_same_file(bundle, folder, name)) return true;
  const std::string mark = name + std::string(kPlaced);
  std::array<char, 64> text{};
  int64_t size = file_calls::read_link_at(folder, mark.c_str(), text);
  if (size < 0 && errno != ENOENT) size = file_calls::read_link_at(folder, mark.c_str(), text);
  return size > 0 &&
         std::string_view(text.data(), static_cast<size_t>(size)) == number_of(bundle, name);
}

std::set<std::string> named_by(const Manifest& manifest) {
  std::set<std::string> named = {kManifestName};
  for (const BundleFile& file : files_of(manifest)) named.insert(file.name);
  return named;
}

// True if there is no `name` any more. What fails once is tried again: it costs nothing, and what
// stays is in the way of others.
bool remove(int folder, const std::string& name, int flags = 0) {
  for (int i = 0; i < 2; ++i) {
    if (file_calls::unlink_at(folder, name.c_str(), flags) == 0 || errno == ENOENT) return true;
  }
  return false;
}

// Empties the folder `staging` of `bundle` and deletes it.
bool clear_one(int bundle, const std::string& staging, const std::set<std::string>& named) {
  const Descriptor opened(open_folder(bundle, staging.c_str()));
  const int folder = opened.number();
  if (folder < 0) return errno == ENOENT;
  bool all = true;
  for (const std::string& name : list_folder(folder).names) {
    // The name in the bundle first: without the one here nobody would know whose it is.
    const std::string placed =
        name.ends_with(kPlaced) ? name.substr(0, name.size() - kPlaced.size()) : name;
    if (named.count(placed) == 0 && may_be_ours(placed) && is_placed(bundle, folder, placed) &&
        !remove(bundle, placed)) {
      all = false;
      continue;
    }
    all = remove(folder, name) && all;
  }
  return remove(bundle, staging, AT_REMOVEDIR) && all;
}

}  // namespace

bool is_staging_name(std::string_view name) { return name.starts_with(kPrefix); }

Staging::Staging(std::shared_ptr<const Folder> bundle) : bundle_(std::move(bundle)) {
  for (int number = 1;; ++number) {
    name_ = std::string(kPrefix) + (number == 1 ? "" : "-" + std::to_string(number));
    path_ = bundle_->path() / name_;
    if (file_calls::make_folder_at(bundle_->descriptor(), name_.c_str(), 0777) == 0) break;
    if (errno != EEXIST)
      fail(bundle_->path(), "cannot be changed: cannot make a folder in it", errno);
  }
  folder_ = Descriptor(open_folder(bundle_->descriptor(), name_.c_str()));
  if (folder_.number() >= 0) return;
  const int error = errno;
  file_calls::unlink_at(bundle_->descriptor(), name_.c_str(), AT_REMOVEDIR);
  fail(path_, "cannot open", error);
}

std::vector<std::string> Staging::names() const {
  Listing listing = list_folder(folder_.number());
  // A file that is not seen here would be missing from the bundle that is about to name it.
  if (listing.error != 0) fail(path_, "cannot list its files", listing.error);
  std::vector<std::string> names = std::move(listing.names);
  std::erase_if(names, [](const std::string& name) { return name.ends_with(kPlaced); });
  std::sort(names.begin(), names.end());
  return names;
}

void Staging::place_alone(const std::string& name) {
  const int bundle = bundle_->descriptor(), folder = folder_.number();
  const std::string number = number_of(folder, name), mark = name + std::string(kPlaced);
  if (file_calls::make_link_at(number.c_str(), folder, mark.c_str()) != 0) unlinked_.insert(name);
  if (file_calls::rename_at(folder, name.c_str(), bundle, name.c_str(), RENAME_NOREPLACE) == 0)
    return;
  const int error = errno;
  unlinked_.erase(name);
  fail(bundle_->path() / name, "cannot put a new file there", error);
}

void Staging::place(const std::string& name) {
  const int bundle = bundle_->descriptor();
  if (file_calls::link_at(folder_.number(), name.c_str(), bundle, name.c_str()) == 0) return;
  if (errno == EEXIST && is_same_file(folder_.number(), bundle, name)) return;  // placed already
  if (errno != EEXIST) {  // no hard links here
    unlinked_.insert(name);
    if (file_calls::rename_at(folder_.number(), name.c_str(), bundle, name.c_str(),
                              RENAME_NOREPLACE) == 0) {
      return;
    }
    unlinked_.erase(name);
  }
  fail(bundle_->path() / name, "cannot put a new file there", errno);
}

void Staging::note(const std::string& name) {
  const int bundle = bundle_->descriptor();
  if (file_calls::link_at(bundle, name.c_str(), folder_.number(), name.c_str()) != 0)
    unlinked_.insert(name);
}

void Staging::commit(const std::string& name) {
  if (file_calls::rename_at(folder_.number(), name.c_str(), bundle_->descriptor(), kManifestName) !=
      0) {
    fail(bundle_->path() / kManifestName, "cannot replace it", errno);
  }
}

bool Staging::clear(const Manifest& manifest) {
  const std::set<std::string> named = named_by(manifest);
  bool all = clear_one(bundle_->descriptor(), name_, named) ||
             clear_one(bundle_->descriptor(), name_, named);
  for (const std::string& name : unlinked_) {
    if (named.count(name) == 0) all = remove(bundle_->descriptor(), name) && all;
  }
  return all;
}

bool is_left_over(const Folder& bundle, const std::string& name) {
  if (!may_be_ours(name)) return false;
  for (const std::string& staging : list_folder(bundle.descriptor()).names) {
    if (!is_staging_name(staging)) continue;
    const Descriptor folder(open_folder(bundle.descriptor(), staging.c_str()));
    if (folder.number() >= 0 && is_placed(bundle.descriptor(), folder.number(), name)) return true;
  }
  return false;
}

bool clear_stagings(const Folder& bundle, const Manifest& manifest) {
  const std::set<std::string> named = named_by(manifest);
  bool all = true;
  for (const std::string& name : list_folder(bundle.descriptor()).names) {
    if (is_staging_name(name)) all = clear_one(bundle.descriptor(), name, named) && all;
  }
  return all;
}

}  // namespace wshare

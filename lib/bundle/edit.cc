#include "bundle/edit.h"

#include <algorithm>
#include <cstdio>
#include <set>
#include <tuple>
#include <utility>

#include "format/manifest_text.h"
#include "util/durable.h"
#include "util/output_file.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

// Where manifest.json is written before it takes its place. No manifest can name a hidden file.
constexpr char kNewManifest[] = ".manifest.json.wshare-new";

// Deletes those of `names` that `manifest` does not name; returns true if none is left. What cannot
// be deleted stays: it harms nobody.
bool delete_unnamed(const fs::path& folder, const std::vector<std::string>& names,
                    const Manifest& manifest) {
  std::set<std::string> named = {kManifestName};
  for (const BundleFile& file : files_of(manifest)) named.insert(file.name);
  bool all = true;
  for (const std::string& name : names) {
    if (named.count(name) != 0) continue;
    std::error_code error;
    fs::remove(folder / name, error);
    all = all && !error;
  }
  return all;
}

// A lock file is made only where there is a manifest to lock.
fs::path require_bundle(fs::path folder) {
  std::error_code ignored;
  if (!fs::exists(folder / kManifestName, ignored)) load_manifest(folder);
  return folder;
}

}  // namespace

const char* owner_of_name(const Manifest& manifest, const std::string& name) {
  const auto is_it = [&](const ModelRecord& model) { return model.name == name; };
  if (std::any_of(manifest.models.begin(), manifest.models.end(), is_it)) return "model";
  return find_task(manifest, name) == nullptr ? nullptr : "task";
}

std::set<std::string> bases_of_tasks(const Manifest& manifest) {
  std::set<std::string> bases;
  for (const TaskRecord& task : manifest.tasks) bases.insert(task.base);
  return bases;
}

std::vector<BundleFile> files_of(const Manifest& manifest) {
  std::vector<BundleFile> files;
  for (const BlobRecord& blob : manifest.blobs) files.push_back({blob.file, blob.size});
  for (const ModelRecord& model : manifest.models) files.push_back({model.file, model.size});
  for (const PackRecord& pack : manifest.packs) files.push_back({pack.model.file, pack.model.size});
  return files;
}

std::vector<BundleFile> files_gone(const Manifest& before, const Manifest& after) {
  std::set<std::string> kept;
  for (const BundleFile& file : files_of(after)) kept.insert(file.name);
  std::vector<BundleFile> gone;
  for (BundleFile& file : files_of(before)) {
    if (kept.count(file.name) == 0) gone.push_back(std::move(file));
  }
  std::sort(gone.begin(), gone.end(), [](const BundleFile& a, const BundleFile& b) {
    return std::tie(b.size, a.name) < std::tie(a.size, b.name);
  });
  return gone;
}

uint64_t bundle_bytes(const Manifest& manifest, uint64_t text_bytes) {
  uint64_t bytes = text_bytes;
  for (const BundleFile& file : files_of(manifest)) bytes += file.size;
  return bytes;
}

std::vector<std::string> names_in_folder(const fs::path& folder) {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  return names;
}

void check_only_bundle(const fs::path& folder, const Manifest& manifest, const std::string& hint) {
  std::set<std::string> known = {kManifestName, kNewManifest, kLockName};
  for (const BundleFile& file : files_of(manifest)) known.insert(file.name);
  for (const std::string& name : announced_files(folder)) known.insert(name);
  std::vector<std::string> names = names_in_folder(folder);
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    if (known.count(name) != 0) continue;
    throw Error(
        ErrorCode::kIo,
        in_quotes((folder / name).string()) + ": is no part of the bundle that would be replaced",
        hint);
  }
}

BundleEdit::BundleEdit(fs::path folder, const std::string& command, std::chrono::milliseconds wait)
    : folder_(require_bundle(std::move(folder))),
      lock_(folder_, command, wait),
      manifest_(load_manifest(folder_)) {
  std::vector<std::string> left_over = lock_.left_over();
  left_over.push_back(kNewManifest);
  delete_unnamed(folder_, left_over, manifest_);
  lock_.forget_left_over();
  clean_up_.emplace([this] { return delete_unnamed(folder_, announced_, manifest_); });
}

BundleEdit::~BundleEdit() { delete_unnamed(folder_, announced_, manifest_); }

void BundleEdit::announce(std::vector<std::string> files) {
  const Unstoppable announcing;
  lock_.announce(files);
  announced_ = std::move(files);
}

void BundleEdit::publish(Manifest manifest, unsigned threads) {
  std::vector<std::string> gone;
  for (const BundleFile& file : files_gone(manifest_, manifest)) gone.push_back(file.name);
  const std::string text = to_checked_json(manifest, threads);
  const Unstoppable committing;
  lock_.announce(gone);

  announced_.push_back(kNewManifest);
  OutputFile file(folder_ / kNewManifest);
  file.write(text);
  file.close();
  sync_folder(folder_);  // the names of new files, before the manifest that needs them
  std::error_code error;
  fs::rename(folder_ / kNewManifest, folder_ / kManifestName, error);
  if (error) {
    throw Error(ErrorCode::kIo, in_quotes((folder_ / kManifestName).string()) +
                                    ": cannot replace it: " + error.message());
  }
  manifest_ = std::move(manifest);
  sync_folder(folder_);  // before files go that the old manifest needs
  announced_.insert(announced_.end(), gone.begin(), gone.end());
  delete_unnamed(folder_, announced_, manifest_);
}

}  // namespace wshare

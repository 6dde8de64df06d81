#include "bundle/edit.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <tuple>
#include <utility>

#include "format/manifest/text.h"
#include "util/durable.h"
#include "util/file_calls.h"
#include "util/output_file.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

// Where earlier versions wrote manifest.json before it took its place.
constexpr char kOldNewManifest[] = ".manifest.json.wshare-new";

// A lock file is made only where there is a manifest to lock.
const fs::path& require_bundle(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::exists(folder / kManifestName, ignored)) load_manifest(folder);
  return folder;
}

bool is_durable(const fs::path& folder) {
  try {
    sync_folder(folder);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

const char* owner_of_name(const Manifest& manifest, const std::string& name) {
  if (model_called(manifest, name) != nullptr) return "model";
  if (find_task(manifest, name) != nullptr) return "task";
  return find_archived(manifest, name) == nullptr ? nullptr : "model";
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

void retire_files(std::vector<std::string> names, Manifest& manifest) {
  std::vector<std::string>& retired = manifest.retired;
  std::move(names.begin(), names.end(), std::back_inserter(retired));
  std::sort(retired.begin(), retired.end());
  retired.erase(std::unique(retired.begin(), retired.end()), retired.end());
}

void retire_files(const Manifest& before, Manifest& after) {
  std::vector<std::string> names = before.retired;
  for (BundleFile& file : files_gone(before, after)) names.push_back(std::move(file.name));
  retire_files(std::move(names), after);
}

uint64_t bundle_bytes(const Manifest& manifest, uint64_t text_bytes) {
  uint64_t bytes = text_bytes;
  for (const BundleFile& file : files_of(manifest)) bytes += file.size;
  return bytes;
}

std::vector<std::string> taken_names(const fs::path& folder, const Manifest& manifest) {
  std::vector<std::string> names = manifest.retired;
  for (const BundleFile& file : files_of(manifest)) names.push_back(file.name);
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  return names;
}

void check_only_bundle(const fs::path& folder, const Manifest& manifest, const std::string& hint) {
  const std::shared_ptr<const Folder> opened = Folder::open(folder);
  std::set<std::string> known = {kManifestName, kOldNewManifest, kLockName};
  for (const BundleFile& file : files_of(manifest)) known.insert(file.name);
  std::set<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    names.insert(entry.path().filename().string());
  for (const std::string& name : names) {
    if (known.count(name) != 0 || is_staging_name(name) || is_left_over(*opened, name)) continue;
    throw Error(
        ErrorCode::kIo,
        in_quotes((folder / name).string()) + ": is no part of the bundle that would be replaced",
        hint);
  }
}

BundleEdit::BundleEdit(const fs::path& folder, const std::string& command,
                       std::chrono::milliseconds wait)
    : lock_(require_bundle(folder), command, wait), manifest_(load_manifest(lock_.folder())) {
  clear_stagings(*lock_.folder(), manifest_);
  file_calls::unlink_at(lock_.folder()->descriptor(), kOldNewManifest);
  clean_up_.emplace([this] { return clear(); });
}

BundleEdit::~BundleEdit() { clear(); }

bool BundleEdit::clear() {
  return is_committed_ || staging_ == nullptr || staging_->clear(manifest_);
}

const fs::path& BundleEdit::staging() {
  const Unstoppable making;
  if (staging_ == nullptr) staging_ = std::make_unique<Staging>(lock_.folder());
  return staging_->path();
}

void BundleEdit::place(const std::string& name) {
  const Unstoppable placing;
  staging_->place_alone(name);
}

void BundleEdit::publish(Manifest manifest, unsigned threads) {
  lock_.check_held();
  const std::vector<BundleFile> gone = files_gone(manifest_, manifest);
  retire_files(manifest_, manifest);
  const std::string text = to_checked_json(manifest, threads);
  const fs::path folder = staging();
  const std::vector<std::string> made = staging_->names();
  OutputFile file(folder / kManifestName);
  file.write(text);
  file.close();

  const Unstoppable committing;
  lock_.check_held();
  for (const BundleFile& old : gone) staging_->note(old.name);
  sync_folder(folder);  // what tells whose files these are, before their names
  for (const std::string& name : made) staging_->place(name);
  sync_folder(
      lock_.folder()->path());  // the names of new files, before the manifest that needs them
  staging_->commit(kManifestName);
  manifest_ = std::move(manifest);
  is_committed_ = true;
  // Without that the old manifest may come back, and needs its files: then the next edit deletes
  // them.
  if (is_durable(lock_.folder()->path()) || is_durable(lock_.folder()->path()))
    staging_->clear(manifest_);
}

}  // namespace wshare

#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "bundle/lock.h"
#include "bundle/staging.h"
#include "format/manifest/manifest.h"

namespace wshare {

struct BundleFile {
  std::string name;
  uint64_t size = 0;
};

// Returns what in `manifest` has this name already, "model", also an archived one, or "task"; null:
// nothing.
const char* owner_of_name(const Manifest& manifest, const std::string& name);

// Returns the models that tasks go over.
std::set<std::string> bases_of_tasks(const Manifest& manifest);

// Returns the files that `manifest` names; the manifest itself is not among them.
std::vector<BundleFile> files_of(const Manifest& manifest);

// Returns the files that `before` names and `after` does not, the largest first.
std::vector<BundleFile> files_gone(const Manifest& before, const Manifest& after);

// Notes in `manifest` names of files that it no longer names: no new file may take one.
void retire_files(std::vector<std::string> names, Manifest& manifest);

// The same for the files that `before` names and `after` does not.
void retire_files(const Manifest& before, Manifest& after);

// Returns the sizes of all files of a bundle with `manifest`, whose text is `text_bytes` long.
uint64_t bundle_bytes(const Manifest& manifest, uint64_t text_bytes);

// Returns all names that no new file of the bundle in `folder` may take: those in the folder, known
// or not, and those that `manifest` names or an earlier one named. So a name leads to what it led
// to when somebody opened the bundle, or to nothing.
std::vector<std::string> taken_names(const std::filesystem::path& folder, const Manifest& manifest);

// Throws Error(kIo) if the bundle in `folder` holds a file that is no part of it.
void check_only_bundle(const std::filesystem::path& folder, const Manifest& manifest,
                       const std::string& hint);

// A bundle on its way from one manifest to the next, locked against other writers.
//
//   new files under staging() ─ made durable ─ given their names ─ manifest.json replaced (the
//   commit) ─ files without use deleted
//
// Files that a manifest names are never edited, and no name is given twice. A process that is
// killed before the commit leaves the old bundle and files that nobody names, one killed after it
// the new bundle and such files: the next edit deletes them (bundle/staging.h).
class BundleEdit {
 public:
  // Locks the bundle in `folder`, loads its manifest, and deletes what an edit that was killed has
  // left.
  //
  // Throws Error(kIo) if there is none, it cannot be written to, or another process keeps it locked
  // for longer than `wait`; what load_manifest() throws.
  BundleEdit(const std::filesystem::path& folder, const std::string& command,
             std::chrono::milliseconds wait);
  BundleEdit(const BundleEdit&) = delete;
  BundleEdit& operator=(const BundleEdit&) = delete;
  // Without publish(), deletes the new files; a signal does so, too.
  ~BundleEdit();

  const BundleLock& lock() const { return lock_; }
  const Manifest& manifest() const { return manifest_; }

  // The folder to make new files in; it appears when it is first asked for. They take names that
  // taken_names() does not have.
  const std::filesystem::path& staging();

  // Gives a file in staging() its name in the bundle before publish(), for those who need it beside
  // the others. It may be open for writing.
  void place(const std::string& name);

  // Makes the files in staging() durable and part of the bundle, and `manifest` the bundle's
  // manifest; then deletes the files that only the old one named.
  //
  // Throws Error(kIo); the bundle is then as it was. Once the new manifest is in place nothing is
  // an error: what cannot be deleted is left to the next edit.
  void publish(Manifest manifest, unsigned threads);

 private:
  bool clear();

  BundleLock lock_;
  Manifest manifest_;
  std::unique_ptr<Staging> staging_;
  bool is_committed_ = false;
  std::optional<CleanUp> clean_up_;  // last, so that it goes first
};

}  // namespace wshare

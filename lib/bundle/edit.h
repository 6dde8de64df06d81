#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "bundle/lock.h"
#include "format/manifest.h"

namespace wshare {

// How long a command waits for another one that changes the same bundle.
inline constexpr std::chrono::milliseconds kDefaultWait{10000};

struct BundleFile {
  std::string name;
  uint64_t size = 0;
};

// Returns what in `manifest` has this name already, "model" or "task"; null: nothing.
const char* owner_of_name(const Manifest& manifest, const std::string& name);

// Returns the models that tasks go over.
std::set<std::string> bases_of_tasks(const Manifest& manifest);

// Returns the files that `manifest` names; the manifest itself is not among them.
std::vector<BundleFile> files_of(const Manifest& manifest);

// Returns the files that `before` names and `after` does not, the largest first.
std::vector<BundleFile> files_gone(const Manifest& before, const Manifest& after);

// Returns the sizes of all files of a bundle with `manifest`, whose text is `text_bytes` long.
uint64_t bundle_bytes(const Manifest& manifest, uint64_t text_bytes);

// Returns all names in the bundle's folder, known or not: no new file may take one.
std::vector<std::string> names_in_folder(const std::filesystem::path& folder);

// Throws Error(kIo) if the bundle in `folder` holds a file that is no part of it.
void check_only_bundle(const std::filesystem::path& folder, const Manifest& manifest,
                       const std::string& hint);

// A bundle on its way from one manifest to the next, locked against other writers.
//
//   new files ─ made durable ─ manifest.json replaced (the commit) ─ files without use deleted
//
// Files that a manifest names are never edited. A process that is killed before the commit leaves
// the old bundle and files that nobody names, one killed after it the new bundle and such files:
// the next edit deletes them.
class BundleEdit {
 public:
  // Locks the bundle in `folder`, loads its manifest, and deletes what an edit that was killed has
  // left.
  //
  // Throws Error(kIo) if there is none, it cannot be written to, or another process keeps it locked
  // for longer than `wait`; what load_manifest() throws.
  BundleEdit(std::filesystem::path folder, const std::string& command,
             std::chrono::milliseconds wait);
  BundleEdit(const BundleEdit&) = delete;
  BundleEdit& operator=(const BundleEdit&) = delete;
  // Without publish(), deletes the announced files; a signal does so, too.
  ~BundleEdit();

  const std::filesystem::path& folder() const { return folder_; }
  const Manifest& manifest() const { return manifest_; }

  // Says which files will be made. To be called before that, once; none of them may exist.
  void announce(std::vector<std::string> files);

  // Makes the announced files durable and `manifest` the bundle's manifest; then deletes the files
  // that only the old one named.
  //
  // Throws Error(kIo); the bundle is then as it was, or, if only the last step failed, the new one
  // with files that nobody names.
  void publish(Manifest manifest, unsigned threads);

 private:
  std::filesystem::path folder_;
  BundleLock lock_;
  Manifest manifest_;
  std::vector<std::string> announced_;
  std::optional<CleanUp> clean_up_;  // last, so that it goes first
};

}  // namespace wshare

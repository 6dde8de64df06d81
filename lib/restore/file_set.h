#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "restore/made_folders.h"
#include "util/descriptor.h"
#include "util/interrupt.h"
#include "util/output_file.h"
#include "util/output_folder.h"
#include "util/sync_batch.h"

namespace wshare {

// Files that appear below a folder all or none.
//
//   new files in a hidden folder ─ durable ─ each moved to its place ─ folders durable ─ old ones
//   gone
//
// A folder that is not there yet is written beside its place and moved there whole, so that it is
// all or none also for a process that is killed. In a folder that is there the files take their
// places one after the other; what one of them replaces is kept until all are in place, and goes
// back if one cannot. A process that is killed in between leaves some of the new files, each whole.
//
// Below the folder no symbolic link is followed.
class FileSet {
 public:
  // Throws Error(kIo) if `folder` cannot be made or written to.
  FileSet(const std::filesystem::path& folder, bool overwrite);
  FileSet(const FileSet&) = delete;
  FileSet& operator=(const FileSet&) = delete;
  // Without publish(), nothing stays.
  ~FileSet();

  // Throws Error(kIo) if something is in the way of a file at `path`, relative to the folder.
  void check_free(const std::filesystem::path& path) const;

  // Returns file `number`, new or once more.
  OutputFile create(size_t number, uint64_t size, const std::filesystem::path& shown_as);
  OutputFile open_again(size_t number, const std::filesystem::path& shown_as);

  // Takes it back, written wholly; publish() makes it durable. Throws Error(kIo).
  void close(OutputFile file) { batch_->add(std::move(file)); }

  // Puts file i at paths[i], relative to the folder; returns once all of it is durable. Throws
  // Error(kIo); then all is as it was, or the message names what stands.
  void publish(const std::vector<std::filesystem::path>& paths);

 private:
  struct Placed {
    std::filesystem::path path;
    std::string kept;  // what it replaced, in the hidden folder; "": nothing
  };

  Descriptor open_below(const std::filesystem::path& path, bool make);
  Descriptor open_existing(const std::filesystem::path& path) const;
  void place(size_t number, const std::filesystem::path& path);
  bool place_in_free(const std::string& from, int folder, const std::string& name,
                     const std::filesystem::path& path) const;
  std::string exchange(const std::string& from, int folder, const std::string& name,
                       const std::filesystem::path& path) const;
  void sync_placed();
  std::vector<std::string> take_back();
  bool take_back(const Placed& placed);
  std::filesystem::path shown(const std::filesystem::path& path) const { return folder_ / path; }

  std::filesystem::path folder_;
  bool overwrite_;
  MadeFolders above_;                  // of a folder that is not there yet
  std::optional<OutputFolder> whole_;  // such a folder
  Descriptor root_;
  std::filesystem::path hidden_path_;
  Descriptor hidden_;
  std::optional<SyncBatch> batch_;  // of the files in it
  std::vector<Placed> placed_;
  std::vector<std::filesystem::path> made_;  // below the folder, each after its parent
  std::optional<CleanUp> clean_up_;          // last, so that it goes first
};

}  // namespace wshare

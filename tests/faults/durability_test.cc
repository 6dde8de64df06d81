// What would be left after a power loss: bytes that were synced after they were written, names
// whose folder was synced after they were made.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <iostream>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "faults/commands.h"
#include "util/file_calls.h"

namespace wshare::test {
namespace {

using Kind = FileCall::Kind;

// Knows what is durable, and writes down what is relied upon though it is not.
class DurabilityModel : public FileCallProbe {
 public:
  // `ignored`: the number of a sync that the disk forgets.
  // `syncs_all`: the system has syncfs.
  explicit DurabilityModel(size_t ignored, bool syncs_all)
      : ignored_(ignored), syncs_all_(syncs_all) {
    before_ = watch_file_calls(this);
  }
  ~DurabilityModel() override { watch_file_calls(before_); }

  int before(FileCall& call) override {
    const std::lock_guard lock(mutex_);
    if (call.kind == Kind::kRename) check_commit(call);
    if (call.kind == Kind::kUnlink) check_nothing_hangs(call);
    if (is_look_at_disk(call)) return ENOENT;
    if (call.kind == Kind::kSyncAll && !syncs_all_) return ENOSYS;
    return is_sync(call) ? kPretend : kMake;
  }

  void after(const FileCall& call, int64_t result) override {
    if (result < 0) return;
    const std::lock_guard lock(mutex_);
    switch (call.kind) {
      case Kind::kOpen:
        open_[static_cast<int>(result)] = file_of(static_cast<int>(result));
        if ((call.flags & O_EXCL) == 0) break;
        made(call.descriptor, call.path);
        unsynced_bytes_.insert(file_of(static_cast<int>(result)));
        break;
      case Kind::kMakeFolder:
        made(call.descriptor, call.path);
        break;
      case Kind::kWrite:
      case Kind::kAllocate:
      case Kind::kTruncate:
        unsynced_bytes_.insert(file_of(call.descriptor));
        break;
      case Kind::kSync:
        if (syncs_++ != ignored_) synced(file_of(call.descriptor));
        break;
      case Kind::kClose:
        open_.erase(call.descriptor);
        break;
      case Kind::kSyncAll:
        if (syncs_++ != ignored_) synced_all(file_of(call.descriptor).first);
        break;
      case Kind::kRename:
      case Kind::kLink:
        unsynced_names_.erase(name_of(call.descriptor, call.path));
        made(call.other_descriptor, call.other_path);
        break;
      case Kind::kUnlink:
        unsynced_names_.erase(name_of(call.descriptor, call.path));
        break;
      default:
        break;
    }
  }

  // Whatever stands in the current folder has to be durable now.
  void check_all(const std::string& when) {
    for (const char* result : {"bundle", "new", "keep", "old", "page.html", "layout", "served"}) {
      if (fs::exists(result)) check_name(result, when);
      if (fs::is_directory(result)) check_tree(result, when);
      if (fs::is_regular_file(result)) check_file(result, when);
    }
  }

  size_t syncs() const { return syncs_; }
  const std::vector<std::string>& violations() const { return violations_; }

 private:
  using File = std::pair<dev_t, ino_t>;
  using Name = std::pair<File, std::string>;  // in a folder

  static File file_of(int descriptor) {
    struct stat status {};
    fstat(descriptor, &status);
    return {status.st_dev, status.st_ino};
  }

  static File file_at(const fs::path& path) {
    struct stat status {};
    lstat(path.c_str(), &status);
    return {status.st_dev, status.st_ino};
  }

  static fs::path path_of(int folder, const char* path) {
    if (folder == AT_FDCWD) return path;
    return fs::read_symlink("/proc/self/fd/" + std::to_string(folder)) / path;
  }

  static Name name_at(const fs::path& path) {
    return {file_at(path.has_parent_path() ? path.parent_path() : "."), path.filename().string()};
  }
  static Name name_of(int folder, const char* path) { return name_at(path_of(folder, path)); }

  void made(int folder, const char* path) { unsynced_names_.insert(name_of(folder, path)); }

  void synced(const File& file) {
    unsynced_bytes_.erase(file);
    std::erase_if(unsynced_names_, [&](const Name& name) { return name.first == file; });
  }

  // Held to make less durable than it does: bytes of files that are still open, or names where
  // there are none. So none of its calls does what another one is there for, and the test sees when
  // that is missing.
  void synced_all(dev_t device) {
    size_t files = 0;
    for (const auto& [descriptor, file] : open_)
      files += file.first == device ? unsynced_bytes_.erase(file) : 0;
    if (files > 0) return;
    std::erase_if(unsynced_names_, [&](const Name& name) { return name.first.first == device; });
  }

  void violate(const fs::path& path, const std::string& what) {
    violations_.push_back(path.string() + ": " + what);
  }

  void check_file(const fs::path& path, const std::string& when) {
    if (unsynced_bytes_.contains(file_at(path))) violate(path, "its bytes are not durable " + when);
  }
  void check_name(const fs::path& path, const std::string& when) {
    if (unsynced_names_.contains(name_at(path))) violate(path, "its name is not durable " + when);
  }

  void check_tree(const fs::path& folder, const std::string& when) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
      if (entry.path().filename() == ".wshare-lock") continue;
      check_name(entry.path(), when);
      if (entry.is_regular_file()) check_file(entry.path(), when);
    }
  }

  // A rename shows what was written before: it must not reach the disk first.
  void check_commit(const FileCall& call) {
    const fs::path from = path_of(call.descriptor, call.path);
    const fs::path to = path_of(call.other_descriptor, call.other_path);
    if (fs::is_directory(from)) check_tree(from, "when it is put in its place");
    // A file of an edit is nobody's until the manifest comes that names it.
    const bool is_manifest = to.filename() == "manifest.json";
    const bool is_edit = from.parent_path().filename().string().starts_with(".wshare-edit");
    if (fs::is_regular_file(from) && (is_manifest || !is_edit))
      check_file(from, "when it is put in its place");
    if (is_manifest) check_tree(to.parent_path(), "when a manifest that names it takes its place");
  }

  // The old bundle, or what only its manifest names, goes last.
  void check_nothing_hangs(const FileCall& call) {
    const fs::path gone = path_of(call.descriptor, call.path);
    if (gone.filename() == ".wshare-lock" || fs::is_directory(gone)) return;
    for (const auto& [folder, name] : unsynced_names_) {
      if (name == "manifest.json" && folder == file_at(gone.parent_path()))
        violate(gone, "deleted before the new manifest is durable");
    }
    const bool is_old_bundle = gone.string().find("/.bundle.wshare-") != std::string::npos;
    if (is_old_bundle && unsynced_names_.contains(name_at("bundle")))
      violate(gone, "deleted before the new bundle is durable");
  }

  FileCallProbe* before_;
  std::mutex mutex_;
  size_t ignored_, syncs_ = 0;
  bool syncs_all_;
  std::map<int, File> open_;
  std::set<File> unsynced_bytes_;
  std::set<Name> unsynced_names_;
  std::vector<std::string> violations_;
};

class Durability : public testing::TestWithParam<WritingCommand> {
 protected:
  Durability() : work_(GetParam()) {}

  // Runs the command on a disk that forgets sync `ignored`; returns what was not durable.
  std::vector<std::string> run_command(size_t ignored, bool syncs_all, size_t& syncs) const {
    DurabilityModel model(ignored, syncs_all);
    const Answer answer = run(GetParam().arguments);
    EXPECT_EQ(answer.code, 0) << answer.said;
    model.check_all("when the command ends");
    syncs = model.syncs();
    return model.violations();
  }

  Workplace work_;
};

TEST_P(Durability, OfWhatACommandHasWritten) {
  for (const bool syncs_all : {true, false}) {
    size_t syncs = 0;
    for (const std::string& violation : run_command(SIZE_MAX, syncs_all, syncs))
      ADD_FAILURE() << violation;
    EXPECT_GT(syncs, 0u);
    work_.reset();
  }
}

// So whoever deletes a sync from the program makes the test above fail.
TEST_P(Durability, NeedsEverySync) {
  std::cout << GetParam().name << ':';
  for (const bool syncs_all : {true, false}) {
    size_t syncs = 0;
    run_command(SIZE_MAX, syncs_all, syncs);
    for (size_t ignored = 0; ignored < syncs; ++ignored) {
      work_.reset();
      size_t again = 0;
      EXPECT_FALSE(run_command(ignored, syncs_all, again).empty())
          << "sync " << ignored << " of " << syncs;
    }
    work_.reset();
    std::cout << (syncs_all ? " " : " syncs, without syncfs ") << syncs;
  }
  std::cout << ", each needed\n";
}

// Those of the table, and some that write more files than are synced together.
std::vector<WritingCommand> durable_commands() {
  std::vector<WritingCommand> commands = writing_commands();
  const Arguments dedupe = {"dedupe", "many", "-o", "bundle", "-j", "1"};
  const Arguments restore = {"restore", "bundle", "-o", "new", "-j", "1"};
  constexpr auto kWhole = WritingCommand::Seen::kAllOrNothing;
  constexpr size_t kModels = 34;
  commands.push_back({"DedupeMany", {}, dedupe, dedupe, dedupe, kWhole, kModels});
  commands.push_back({"RestoreMany", {dedupe}, restore, restore, restore, kWhole, kModels});
  return commands;
}

INSTANTIATE_TEST_SUITE_P(Of, Durability, testing::ValuesIn(durable_commands()),
                         [](const auto& row) { return std::string(row.param.name); });

}  // namespace
}  // namespace wshare::test

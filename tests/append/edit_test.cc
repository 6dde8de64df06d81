// Changing a bundle: one writer at a time, and killed at any moment it leaves a bundle.

#include "bundle/edit.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <set>

#include "format/manifest/text.h"
#include "support/bundle_test.h"
#include "support/file_probe.h"
#include "wshare/append.h"
#include "wshare/remove.h"
#include "wshare/verify.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

using test::code_of;
using test::files_in;
using test::names_in;
using test::noise;
using test::raw;
using test::read_file;
using test::write_file;

constexpr std::chrono::milliseconds kNoWait{0};

class Edit : public test::BundleTest {
 protected:
  Edit() {
    add("a.onnx", {raw("trunk", noise(100000, 1)), raw("head", noise(3000, 2))});
    make();
    write_file(temp_ / "b.onnx",
               test::bytes_of({raw("trunk", noise(100000, 1)), raw("head", noise(3000, 3))}));
  }

  fs::path bundle() const { return temp_ / "bundle"; }

  void append_b(const ProgressFn& progress = {}) {
    AppendOptions options;
    options.wait = kNoWait;
    options.progress = progress;
    append(bundle(), resolve_inputs({(temp_ / "b.onnx").string()}), options);
  }

  // Makes a bundle of b in the place of this one; returns DedupeReport::kept.
  std::string force_b(const ProgressFn& progress = {}) {
    DedupeOptions options;
    options.replace = true;
    options.wait = kNoWait;
    options.progress = progress;
    return dedupe(resolve_inputs({(temp_ / "b.onnx").string()}), bundle(), options).kept;
  }

  bool is_whole() const { return verify(bundle(), {0}).empty(); }
};

TEST_F(Edit, IsForOneWriterAtATime) {
  const auto before = files_in(bundle());
  {
    const BundleEdit edit(bundle(), "remove", kNoWait);
    std::string message, hint;
    EXPECT_EQ(code_of([&] { append_b(); }, &message, &hint), 3);
    EXPECT_NE(message.find("wshare remove, process " + std::to_string(getpid())), std::string::npos)
        << message;
    EXPECT_NE(hint.find("--wait"), std::string::npos) << hint;
  }
  EXPECT_EQ(files_in(bundle()), before);
  append_b();
  EXPECT_TRUE(is_whole());
}

TEST_F(Edit, WaitsForAnotherWriter) {
  int from_child[2], to_child[2];
  ASSERT_EQ(pipe(from_child), 0);
  ASSERT_EQ(pipe(to_child), 0);
  char byte = 1;
  const pid_t child = fork();
  if (child == 0) {
    BundleLock lock(bundle(), "append", kNoWait);
    if (write(from_child[1], &byte, 1) != 1 || read(to_child[0], &byte, 1) != 1) _exit(1);
    usleep(100000);
    _exit(0);  // without the destructor: as if killed
  }
  ASSERT_EQ(read(from_child[0], &byte, 1), 1);
  EXPECT_EQ(code_of([&] { append_b(); }), 3);
  ASSERT_EQ(write(to_child[1], &byte, 1), 1);
  AppendOptions options;  // which waits
  append(bundle(), resolve_inputs({(temp_ / "b.onnx").string()}), options);
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(is_whole());
  EXPECT_FALSE(fs::exists(bundle() / kLockName));
  for (const int end : {from_child[0], from_child[1], to_child[0], to_child[1]}) close(end);
}

TEST_F(Edit, LeavesNoLockWhenItIsInterruptedWhileItTakesIt) {
  for (int try_number = 0; try_number < 50; ++try_number) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      stop_cleanly_on_signals([](bool) {});
      for (char byte = 1;; byte = 0) {
        { const BundleLock lock(bundle(), "append", kNoWait); }
        if (byte == 1 && write(ends[1], &byte, 1) != 1) _exit(1);
      }
    }
    char byte = 0;
    ASSERT_EQ(read(ends[0], &byte, 1), 1);
    for (const int end : ends) close(end);
    usleep(static_cast<useconds_t>(try_number * 20));
    kill(child, SIGTERM);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << status;
    ASSERT_FALSE(fs::exists(bundle() / kLockName)) << try_number;
  }
}

TEST_F(Edit, LeavesTheOldBundleWhenItIsKilledBeforeTheCommit) {
  const auto before = files_in(bundle());
  for (const std::string stage : {"comparing", "writing", "committing"}) {
    SCOPED_TRACE(stage);
    const pid_t child = fork();
    if (child == 0) {
      append_b([&](const char* now, uint64_t, uint64_t) {
        if (now == stage) _exit(9);
      });
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_EQ(WEXITSTATUS(status), 9);
    auto after = files_in(bundle());
    EXPECT_EQ(after.count(kLockName), 1u);
    EXPECT_EQ(after.count("b.onnx"), 0u);  // what is being written has no name that shows
    for (const auto& [name, bytes] : before) EXPECT_TRUE(after[name] == bytes) << name;
    EXPECT_TRUE(is_whole());
  }
  // The next writer tidies up and goes on.
  { const BundleEdit edit(bundle(), "append", kNoWait); }
  EXPECT_EQ(files_in(bundle()), before);
  append_b();
  EXPECT_TRUE(is_whole());
}

// Whatever part of the new files reached the disk, in whatever order: without the new manifest the
// old bundle is there, and the next append ends where it would have ended.
TEST_F(Edit, IsTheOldBundleInEveryStateBeforeTheCommit) {
  const auto before = files_in(bundle());
  append_b();
  const auto after = files_in(bundle());
  std::vector<std::string> made;
  for (const auto& [name, bytes] : after) {
    if (before.count(name) == 0) made.push_back(name);
  }
  ASSERT_EQ(made.size(), 3u);  // b.bin, b.onnx, restore_2.bin
  for (size_t state = 0; state < 64; ++state) {
    SCOPED_TRACE(state);
    fs::remove_all(bundle());
    for (const auto& [name, bytes] : before) write_file(bundle() / name, bytes);
    write_file(bundle() / kLockName, "by wshare append, process 1\n");
    const fs::path staging = bundle() / ".wshare-edit";
    size_t rest = state;
    for (const std::string& name : made) {  // missing, half, whole, or with its name in the bundle
      const std::string& bytes = after.at(name);
      if (rest % 4 > 0)
        write_file(staging / name,
                   bytes.substr(0, bytes.size() * std::min(rest % 4, size_t{2}) / 2));
      if (rest % 4 == 3) fs::create_hard_link(staging / name, bundle() / name);
      rest /= 4;
    }
    write_file(staging / kManifestName, after.at(kManifestName).substr(state));
    EXPECT_TRUE(is_whole());
    EXPECT_EQ(load_manifest(bundle()).models.size(), 1u);
    append_b();
    EXPECT_EQ(files_in(bundle()), after);
    EXPECT_FALSE(fs::exists(staging));
  }
}

// Killed after the commit, with none or some of the old files deleted.
TEST_F(Edit, IsTheNewBundleInEveryStateAfterTheCommit) {
  append_b();
  const auto before = files_in(bundle());
  remove_models(bundle(), {"b"}, {});
  const auto after = files_in(bundle());
  std::vector<std::string> gone;
  for (const auto& [name, bytes] : before) {
    if (after.count(name) == 0) gone.push_back(name);
  }
  ASSERT_GE(gone.size(), 2u);
  for (size_t left = 0; left <= gone.size(); ++left) {
    SCOPED_TRACE(left);
    for (size_t i = 0; i < left; ++i) {
      write_file(bundle() / gone[i], before.at(gone[i]));
      fs::create_directory(bundle() / ".wshare-edit");
      fs::create_hard_link(bundle() / gone[i], bundle() / ".wshare-edit" / gone[i]);
    }
    EXPECT_TRUE(is_whole());
    { const BundleEdit edit(bundle(), "append", kNoWait); }
    EXPECT_EQ(files_in(bundle()), after);
    EXPECT_FALSE(fs::exists(bundle() / ".wshare-edit"));
  }
}

// A bundle may come from anywhere, with whatever lies in it.
TEST_F(Edit, DeletesNothingOnTheWordOfAFile) {
  std::string names = "by wshare append, process 1\n";
  for (const char* name : {"tokenizer.json", "half.bin", "../outside.bin"}) {
    write_file(bundle() / name, "mine");
    names += std::string("file ") + name + '\n';
  }
  write_file(bundle() / kLockName, names);
  write_file(bundle() / ".wshare-edit/half.bin", "another");  // of that name, but not that file
  fs::create_hard_link(bundle() / "tokenizer.json", bundle() / ".wshare-edit/tokenizer.json");
  append_b();
  EXPECT_EQ(read_file(bundle() / "tokenizer.json"), "mine");
  EXPECT_EQ(read_file(bundle() / "half.bin"), "mine");
  EXPECT_EQ(read_file(temp_ / "outside.bin"), "mine");
  EXPECT_TRUE(is_whole());
}

TEST_F(Edit, LeavesAloneWhatALinkInItsNameLeadsTo) {
  write_file(temp_ / "elsewhere/half.bin", "mine");
  fs::create_directory_symlink(temp_ / "elsewhere", bundle() / ".wshare-edit");
  append_b();
  EXPECT_EQ(read_file(temp_ / "elsewhere/half.bin"), "mine");
  EXPECT_TRUE(is_whole());
}

TEST_F(Edit, WaitsForNoPipe) {
  ASSERT_EQ(mkfifo((bundle() / kLockName).c_str(), 0600), 0);
  std::string message;
  EXPECT_EQ(code_of([&] { append_b(); }, &message), 3);
  EXPECT_NE(message.find("not a regular file"), std::string::npos) << message;
}

TEST_F(Edit, NeverGivesAFileNameTwice) {
  append_b();
  const std::string first = load_manifest(bundle()).models.at(1).file;
  remove_models(bundle(), {"b"}, {});
  append_b();
  const Manifest manifest = load_manifest(bundle());
  EXPECT_EQ(first, "b.onnx");
  EXPECT_EQ(manifest.models.at(1).file, "b_2.onnx");
  EXPECT_EQ(std::set<std::string>(manifest.retired.begin(), manifest.retired.end()).count("b.bin"),
            1u);
  remove_models(bundle(), {"b"}, {});
  append_b();
  EXPECT_EQ(load_manifest(bundle()).models.at(1).file, "b_3.onnx");
  EXPECT_TRUE(is_whole());
  // In a folder of its own no name was used.
  RemoveOptions compact;
  compact.compact = true;
  remove_models(bundle(), {}, compact);
  EXPECT_EQ(load_manifest(bundle()).models.at(1).file, "b.onnx");
  EXPECT_TRUE(load_manifest(bundle()).retired.empty());
}

TEST_F(Edit, TouchesNoFolderThatTookThePlaceOfTheLockedOne) {
  {
    BundleEdit edit(bundle(), "append", kNoWait);
    write_file(edit.staging() / "b.bin", "new");
    fs::rename(bundle(), temp_ / "moved");
    make();
    const auto before = files_in(bundle());
    std::string message;
    EXPECT_EQ(code_of([&] { edit.publish(edit.manifest(), 1); }, &message), 3);
    EXPECT_NE(message.find("moved or replaced"), std::string::npos) << message;
    EXPECT_EQ(files_in(bundle()), before);
  }
  EXPECT_EQ(names_in(temp_ / "moved"), names_in(bundle()));  // no lock, no new file
}

TEST_F(Edit, IsNoErrorOnceTheManifestIsInPlace) {
  append_b();
  const auto before = files_in(bundle());
  {
    bool committed = false;
    const test::FileProbe probe([&](FileCall& call) -> int {
      if (call.kind == FileCall::Kind::kRename &&
          std::string_view(call.other_path) == kManifestName) {
        committed = true;
        return FileCallProbe::kMake;
      }
      return committed && call.kind == FileCall::Kind::kSync ? EIO : FileCallProbe::kMake;
    });
    remove_models(bundle(), {"b"}, {});
  }
  EXPECT_EQ(load_manifest(bundle()).models.size(), 1u);
  EXPECT_TRUE(fs::exists(bundle() / "b.onnx"));  // the disk may have the old manifest yet
  EXPECT_TRUE(is_whole());
  { const BundleEdit edit(bundle(), "append", kNoWait); }
  EXPECT_FALSE(fs::exists(bundle() / "b.onnx"));
  EXPECT_FALSE(fs::exists(bundle() / ".wshare-edit"));
  EXPECT_TRUE(is_whole());
}

TEST_F(Edit, NeedsNoHardLinks) {
  const test::FileProbe probe([](FileCall& call) -> int {
    return call.kind == FileCall::Kind::kLink ? EPERM : FileCallProbe::kMake;
  });
  const auto before = files_in(bundle());
  append_b();
  EXPECT_TRUE(is_whole());
  remove_models(bundle(), {"b"}, {});
  EXPECT_TRUE(is_whole());
  auto after = files_in(bundle());
  EXPECT_EQ(names_in(bundle()).size(), before.size());
}

// The lock is the system's; its file only says whose it is.
TEST_F(Edit, LeavesNoLockFileBehindAnError) {
  for (const FileCall::Kind kind : {FileCall::Kind::kLock, FileCall::Kind::kWrite}) {
    const test::FileProbe probe([&](FileCall& call) -> int {
      return call.kind == kind ? (kind == FileCall::Kind::kLock ? ENOLCK : ENOSPC)
                               : FileCallProbe::kMake;
    });
    EXPECT_EQ(code_of([&] { append_b(); }), 3);
    EXPECT_FALSE(fs::exists(bundle() / kLockName));
    EXPECT_FALSE(fs::exists(bundle() / ".wshare-edit"));
  }
}

TEST_F(Edit, TakesNoNameOfAForeignFile) {
  write_file(bundle() / "B.onnx", "mine");
  append_b();
  EXPECT_EQ(read_file(bundle() / "B.onnx"), "mine");
  EXPECT_EQ(load_manifest(bundle()).models[1].file, "b_2.onnx");
  EXPECT_TRUE(is_whole());
}

TEST_F(Edit, DoesNotKeepDedupeFromReplacingTheBundle) {
  write_file(bundle() / "half.bin", "left over");
  fs::create_directory(bundle() / ".wshare-edit");
  fs::create_hard_link(bundle() / "half.bin", bundle() / ".wshare-edit/half.bin");
  write_file(bundle() / kLockName, "by wshare append, process 1\n");
  force_b();
  EXPECT_EQ(names_in(bundle()),
            (std::vector<std::string>{"b.bin", "b.onnx", "manifest.json", "restore.bin"}));
  EXPECT_EQ(names_in(temp_.path()), (std::vector<std::string>{"b.onnx", "bundle", "in"}));
}

TEST_F(Edit, KeepsForceOutUntilItIsDone) {
  const auto before = files_in(bundle());
  {
    const BundleEdit edit(bundle(), "pack", kNoWait);
    std::string message;
    EXPECT_EQ(code_of([&] { force_b(); }, &message), 3);
    EXPECT_NE(message.find("wshare pack"), std::string::npos) << message;
  }
  EXPECT_EQ(files_in(bundle()), before);
}

// While --force is at work nobody else changes the bundle.
TEST_F(Edit, IsKeptOutUntilForceIsDone) {
  int refused = 0;
  force_b([&](const char* stage, uint64_t, uint64_t) {
    if (stage != std::string("committing")) return;
    std::string message;
    refused = code_of([&] { append_b(); }, &message);
    EXPECT_NE(message.find("wshare dedupe"), std::string::npos) << message;
  });
  EXPECT_EQ(refused, 3);
  EXPECT_TRUE(is_whole());
}

TEST_F(Edit, LetsForceDeleteNothingThatOthersPutThere) {
  const auto before = files_in(bundle());
  EXPECT_EQ(code_of([&] {
              force_b([&](const char* stage, uint64_t, uint64_t) {
                if (stage == std::string("committing")) write_file(bundle() / "notes", "mine");
              });
            }),
            3);
  fs::remove(bundle() / "notes");
  EXPECT_EQ(files_in(bundle()), before);
  // In the last moment: what comes then comes along, or stays where it is said.
  const test::FileProbe probe([&](FileCall& call) -> int {
    if (call.kind == FileCall::Kind::kRename && call.other_path == bundle().string()) {
      write_file(bundle() / "notes", "mine");
      write_file(bundle() / "b.onnx", "mine, too");
    }
    return FileCallProbe::kMake;
  });
  EXPECT_EQ(force_b(), bundle().string() + "-kept");
  EXPECT_TRUE(is_whole());
  EXPECT_EQ(read_file(bundle() / "notes"), "mine");
  EXPECT_EQ(files_in(temp_ / "bundle-kept"),
            (std::map<std::string, std::string>{{"b.onnx", "mine, too"}}));
}

}  // namespace
}  // namespace wshare

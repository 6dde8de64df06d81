// Changing a bundle: one writer at a time, and killed at any moment it leaves a bundle.

#include "bundle/edit.h"

#include <sys/wait.h>

#include <csignal>

#include "support/bundle_test.h"
#include "wshare/append.h"
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

  bool is_whole() const { return verify(bundle(), 0).empty(); }
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
  std::string announced = "by wshare append, process 1\n";
  std::vector<std::string> made;
  for (const auto& [name, bytes] : after) {
    if (before.count(name) == 0) made.push_back(name);
  }
  for (const std::string& name : made) announced += "file " + name + '\n';
  ASSERT_EQ(made.size(), 3u);  // b.bin, b.onnx, restore_2.bin
  for (size_t state = 0; state < 27; ++state) {
    SCOPED_TRACE(state);
    fs::remove_all(bundle());
    for (const auto& [name, bytes] : before) write_file(bundle() / name, bytes);
    write_file(bundle() / kLockName, announced);
    size_t rest = state;
    for (const std::string& name : made) {  // missing, half or whole
      const std::string& bytes = after.at(name);
      if (rest % 3 > 0) write_file(bundle() / name, bytes.substr(0, bytes.size() * (rest % 3) / 2));
      rest /= 3;
    }
    write_file(bundle() / ".manifest.json.wshare-new", after.at(kManifestName).substr(state));
    EXPECT_TRUE(is_whole());
    EXPECT_EQ(load_manifest(bundle()).models.size(), 1u);
    append_b();
    EXPECT_EQ(files_in(bundle()), after);
  }
}

TEST_F(Edit, DeletesWhatWasAnnouncedAndNothingElse) {
  write_file(bundle() / "tokenizer.json", "mine");
  write_file(bundle() / "half.bin", "left over");
  write_file(temp_ / "outside.bin", "mine");
  write_file(bundle() / kLockName,
             "by wshare append, process 1\nfile half.bin\nfile a.bin\nfile manifest.json\n"
             "file ../outside.bin\nfile tokenizer.json");
  append_b();
  EXPECT_FALSE(fs::exists(bundle() / "half.bin"));
  EXPECT_EQ(read_file(bundle() / "tokenizer.json"), "mine");
  EXPECT_EQ(read_file(temp_ / "outside.bin"), "mine");
  EXPECT_TRUE(is_whole());
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
  write_file(bundle() / kLockName, "by wshare append, process 1\nfile half.bin\n");
  DedupeOptions options;
  options.replace = true;
  dedupe(resolve_inputs({(temp_ / "b.onnx").string()}), bundle(), options);
  EXPECT_EQ(names_in(bundle()),
            (std::vector<std::string>{"b.bin", "b.onnx", "manifest.json", "restore.bin"}));
}

}  // namespace
}  // namespace wshare

// What restore does where its files have to go: links, files of others, folders that fail.

#include <cerrno>

#include "support/bundle_test.h"
#include "support/file_probe.h"
#include "util/file_calls.h"
#include "wshare/restore.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

using test::code_of;
using test::external;
using test::FileProbe;
using test::files_in;
using test::noise;
using test::raw;
using test::read_file;
using test::write_file;
using Files = std::map<std::string, std::string>;
using Kind = FileCall::Kind;

class RestorePlaces : public test::BundleTest {
 protected:
  RestorePlaces() {
    write_file(temp_ / "in/sub/b.data", noise(4000, 2));
    add("a.onnx", {raw("w", noise(5000, 1))});
    add("b.onnx", {external("w", 4000, {{"location", "sub/b.data"}})});
    make();
    originals_ = files_in(temp_ / "in");
  }

  int back(bool force = false, std::string* message = nullptr) {
    RestoreOptions options;
    options.replace = force;
    options.threads = 1;
    return code_of([&] { restore(temp_ / "bundle", {}, temp_ / "back", options); }, message);
  }

  // A folder that is there, so that files take their places one by one.
  void make_folder() { write_file(temp_ / "back/mine", "mine"); }

  Files with_mine(Files files) const {
    files["mine"] = "mine";
    return files;
  }

  Files originals_;
};

TEST_F(RestorePlaces, FollowNoLinkBelowTheFolder) {
  fs::create_directories(temp_ / "outside");
  for (const bool force : {false, true}) {
    SCOPED_TRACE(force);
    make_folder();
    fs::create_directory_symlink(temp_ / "outside", temp_ / "back/sub");
    std::string message;
    EXPECT_EQ(back(force, &message), 3);
    EXPECT_NE(message.find("back/sub': is a symbolic link"), std::string::npos) << message;
    EXPECT_TRUE(fs::is_empty(temp_ / "outside"));
    EXPECT_EQ(test::names_in(temp_ / "back"), (std::vector<std::string>{"mine", "sub"}));
    fs::remove_all(temp_ / "back");
  }
}

TEST_F(RestorePlaces, FollowNoLinkThatComesMeanwhile) {
  fs::create_directories(temp_ / "outside");
  make_folder();
  fs::create_directory(temp_ / "back/sub");
  const FileProbe probe([&](FileCall& call) {
    if (call.kind == Kind::kRename && std::string(call.other_path) == "a.onnx") {
      fs::remove(temp_ / "back/sub");
      fs::create_directory_symlink(temp_ / "outside", temp_ / "back/sub");
    }
    return FileCallProbe::kMake;
  });
  EXPECT_EQ(back(), 3);
  EXPECT_TRUE(fs::is_empty(temp_ / "outside"));
  EXPECT_FALSE(fs::exists(temp_ / "back/a.onnx"));
}

TEST_F(RestorePlaces, ReplaceALinkAndNotWhatItLeadsTo) {
  write_file(temp_ / "outside", "mine");
  make_folder();
  fs::create_symlink(temp_ / "outside", temp_ / "back/a.onnx");
  EXPECT_EQ(back(), 3);
  EXPECT_EQ(back(true), 0);
  EXPECT_EQ(read_file(temp_ / "outside"), "mine");
  EXPECT_EQ(files_in(temp_ / "back"), with_mine(originals_));
}

TEST_F(RestorePlaces, FollowALinkThatIsTheFolder) {
  make_folder();
  fs::create_directory_symlink("back", temp_ / "link");
  restore(temp_ / "bundle", {}, temp_ / "link", {});
  EXPECT_EQ(files_in(temp_ / "back"), with_mine(originals_));
}

// Without --force a file that appears while restore is at work is somebody's: with renameat2 and
// with what stands in for it.
TEST_F(RestorePlaces, AreNotTakenFromAFileThatAppearsMeanwhile) {
  for (const std::vector<Kind>& missing : {std::vector<Kind>{}, std::vector<Kind>{Kind::kRename},
                                           std::vector<Kind>{Kind::kRename, Kind::kLink}}) {
    SCOPED_TRACE(missing.size());
    make_folder();
    {
      const FileProbe probe([&](FileCall& call) {
        if (call.kind == Kind::kRename && std::string(call.other_path) == "b.onnx")
          write_file(temp_ / "back/b.onnx", "somebody's");
        const bool is_missing = std::count(missing.begin(), missing.end(), call.kind) != 0;
        return is_missing && call.flags != 0            ? EINVAL
               : is_missing && call.kind == Kind::kLink ? EPERM
                                                        : FileCallProbe::kMake;
      });
      EXPECT_EQ(back(), 3);
    }
    EXPECT_EQ(files_in(temp_ / "back"), (Files{{"b.onnx", "somebody's"}, {"mine", "mine"}}));
    fs::remove_all(temp_ / "back");
  }
}

TEST_F(RestorePlaces, WorkWithoutFlagsOfRename) {
  const FileProbe probe([](FileCall& call) {
    return call.kind == Kind::kRename && call.flags != 0 ? EINVAL : FileCallProbe::kMake;
  });
  make_folder();
  EXPECT_EQ(back(), 0);
  EXPECT_EQ(files_in(temp_ / "back"), with_mine(originals_));
  write_file(temp_ / "back/a.onnx", "old");
  EXPECT_EQ(back(), 3);
  EXPECT_EQ(read_file(temp_ / "back/a.onnx"), "old");
  EXPECT_EQ(back(true), 0);
  EXPECT_EQ(files_in(temp_ / "back"), with_mine(originals_));
}

// Whichever file cannot take its place: what was there is there again.
TEST_F(RestorePlaces, AreAllTakenOrNone) {
  for (const bool force : {false, true}) {
    for (size_t failing = 0; failing < 3; ++failing) {
      SCOPED_TRACE(std::to_string(force) + " " + std::to_string(failing));
      make_folder();
      if (force) write_file(temp_ / "back/a.onnx", "old a");
      if (force) write_file(temp_ / "back/sub/b.data", "old data");
      const Files before = files_in(temp_ / "back");
      {
        const FileProbe probe([&](FileCall& call) {
          const bool fails = call.kind == Kind::kRename &&
                             std::string(call.path) == std::to_string(failing) && call.flags != 0;
          return fails ? EIO : FileCallProbe::kMake;
        });
        EXPECT_EQ(back(force), 3);
      }
      EXPECT_EQ(files_in(temp_ / "back"), before);
      EXPECT_EQ(fs::exists(temp_ / "back/sub"), force) << "no folder stays that was made";
      EXPECT_EQ(back(force), 0);
      EXPECT_EQ(files_in(temp_ / "back"), with_mine(originals_));
      fs::remove_all(temp_ / "back");
    }
  }
}

TEST_F(RestorePlaces, AreNamedWhereAFileCannotBeTakenBack) {
  make_folder();
  std::string message;
  const FileProbe probe([&](FileCall& call) {
    const bool second = call.kind == Kind::kRename && std::string(call.path) == "1";
    const bool back_again = call.kind == Kind::kUnlink && std::string(call.path) == "a.onnx";
    return second || back_again ? EIO : FileCallProbe::kMake;
  });
  EXPECT_EQ(back(false, &message), 3);
  EXPECT_NE(message.find("; not taken back: '" + (temp_ / "back/a.onnx").string() + "'"),
            std::string::npos)
      << message;
}

TEST_F(RestorePlaces, TakeOddNamesOnlyWhereNothingElseIs) {
  write_file(temp_ / "odd/.ssh/authorized_keys", noise(3000, 7));
  write_file(temp_ / "odd/c.onnx",
             test::bytes_of({external("w", 3000, {{"location", ".ssh/authorized_keys"}})}));
  dedupe(resolve_inputs({(temp_ / "odd/c.onnx").string()}), temp_ / "odd_bundle", {});
  write_file(temp_ / "home/mine", "mine");
  std::string message, hint;
  for (const bool dry_run : {true, false}) {
    RestoreOptions options;
    options.dry_run = dry_run;
    EXPECT_EQ(code_of([&] { restore(temp_ / "odd_bundle", {}, temp_ / "home", options); }, &message,
                      &hint),
              4);
    EXPECT_NE(hint.find("new or empty"), std::string::npos) << hint;
  }
  EXPECT_EQ(files_in(temp_ / "home"), (Files{{"mine", "mine"}}));
  restore(temp_ / "odd_bundle", {}, temp_ / "new/folder", {});
  EXPECT_EQ(files_in(temp_ / "new/folder"), files_in(temp_ / "odd"));
}

TEST_F(RestorePlaces, HoldNothingOfAKilledRestore) {
  make_folder();
  fs::create_directory(temp_ / "back/.restore.wshare-abcdefghij");
  write_file(temp_ / "back/.restore.wshare-abcdefghij/0", "half");
  EXPECT_EQ(back(), 0);
  EXPECT_EQ(files_in(temp_ / "back"), with_mine(originals_));
}

}  // namespace
}  // namespace wshare

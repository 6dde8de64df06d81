#include "model/external_file.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <optional>
#include <string>

#include "support/errors.h"
#include "util/file_calls.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

class OpenExternal : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "wshare-paths-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = fs::canonical(name);
    fs::create_directories(root_ / "models/sub");
    fs::create_directories(root_ / "other");
    for (const char* file :
         {"models/m.onnx", "models/w.bin", "models/sub/w.bin", "other/secret", "modelsX"})
      write(file);
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const fs::path& file) const { std::ofstream(root_ / file) << file.string(); }

  // Returns the code of the error, or nothing when the location is accepted.
  std::optional<ErrorCode> refusal(const fs::path& model, std::string_view location) const {
    try {
      open_external(root_ / model, location);
      return std::nullopt;
    } catch (const Error& error) {
      return error.code();
    }
  }

  std::string stand(const fs::path& model, std::string_view location) const {
    return open_external(root_ / model, location).file.path().lexically_relative(root_).string();
  }
  std::string place(const fs::path& model, std::string_view location) const {
    return open_external(root_ / model, location).place.string();
  }

  fs::path root_;
};

TEST_F(OpenExternal, FindsFilesBesideAndBelowTheModel) {
  EXPECT_EQ(stand("models/m.onnx", "w.bin"), "models/w.bin");
  EXPECT_EQ(stand("models/m.onnx", "./sub/w.bin"), "models/sub/w.bin");
}

TEST_F(OpenExternal, RefusesTextThatLeavesTheFolder) {
  EXPECT_EQ(refusal("models/m.onnx", "../other/secret"), ErrorCode::kInvalid);
  EXPECT_EQ(refusal("models/m.onnx", (root_ / "other/secret").string()), ErrorCode::kInvalid);
  EXPECT_EQ(refusal("models/m.onnx", ""), ErrorCode::kInvalid);
}

TEST_F(OpenExternal, RefusesSymbolicLinksThatLeaveTheFolder) {
  fs::create_symlink("../other/secret", root_ / "models/file_link");
  fs::create_directory_symlink("../other", root_ / "models/folder_link");
  fs::create_symlink("../modelsX", root_ / "models/same_prefix");
  EXPECT_EQ(refusal("models/m.onnx", "file_link"), ErrorCode::kInvalid);
  EXPECT_EQ(refusal("models/m.onnx", "folder_link/secret"), ErrorCode::kInvalid);
  EXPECT_EQ(refusal("models/m.onnx", "same_prefix"), ErrorCode::kInvalid);
}

TEST_F(OpenExternal, FollowsSymbolicLinksInsideTheFolder) {
  fs::create_symlink("sub/w.bin", root_ / "models/inner_link");
  EXPECT_EQ(stand("models/m.onnx", "inner_link"), "models/sub/w.bin");
}

TEST_F(OpenExternal, LooksBesideTheFileThatALinkedModelLeadsTo) {
  // Hugging Face's cache: the model and its data are links into a folder of blobs.
  fs::create_directories(root_ / "snapshot");
  fs::create_symlink("../models/m.onnx", root_ / "snapshot/m.onnx");
  fs::create_symlink("../models/w.bin", root_ / "snapshot/weights");
  fs::create_symlink("../other/secret", root_ / "snapshot/out");
  EXPECT_EQ(stand("snapshot/m.onnx", "weights"), "models/w.bin");
  EXPECT_EQ(stand("snapshot/m.onnx", "w.bin"), "models/w.bin");
  EXPECT_EQ(refusal("snapshot/m.onnx", "out"), ErrorCode::kInvalid);
}

TEST_F(OpenExternal, ReportsMissingFilesAsIoErrors) {
  fs::create_symlink("nowhere", root_ / "models/dangling");
  fs::create_symlink("loop", root_ / "models/loop");
  EXPECT_EQ(refusal("models/m.onnx", "missing"), ErrorCode::kIo);
  EXPECT_EQ(refusal("models/m.onnx", "dangling"), ErrorCode::kIo);
  EXPECT_EQ(refusal("models/m.onnx", "loop"), ErrorCode::kIo);
  EXPECT_EQ(refusal("models/m.onnx", std::string(5000, 'x')), ErrorCode::kIo);
}

TEST_F(OpenExternal, ReportsAMissingModelAsIoError) {
  EXPECT_EQ(refusal("models/missing.onnx", "w.bin"), ErrorCode::kIo);
}

TEST_F(OpenExternal, FollowsParentsThatStayInside) {
  EXPECT_EQ(stand("models/m.onnx", "sub/../w.bin"), "models/w.bin");
  EXPECT_EQ(place("models/m.onnx", "sub/../w.bin"), "w.bin");
  EXPECT_EQ(stand("models/m.onnx", "../models/sub/w.bin"), "models/sub/w.bin");
  EXPECT_EQ(place("models/m.onnx", "../models/sub/w.bin"), "sub/w.bin");
  // As in ONNX Runtime the folder on the way must be there.
  EXPECT_EQ(refusal("models/m.onnx", "none/../w.bin"), ErrorCode::kIo);
}

TEST_F(OpenExternal, KeepsThePlaceOfALink) {
  fs::create_symlink("sub/w.bin", root_ / "models/inner_link");
  EXPECT_EQ(place("models/m.onnx", "./inner_link"), "inner_link");
}

TEST_F(OpenExternal, SaysWhereADanglingLinkLeads) {
  fs::create_symlink("../blobs/123", root_ / "models/dangling");
  const std::string message =
      test::message_of([&] { open_external(root_ / "models/m.onnx", "dangling"); });
  EXPECT_NE(message.find("'../blobs/123'"), std::string::npos) << message;
}

TEST_F(OpenExternal, NamesAFileThatIsCalledNearlySo) {
  std::string message, hint;
  const auto open = [&](const char* location) {
    return test::code_of([&] { open_external(root_ / "models/m.onnx", location); }, &message,
                         &hint);
  };
  EXPECT_EQ(open("w_bin"), 3);
  EXPECT_NE(hint.find("'w.bin'"), std::string::npos) << hint;
  EXPECT_EQ(open("*/_ORT_MEM_ADDR_/*"), 4);
  EXPECT_NE(message.find("memory"), std::string::npos) << message;
}

// Puts a link to a file outside in the place of one, before or after a call opens it.
class Swap : public FileCallProbe {
 public:
  Swap(fs::path file, fs::path target, bool before)
      : file_(std::move(file)), target_(std::move(target)), before_(before) {
    last_ = watch_file_calls(this);
  }
  ~Swap() override { watch_file_calls(last_); }

  int before(FileCall& call) override {
    if (before_) swap(call);
    return kMake;
  }
  void after(const FileCall& call, int64_t) override {
    if (!before_) swap(call);
  }

 private:
  void swap(const FileCall& call) {
    if (call.kind != FileCall::Kind::kOpen || call.path != file_) return;
    fs::remove(file_);
    fs::create_symlink(target_, file_);
  }

  fs::path file_, target_;
  bool before_;
  FileCallProbe* last_;
};

TEST_F(OpenExternal, AsksWhereTheFileStandsThatWasOpened) {
  const fs::path file = root_ / "models/w.bin";
  {
    const Swap swap(file, root_ / "other/secret", true);
    EXPECT_EQ(refusal("models/m.onnx", "w.bin"), ErrorCode::kInvalid);
  }
  fs::remove(file);
  write("models/w.bin");
  const Swap swap(file, root_ / "other/secret", false);
  EXPECT_EQ(refusal("models/m.onnx", "w.bin"), ErrorCode::kIo);
}

}  // namespace
}  // namespace wshare

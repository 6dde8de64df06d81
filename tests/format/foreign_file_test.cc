#include "format/foreign_file.h"

#include <gtest/gtest.h>

#include "support/bytes.h"
#include "support/files.h"
#include "support/models.h"

namespace wshare {
namespace {

using namespace std::string_literals;

using test::bytes_of;

std::string zip(const std::string& name) {
  std::string file = "PK\x03\x04"s + std::string(22, '\0');
  file += static_cast<char>(name.size());
  return file + "\0\0\0"s + name + "content";
}

TEST(FindKind, TellsFilesByTheirFirstBytes) {
  struct Case {
    FileKind kind;
    std::string bytes;
  };
  for (const Case& c :
       {Case{FileKind::kEmpty, ""},
        Case{FileKind::kLfsPointer, "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"},
        Case{FileKind::kAppleDouble, "\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X"s},
        Case{FileKind::kWebPage, "<!DOCTYPE html><html>401</html>"},
        Case{FileKind::kWebPage, "\xef\xbb\xbf\n  <HTML lang=en>"},
        Case{FileKind::kXml, "<?xml version=\"1.0\"?><net/>"},
        Case{FileKind::kJson, " {\"a\": 1}"},
        Case{FileKind::kManifest, "{\n\"format\": \"wshare-bundle\",\n"},
        Case{FileKind::kCompressed, "\x1f\x8b\x08\x00"s},
        Case{FileKind::kCompressed, "\x28\xb5\x2f\xfd\x24"s},
        Case{FileKind::kTar, std::string(257, 'a') + "ustar"},
        Case{FileKind::kZip, zip("model.onnx")},
        Case{FileKind::kZip, "PK\x03\x04"s},
        Case{FileKind::kNumpyArchive, zip("a.npy")},
        Case{FileKind::kNumpyArray, "\x93NUMPY\x01\x00"s},
        Case{FileKind::kPyTorch, zip("archive/data.pkl")},
        Case{FileKind::kPickle, "\x80\x02\x8a\x0a"s},
        Case{FileKind::kSafetensors, "\x02\0\0\0\0\0\0\0{}"s},
        Case{FileKind::kAdapter, "\x18\0\0\0TORT"s},
        Case{FileKind::kOrtModel, "\x18\0\0\0ORTM"s},
        Case{FileKind::kOnnxText, "<\n  ir_version: 7,\n  opset_import: [\"\": 17]\n>\nagraph"},
        Case{FileKind::kOnnxText, "ir_version: 8\ngraph {"},
        Case{FileKind::kOnnxModel, test::empty_model().SerializeAsString()},
        Case{FileKind::kText, "no model"}}) {
    SCOPED_TRACE(text_of(c.kind));
    EXPECT_EQ(find_kind(bytes_of(c.bytes)), c.kind);
    EXPECT_NE(hint_for(c.kind, ExpectedFile::kModel), "");
  }
}

TEST(FindKind, KnowsNothingOfNoise) {
  for (uint32_t seed = 1; seed < 20; ++seed) {
    const std::string noise = test::noise(600, seed * 7919);
    EXPECT_EQ(find_kind(bytes_of(noise)), std::nullopt) << seed;
  }
}

TEST(FindKind, ReadsNoFurtherThanAnyTruncation) {
  for (const std::string& whole :
       {zip("archive/data.pkl"), "\x02\0\0\0\0\0\0\0{}"s, std::string(257, 'a') + "ustar",
        test::empty_model().SerializeAsString()}) {
    for (size_t size = 0; size < whole.size(); ++size) {
      const std::vector<char> exactly(whole.begin(), whole.begin() + static_cast<int64_t>(size));
      (void)find_kind(std::as_bytes(std::span(exactly)));
    }
  }
}

TEST(ExplainRefusal, SaysWhatAFileIsInsteadOfWhatIsWrongWithIt) {
  const Error error(ErrorCode::kInvalid, "a field number is out of range");
  const Error page = explain_refusal(error, "m.onnx", bytes_of("<html>"s), ExpectedFile::kModel);
  EXPECT_STREQ(page.what(), "'m.onnx': is a web page, no ONNX model");
  EXPECT_NE(page.hint(), "");
  const std::string model = test::empty_model().SerializeAsString();
  const Error same =
      explain_refusal(error, "m.onnx", bytes_of(model), ExpectedFile::kModel, "look");
  EXPECT_STREQ(same.what(), "'m.onnx': a field number is out of range");
  EXPECT_EQ(same.hint(), "look");
}

}  // namespace
}  // namespace wshare

#include "restore/file_plan.h"

#include <gtest/gtest.h>

#include <string>

#include "support/errors.h"
#include "support/files.h"

namespace wshare {
namespace {

using test::code_of;
using test::message_of;

TEST(FilePlan, GivesOnePlaceToOneModelAndToManyOfOneExternalFile) {
  FilePlan plan("out");
  EXPECT_EQ(plan.add_model("a.onnx", 1), 0u);
  EXPECT_EQ(plan.add_external("sub/x.bin", 2), 1u);
  EXPECT_EQ(plan.add_external("sub/./x.bin", 2), 1u);
  EXPECT_EQ(plan.shown(1), "out/sub/x.bin");
  for (const char* taken : {"a.onnx", "sub/x.bin"})
    EXPECT_EQ(code_of([&] { plan.add_model(taken, 1); }), 4) << taken;
  EXPECT_EQ(code_of([&] { plan.add_external("./a.onnx", 1); }), 4);
  for (const char* none : {"", ".", "sub/", "sub/."})
    EXPECT_EQ(code_of([&] { plan.add_external(none, 1); }), 4) << none;
}

TEST(FilePlan, RefusesWhatNoFolderCanHold) {
  struct Case {
    const char* name;
    std::string first, second, message;
  };
  const std::string longest(255, 'x');
  for (const Case& c :
       {Case{"a file that is a folder", "x", "x/y", "'out/x' is to be a file, too"},
        Case{"the other way round", "sub/x/y/z", "sub/x", "'out/sub/x' is to be a file, too"},
        Case{"a long name", "a", longest + "x", "has a name of 256 bytes, 255 are the most"},
        Case{"a long folder", "a", longest + "x/a", "has a name of 256 bytes, 255 are the most"},
        Case{"the longest name", longest, longest + "y/a", "has a name of 256 bytes"}}) {
    SCOPED_TRACE(c.name);
    FilePlan plan("out");
    plan.add_external(c.first, 1);
    plan.add_external(c.second, 1);
    const std::string message = message_of([&] { plan.check(true); });
    EXPECT_NE(message.find(c.message), std::string::npos) << message;
  }
  std::string deep;
  for (int i = 0; i < 20; ++i) deep += longest + "/";
  FilePlan plan("out");
  plan.add_external(deep + "a", 1);
  EXPECT_EQ(code_of([&] { plan.check(true); }), 4);
}

TEST(FilePlan, CarriesOddNamesIntoANewFolderOnly) {
  for (const char* odd :
       {".ssh/authorized_keys", "sub/.hidden", "-rf", "sub/-rf", "line\nfeed", "del\x7f"}) {
    SCOPED_TRACE(odd);
    FilePlan plan("out");
    plan.add_external(odd, 1);
    EXPECT_NO_THROW(plan.check(true));
    EXPECT_EQ(code_of([&] { plan.check(false); }), 4);
  }
  FilePlan plan("out");
  plan.add_external("s\xc3\xb6nderbar.bin", 1);
  EXPECT_NO_THROW(plan.check(false));
}

TEST(FilePlan, SaysWhenTheDiskHasNoRoom) {
  const test::TempFolder temp;
  struct Case {
    const char* name;
    std::vector<uint64_t> sizes;
    const char* total;
  };
  constexpr uint64_t kExbi = uint64_t{1} << 60;
  for (const Case& c :
       {Case{"one file", {kExbi}, "1.0 EiB"}, Case{"many files", {kExbi, kExbi, kExbi}, "3.0 EiB"},
        Case{"a sum that wraps", {8 * kExbi, 8 * kExbi}, "16.0 EiB"}}) {
    SCOPED_TRACE(c.name);
    FilePlan plan(temp / "not/there");
    for (size_t i = 0; i < c.sizes.size(); ++i) plan.add_external(std::to_string(i), c.sizes[i]);
    std::string message;
    EXPECT_EQ(code_of([&] { plan.check_room(); }, &message), 3);
    EXPECT_NE(message.find("the originals take " + std::string(c.total)), std::string::npos);
    EXPECT_NE(message.find("iB are free: No space left on device"), std::string::npos) << message;
  }
  FilePlan plan(temp / "not/there");
  plan.add_external("x", 1000);
  EXPECT_NO_THROW(plan.check_room());
}

}  // namespace
}  // namespace wshare

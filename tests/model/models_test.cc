#include "wshare/models.h"

#include "support/bundle_test.h"
#include "util/visible.h"

namespace wshare {
namespace {

using test::code_of;
using test::write_file;

class ResolveInputs : public testing::Test {
 protected:
  std::vector<std::string> names(const std::vector<std::string>& arguments) {
    std::vector<std::string> result;
    for (const ModelInput& input : resolve_inputs(arguments)) result.push_back(input.name);
    return result;
  }
  std::string path(const std::string& name) { return (temp_ / name).string(); }
  void add(const std::string& name) { write_file(temp_ / name, name); }

  test::TempFolder temp_;
};

using Names = std::vector<std::string>;

TEST_F(ResolveInputs, NamesModelsLikeTheirFiles) {
  for (const char* name : {"b.onnx", "a.onnx", "notes.txt", "sub/c.onnx", "x.onnx.data"}) add(name);
  test::fs::create_directory(temp_ / "folder.onnx");
  EXPECT_EQ(names({temp_.path().string()}), (Names{"a", "b"}));
  EXPECT_EQ(names({path("b.onnx"), path("sub")}), (Names{"b", "c"}));
  EXPECT_EQ(names({"z=" + path("a.onnx"), path("b.onnx")}), (Names{"z", "b"}));
}

TEST_F(ResolveInputs, NamesModelsLikeTheirFoldersWhereStemsCollide) {
  for (const char* name : {"x/model.onnx", "y/model.onnx", "other.onnx"}) add(name);
  EXPECT_EQ(names({path("x"), path("y"), path("other.onnx")}), (Names{"x", "y", "other"}));
}

TEST_F(ResolveInputs, ShowsNamesOfFilesOnlyAsText) {
  const std::string first = path("\x1b[31m/x/m.onnx"), second = path("\x1b[32m/x/m.onnx");
  for (const char* name : {"\x1b[31m/x/m.onnx", "\x1b[32m/x/m.onnx"}) add(name);
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{first, second}, {"\x1b=" + first}}) {
    std::string message, hint;
    EXPECT_EQ(code_of([&] { names(arguments); }, &message, &hint), 4);
    EXPECT_EQ(message, visible(message));
    EXPECT_EQ(hint, visible(hint));
    EXPECT_NE(hint.find("NAME="), std::string::npos) << hint;
  }
}

TEST_F(ResolveInputs, TakesAFileWhoseNameHasAnEqualsSign) {
  add("k=v.onnx");
  EXPECT_EQ(names({path("k=v.onnx")}), Names{"k=v"});
}

// What a model is depends on where it stands: external data lies there.
TEST_F(ResolveInputs, TakesLinksForModelsOfTheirOwn) {
  add("x/a.onnx");
  test::fs::create_symlink(temp_ / "x/a.onnx", temp_ / "x/b.onnx");
  test::fs::create_directory(temp_ / "y");
  test::fs::create_hard_link(temp_ / "x/a.onnx", temp_ / "y/c.onnx");
  EXPECT_EQ(names({path("x"), path("y")}), (Names{"a", "b", "c"}));
}

TEST_F(ResolveInputs, LeavesHiddenAndDanglingFilesOfAFolderOut) {
  for (const char* name : {"m/a.onnx", "m/._a.onnx", "m/B.ONNX"}) add(name);
  test::fs::create_symlink("../blobs/0", temp_ / "m/c.onnx");
  std::vector<std::string> left_out;
  EXPECT_EQ(resolve_inputs({path("m")}, &left_out).size(), 2u);
  ASSERT_EQ(left_out.size(), 2u);
  EXPECT_EQ(left_out[0], "'" + path("m/._a.onnx") + "': is hidden: left out");
  EXPECT_NE(left_out[1].find("is a link to '../blobs/0'"), std::string::npos) << left_out[1];
  EXPECT_EQ(names({path("m")}), (Names{"B", "a"}));
  // By name it is an error.
  EXPECT_EQ(code_of([&] { resolve_inputs({path("m/c.onnx")}); }), 3);
}

TEST_F(ResolveInputs, ShowsHowToNameOneWhenACollisionRemains) {
  for (const char* name : {"1/x/model.onnx", "2/x/model.onnx"}) add(name);
  std::string message, hint;
  EXPECT_EQ(code_of([&] { resolve_inputs({path("1/x"), path("2/x")}); }, &message, &hint), 4);
  EXPECT_NE(message.find("'x'"), std::string::npos) << message;
  EXPECT_NE(hint.find("NAME=" + path("2/x/model.onnx")), std::string::npos) << hint;
  EXPECT_EQ(names({path("1/x"), "other=" + path("2/x/model.onnx")}).size(), 2u);
}

TEST_F(ResolveInputs, RefusesBadArguments) {
  add("a.onnx");
  add("in/b.onnx");
  test::fs::create_directory(temp_ / "empty");
  test::fs::create_directory_symlink(temp_ / "in", temp_ / "way");
  struct Case {
    const char* name;
    Names arguments;
    int code;
    const char* text;
  };
  for (const Case& c :
       {Case{"missing file", {path("none.onnx")}, 3, "none.onnx"},
        Case{"missing named file", {"a=" + path("none.onnx")}, 3, "none.onnx"},
        Case{"folder without models", {path("empty")}, 4, "empty"},
        Case{"twice", {path("a.onnx"), path("a.onnx")}, 4, "twice"},
        Case{"twice by other names", {path("a.onnx"), "b=" + path("in/../a.onnx")}, 4, "twice"},
        Case{"twice by a link to its folder", {path("in/b.onnx"), path("way/b.onnx")}, 4, "twice"},
        Case{"file and its folder", {path("in"), path("in/b.onnx")}, 4, "twice"},
        Case{"one name for two", {"n=" + path("a.onnx"), "n=" + path("in/b.onnx")}, 4, "'n'"},
        Case{"name with a slash", {"x/y=" + path("a.onnx")}, 4, "x/y"},
        Case{"name of dots", {"..=" + path("a.onnx")}, 4, "'..'"},
        Case{"empty name", {"=" + path("a.onnx")}, 4, "name"},
        Case{"empty argument", {""}, 3, "no such file"}}) {
    SCOPED_TRACE(c.name);
    std::string message;
    EXPECT_EQ(code_of([&] { resolve_inputs(c.arguments); }, &message), c.code);
    EXPECT_NE(message.find(c.text), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace wshare

#include "wshare/models.h"

#include <algorithm>

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

TEST_F(ResolveInputs, NamesModelsByWhatTellsTheirPathsApart) {
  struct Case {
    const char* name;
    Names files, expected;
  };
  const std::string a(40, 'a'), b(40, 'b');
  for (const Case& c :
       {Case{"folders below folders",
             {"hub/one/onnx/model.onnx", "hub/two/onnx/model.onnx", "other.onnx"},
             {"one", "two", "other"}},
        Case{"several files of two releases",
             {"v-5.1/v/data/v.onnx", "v-5.1/v/data/v_half.onnx", "v-6.0/v/data/v.onnx",
              "v-6.0/v/data/v_half.onnx"},
             {"v-5.1-v", "v-5.1-v_half", "v-6.0-v", "v-6.0-v_half"}},
        Case{"two levels", {"p/a/m.onnx", "p/b/m.onnx", "q/a/m.onnx"}, {"p-a", "p-b", "q-a"}},
        Case{"the name of another file", {"a.onnx", "a/m.onnx", "b/m.onnx"}, {"a", "a-m", "b-m"}},
        Case{"a cache of the Hub",
             {"models--org--x/snapshots/" + a + "/onnx/model.onnx",
              "models--org--y/snapshots/" + b + "/onnx/model.onnx"},
             {"x", "y"}},
        Case{"two commits of one",
             {"models--org--x/snapshots/" + a + "/model.onnx",
              "models--org--x/snapshots/" + b + "/model.onnx"},
             {a, b}},
        Case{"one repository of two owners",
             {"models--o--x/s/model.onnx", "models--p--x/s/model.onnx"},
             {"models--o--x", "models--p--x"}}}) {
    SCOPED_TRACE(c.name);
    Names arguments, expected = c.expected;
    for (const std::string& file : c.files) {
      add(file);
      arguments.push_back(path(file));
    }
    EXPECT_EQ(names(arguments), expected);
    std::reverse(arguments.begin(), arguments.end());
    std::reverse(expected.begin(), expected.end());
    EXPECT_EQ(names(arguments), expected);
  }
}

TEST_F(ResolveInputs, TakesANameForAFolder) {
  for (const char* name : {"1/a.onnx", "2/a.onnx", "2/b.onnx"}) add(name);
  EXPECT_EQ(names({"old=" + path("1"), "new=" + path("2")}), (Names{"old", "new-a", "new-b"}));
}

TEST_F(ResolveInputs, LooksIntoFoldersWhenAsked) {
  for (const char* name :
       {"m/a.onnx", "m/x/onnx/model.onnx", "m/y/onnx/model.onnx", "m/.git/b.onnx"}) {
    add(name);
  }
  test::fs::create_directory_symlink("..", temp_ / "m/x/up");
  std::vector<std::string> left_out;
  const std::vector<ModelInput> found =
      resolve_inputs({path("m")}, {.recursive = true, .left_out = &left_out});
  Names found_names;
  for (const ModelInput& each : found) found_names.push_back(each.name);
  EXPECT_EQ(found_names, (Names{"a", "x", "y"}));
  EXPECT_EQ(left_out, Names{"'" + path("m/x/up") + "': is a link to a folder: left out"});
  std::string hint;
  EXPECT_EQ(code_of([&] { resolve_inputs({path("m/x")}); }, nullptr, &hint), 4);
  EXPECT_NE(hint.find("--recursive"), std::string::npos) << hint;
}

TEST_F(ResolveInputs, ShowsNamesOfFilesOnlyAsText) {
  const std::string first = path("\x1b[31m/x/m.onnx"), second = path("\x1b[31m/x/m.ONNX");
  for (const std::string& name : {first, second}) write_file(name, name);
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
  EXPECT_EQ(resolve_inputs({path("m")}, {.left_out = &left_out}).size(), 2u);
  ASSERT_EQ(left_out.size(), 2u);
  EXPECT_EQ(left_out[0], "'" + path("m/._a.onnx") + "': is hidden: left out");
  EXPECT_NE(left_out[1].find("is a link to '../blobs/0'"), std::string::npos) << left_out[1];
  EXPECT_EQ(names({path("m")}), (Names{"B", "a"}));
  // By name it is an error.
  EXPECT_EQ(code_of([&] { resolve_inputs({path("m/c.onnx")}); }), 3);
}

TEST_F(ResolveInputs, ShowsHowToNameOneWhenACollisionRemains) {
  for (const char* name : {"x/model.onnx", "x/model.ONNX"}) add(name);
  std::string message, hint;
  EXPECT_EQ(code_of([&] { resolve_inputs({path("x")}); }, &message, &hint), 4);
  EXPECT_NE(message.find("'x-model'"), std::string::npos) << message;
  EXPECT_NE(hint.find("NAME=" + path("x/model.onnx")), std::string::npos) << hint;
  EXPECT_EQ(names({path("x/model.onnx"), "other=" + path("x/model.ONNX")}),
            (Names{"model", "other"}));
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

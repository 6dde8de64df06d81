// A model is where it stands and what it says. Files with several names, links of both kinds and
// caches of downloads, come back under each name that a model uses.

#include "support/bundle_test.h"
#include "wshare/append.h"
#include "wshare/inspect.h"
#include "wshare/remove.h"
#include "wshare/restore.h"

namespace wshare {
namespace {

using test::bytes_below;
using test::external;
using test::files_in;
using test::noise;
using test::raw;
using test::write_file;

namespace fs = std::filesystem;

enum class Link { kSymbolic, kHard, kCopy };

void link_file(Link kind, const fs::path& target, const fs::path& name) {
  fs::create_directories(name.parent_path());
  if (kind == Link::kSymbolic) {
    fs::create_symlink(fs::proximate(target, name.parent_path()), name);
  } else if (kind == Link::kHard) {
    fs::create_hard_link(target, name);
  } else {
    fs::copy_file(target, name);
  }
}

class FileNames : public test::BundleTest {
 protected:
  // Three weights, two of which `last` reads: all or none of the third.
  static std::string model(const std::string& location, int first, int last) {
    std::vector<onnx::TensorProto> tensors;
    for (int i = first; i < last; ++i) {
      tensors.push_back(external("w" + std::to_string(i), 70000,
                                 {{"location", location}, {"offset", std::to_string(70000 * i)}}));
    }
    return test::bytes_of(tensors);
  }

  void add_data(const std::string& name) { write_file(temp_ / ("in/" + name), noise(210000, 7)); }

  void dedupe_all(const std::vector<std::string>& files) {
    dedupe(inputs(files), temp_ / "bundle", {});
  }

  // All that the bundle gives back, by its path.
  std::map<std::string, std::string> restored() {
    fs::remove_all(temp_ / "back");
    for (const RestoredModel& each : restore(temp_ / "bundle", {}, temp_ / "back", {}))
      EXPECT_TRUE(each.identical) << each.name;
    return files_in(temp_ / "back");
  }

  std::string original(const std::string& name) { return test::read_file(temp_ / ("in/" + name)); }

  RemoveReport take(const std::string& name, bool compact) {
    RemoveOptions options;
    options.compact = compact;
    return remove_models(temp_ / "bundle", {name}, options);
  }
};

TEST_F(FileNames, GivesADataFileBackUnderEachNameInOneFolder) {
  for (const Link kind : {Link::kSymbolic, Link::kHard, Link::kCopy}) {
    SCOPED_TRACE(static_cast<int>(kind));
    add_data("a.data");
    link_file(kind, temp_ / "in/a.data", temp_ / "in/b.data");
    add("a.onnx", model("a.data", 0, 3));
    add("b.onnx", model("b.data", 0, 2));
    dedupe_all({"a.onnx", "b.onnx"});
    expect_sound();
    EXPECT_EQ(restored(), files_in(temp_ / "in"));
    for (const char* folder : {"bundle", "in"}) fs::remove_all(temp_ / folder);
  }
}

TEST_F(FileNames, GivesADataFileBackInEachFolder) {
  add_data("x/m.data");
  link_file(Link::kHard, temp_ / "in/x/m.data", temp_ / "in/y/m.data");
  add("x/m.onnx", model("m.data", 0, 2));
  add("y/m.onnx", model("m.data", 1, 3));
  dedupe_all({"x/m.onnx", "y/m.onnx"});
  expect_sound();
  EXPECT_EQ(restored(), files_in(temp_ / "in"));
}

// Two halves of one file, each read under a name of its own: every byte once.
TEST_F(FileNames, StoresTheBytesOfALinkedFileOnce) {
  add_data("a.data");
  link_file(Link::kHard, temp_ / "in/a.data", temp_ / "in/b.data");
  add("a.onnx", model("a.data", 0, 1));
  add("b.onnx", model("b.data", 1, 3));
  dedupe_all({"a.onnx", "b.onnx"});
  EXPECT_EQ(restored(), files_in(temp_ / "in"));
  EXPECT_LT(bytes_below(temp_ / "bundle"), 210000 + 12000);
}

// What is left needs bytes in the blob of the model that goes.
TEST_F(FileNames, KeepsWhatAnotherNameNeedsWhenAModelIsRemoved) {
  for (const bool compact : {false, true}) {
    for (const char* gone : {"a", "b"}) {
      SCOPED_TRACE(std::string(gone) + (compact ? ", compact" : ""));
      add_data("a.data");
      link_file(Link::kHard, temp_ / "in/a.data", temp_ / "in/b.data");
      add("a.onnx", model("a.data", 0, 1));
      add("b.onnx", model("b.data", 1, 3));
      add("c.onnx", {raw("other", noise(5000, 3))});
      dedupe_all({"a.onnx", "b.onnx", "c.onnx"});
      take(gone, compact);
      expect_sound();
      std::map<std::string, std::string> expected = files_in(temp_ / "in");
      expected.erase(std::string(gone) + ".onnx");
      expected.erase(std::string(gone) + ".data");
      EXPECT_EQ(restored(), expected);
      take(gone == std::string("a") ? "b" : "a", false);
      EXPECT_EQ(restored().size(), 1u);
      EXPECT_LT(bytes_below(temp_ / "bundle"), 210000u + 5000);
      for (const char* folder : {"bundle", "in"}) fs::remove_all(temp_ / folder);
    }
  }
}

TEST_F(FileNames, CompactsWithoutStoringLinkedBytesTwice) {
  add_data("a.data");
  link_file(Link::kHard, temp_ / "in/a.data", temp_ / "in/b.data");
  add("a.onnx", model("a.data", 0, 1));
  add("b.onnx", model("b.data", 1, 3));
  add("c.onnx", {raw("other", noise(5000, 3))});
  dedupe_all({"a.onnx", "b.onnx", "c.onnx"});
  take("c", true);
  expect_sound();
  EXPECT_LT(bytes_below(temp_ / "bundle"), 210000 + 12000);
  std::map<std::string, std::string> expected = files_in(temp_ / "in");
  expected.erase("c.onnx");
  EXPECT_EQ(restored(), expected);
}

// snapshots/REVISION/m.onnx -> ../../blobs/HASH: one graph, two weights.
TEST_F(FileNames, TellsModelsApartThatAreLinksToOneGraph) {
  write_file(temp_ / "in/blobs/graph", model("m.data", 0, 3));
  for (const char* revision : {"1", "2"}) {
    const fs::path folder = temp_ / ("in/snapshots/r" + std::string(revision));
    write_file(temp_ / ("in/blobs/w" + std::string(revision)),
               noise(210000, static_cast<uint32_t>(revision[0])));
    link_file(Link::kSymbolic, temp_ / "in/blobs/graph", folder / "m.onnx");
    link_file(Link::kSymbolic, temp_ / ("in/blobs/w" + std::string(revision)), folder / "m.data");
  }
  dedupe_all({"snapshots/r1/m.onnx", "snapshots/r2/m.onnx"});
  std::map<std::string, std::string> expected;
  for (const std::string name : {"r1/m.onnx", "r1/m.data", "r2/m.onnx", "r2/m.data"})
    expected[name] = original("snapshots/" + name);
  EXPECT_EQ(restored(), expected);
}

// What ONNX Runtime opens: ".." that stays inside, and a length of 0 for what the shape needs.
TEST_F(FileNames, GivesFilesBackWhoseLocationsClimb) {
  struct Case {
    const char* name;
    const char* location;
    const char* folder;  // of what comes back
  };
  for (const Case& c : {Case{"through a folder", "sub/../m.data", ""},
                        Case{"out and in again", "../in/m.data", "in/"}}) {
    SCOPED_TRACE(c.name);
    fs::create_directories(temp_ / "in/sub");
    add_data("m.data");
    add("m.onnx", {external("w", 70000, {{"location", c.location}, {"length", "0"}}),
                   external("x", 9000, {{"location", c.location}, {"offset", "70000"}})});
    dedupe_all({"m.onnx"});
    expect_sound();
    EXPECT_EQ(restored(), (std::map<std::string, std::string>{
                              {std::string(c.folder) + "m.onnx", original("m.onnx")},
                              {std::string(c.folder) + "m.data", original("m.data")}}));
    for (const char* folder : {"bundle", "in"}) fs::remove_all(temp_ / folder);
  }
}

TEST_F(FileNames, SaysWhichModelsAreTheSame) {
  add("a.onnx", {raw("w", noise(70000, 1)), raw("tiny", "abc")});
  link_file(Link::kSymbolic, temp_ / "in/a.onnx", temp_ / "in/b.onnx");
  link_file(Link::kCopy, temp_ / "in/a.onnx", temp_ / "in/c.onnx");
  add("d.onnx", {raw("w", noise(70000, 1)), raw("tiny", "abd")});
  const DedupeReport report = make();
  std::vector<std::string> same;
  for (const DedupedModel& model : report.models) same.push_back(model.same_as);
  EXPECT_EQ(same, (std::vector<std::string>{"", "a", "a", ""}));
  EXPECT_EQ(restored(), (std::map<std::string, std::string>{{"a.onnx", original("a.onnx")},
                                                            {"b.onnx", original("a.onnx")},
                                                            {"c.onnx", original("a.onnx")},
                                                            {"d.onnx", original("d.onnx")}}));
  // One file with two names is one file on disk.
  EXPECT_EQ(report.bytes_in, 3 * fs::file_size(temp_ / "in/a.onnx"));
  // Also of a bundle, and of what comes to it.
  link_file(Link::kCopy, temp_ / "in/a.onnx", temp_ / "in/e.onnx");
  add("f.onnx", {raw("w", noise(70000, 1)), raw("tiny", "abe")});
  const AppendReport more = append(temp_ / "bundle", inputs({"e.onnx", "f.onnx"}), {});
  EXPECT_EQ(more.models.at(0).same_as, "a");
  EXPECT_EQ(more.models.at(1).same_as, "");
  same.clear();
  for (const InspectedModel& model : inspect({(temp_ / "bundle").string()}, {}).models)
    same.push_back(model.same_as);
  EXPECT_EQ(same, (std::vector<std::string>{"", "a", "a", "", "a", ""}));
}

// What models do not need of their external files is stored once, also of copies.
TEST_F(FileNames, StoresTheRestOfCopiesOnce) {
  for (const std::string folder : {"x", "y"}) {
    add(folder + "/m.onnx", {external("w", 4000, {{"location", "m.data"}, {"offset", "60000"}})});
    write_file(temp_ / ("in/" + folder + "/m.data"), noise(64000, 1));
  }
  dedupe(inputs({"x/m.onnx", "y/m.onnx"}), temp_ / "bundle", {});
  EXPECT_LT(fs::file_size(temp_ / "bundle/restore.bin"), 2 * 60000);
  EXPECT_EQ(restored().at("x/m.data"), noise(64000, 1));
  EXPECT_EQ(restored().at("y/m.data"), noise(64000, 1));
}

// Equal graphs say nothing of the weights beside them.
TEST_F(FileNames, DoesNotTakeOtherWeightsForTheSame) {
  for (const std::string folder : {"x", "y"}) {
    add(folder + "/m.onnx", {external("w", 4000, {{"location", "m.data"}}),
                             external("tiny", 9, {{"location", "m.data"}, {"offset", "4000"}})});
    write_file(temp_ / ("in/" + folder + "/m.data"), noise(4000, 1) + "tiny of " + folder);
  }
  const DedupeReport report = dedupe(inputs({"x/m.onnx", "y/m.onnx"}), temp_ / "bundle", {});
  for (const DedupedModel& model : report.models) EXPECT_EQ(model.same_as, "") << model.name;
}

}  // namespace
}  // namespace wshare

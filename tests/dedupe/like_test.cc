// dedupe --like: a bundle that is made anew keeps the files of the one that was published.

#include <nlohmann/json.hpp>

#include "format/manifest/text.h"
#include "support/cli_test.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

using test::names_in;
using test::noise;
using test::raw;
using test::read_file;
using test::write_file;
using Names = std::vector<std::string>;

class DedupeLike : public test::CliTest {
 protected:
  // Two models over a trunk, with a head each, and their bundle "old".
  void SetUp() override {
    add("a.onnx", {raw("trunk", noise(256 << 10, 1)), raw("head", noise(70000, 2))});
    add("b.onnx", {raw("trunk", noise(256 << 10, 1)), raw("head", noise(70000, 3))});
    make("old", {});
  }

  // Has the head of a, too: a fresh dedupe puts that into the shared blob.
  void add_third() {
    add("c.onnx", {raw("trunk", noise(256 << 10, 1)), raw("of_a", noise(70000, 2)),
                   raw("head", noise(70000, 4))});
  }

  void make(const std::string& bundle, const Names& more, int code = 0) {
    Names command{"dedupe", path("in"), "-o", path(bundle), "--json"};
    command.insert(command.end(), more.begin(), more.end());
    ASSERT_EQ(run(command), code) << err_;
  }

  // The bytes that a layout which has "old" gets of `bundle`.
  uint64_t new_bytes(const std::string& bundle) {
    const std::string layout = path("layout_" + bundle);
    EXPECT_EQ(run({"export", "oci", path("old"), layout + ":v1"}), 0) << err_;
    EXPECT_EQ(run({"export", "oci", path(bundle), layout + ":v2", "--json"}), 0) << err_;
    return nlohmann::json::parse(out_)["new_bytes"];
  }

  bool is_same_file(const std::string& bundle, const std::string& name) const {
    return fs::equivalent(temp_ / bundle / name, temp_ / "old" / name);
  }

  void expect_sound(const std::string& bundle) {
    EXPECT_EQ(run({"verify", path(bundle)}), 0) << out_;
    EXPECT_EQ(run({"restore", path(bundle), "-o", path(bundle + "_back"), "--force"}), 0) << err_;
    for (const std::string& name : names_in(temp_ / (bundle + "_back")))
      EXPECT_TRUE(read_file(temp_ / (bundle + "_back") / name) == read_file(temp_ / "in" / name));
  }
};

TEST_F(DedupeLike, SendsOfOneModelMoreOnlyWhatIsNew) {
  add_third();
  make("fresh", {});
  make("like", {"--like", path("old")});
  const auto json = nlohmann::json::parse(out_);
  EXPECT_GE(json["like_bytes"], (256 << 10) + 2 * 70000);
  for (const std::string name : {"shared.bin", "a.bin", "b.bin"})
    EXPECT_TRUE(is_same_file("like", name)) << name;
  for (const std::string name : {"a.onnx", "b.onnx"})
    EXPECT_TRUE(read_file(temp_ / "like" / name) == read_file(temp_ / "old" / name)) << name;
  expect_sound("like");
  EXPECT_GT(new_bytes("fresh"), 256u << 10);
  const uint64_t small = fs::file_size(temp_ / "like/manifest.json") +
                         fs::file_size(temp_ / "like/restore.bin") +
                         fs::file_size(temp_ / "like/c.onnx");
  EXPECT_LE(new_bytes("like"), 70000 + small + 4096);  // 4096: config and manifest of the layout
}

TEST_F(DedupeLike, IsWhatADryRunSaysItWouldBe) {
  add_third();
  make("like", {"--like", path("old"), "-n"});
  auto tried = nlohmann::json::parse(out_);
  EXPECT_FALSE(fs::exists(temp_ / "like"));
  make("like", {"--like", path("old"), "-j", "1"});
  const auto done = nlohmann::json::parse(out_);
  tried["seconds"] = done["seconds"];
  EXPECT_EQ(tried, done);
  uint64_t bytes = 0;
  for (const std::string& name : names_in(temp_ / "like"))
    bytes += fs::file_size(temp_ / "like" / name);
  EXPECT_EQ(done["bytes_out"], bytes);
}

TEST_F(DedupeLike, TakesThePlaceOfTheBundleThatItIsLike) {
  const std::string before = read_file(temp_ / "old/shared.bin");
  add_third();
  make("old", {"--like", path("old"), "--force", "--explain"});
  EXPECT_TRUE(read_file(temp_ / "old/shared.bin") == before);
  EXPECT_EQ(fs::hard_link_count(temp_ / "old/shared.bin"), 1u);
  expect_sound("old");
}

TEST_F(DedupeLike, KeepsABlobThatIsUsedForTheMostPartAndAccountsForTheRest) {
  fs::remove(temp_ / "in/a.onnx");
  make("like", {"--like", path("old")});
  EXPECT_EQ(names_in(temp_ / "like"),
            (Names{"b.bin", "b.onnx", "manifest.json", "restore.bin", "shared.bin"}));
  EXPECT_TRUE(is_same_file("like", "shared.bin"));
  expect_sound("like");
  EXPECT_EQ(run({"remove", path("like"), "--compact"}), 0) << err_;
  expect_sound("like");

  add("d.onnx", {raw("trunk", noise(256 << 10, 1)), raw("x", noise(20000, 7)),
                 raw("y", noise(20000, 8)), raw("small", noise(2000, 9))});
  add("e.onnx",
      {raw("trunk", noise(256 << 10, 1)), raw("x", noise(20000, 7)), raw("y", noise(20000, 8))});
  make("wide", {});
  add("e.onnx", {raw("trunk", noise(256 << 10, 1))});
  fs::remove(temp_ / "in/d.onnx");
  make("less", {"--like", path("wide")});
  EXPECT_TRUE(fs::equivalent(temp_ / "less/shared.bin", temp_ / "wide/shared.bin"));
  expect_sound("less");
  // Every bit counts, also of what no model uses now.
  std::string bytes = read_file(temp_ / "less/shared.bin");
  const Manifest manifest = load_manifest(temp_ / "less");
  ASSERT_FALSE(manifest.gaps.empty());
  const Extent unused = manifest.gaps.back().extent;
  EXPECT_GE(unused.size, 20000u);
  bytes[unused.offset] ^= 1;
  fs::remove(temp_ / "less/shared.bin");
  write_file(temp_ / "less/shared.bin", bytes);
  EXPECT_EQ(run({"verify", path("less")}), 1);
}

TEST_F(DedupeLike, LeavesABlobBehindOfWhichLittleIsUsed) {
  fs::remove_all(temp_ / "in");
  // The front of the trunk would lie in it, and a's head is of use to nobody.
  add("front.onnx", {raw("front", noise(256 << 10, 1).substr(0, 4096)), raw("w", noise(70000, 3))});
  make("like", {"--like", path("old")});
  EXPECT_EQ(names_in(temp_ / "like"),
            (Names{"b.bin", "front.bin", "front.onnx", "manifest.json", "restore.bin"}));
  EXPECT_TRUE(is_same_file("like", "b.bin"));
  EXPECT_EQ(fs::file_size(temp_ / "like/front.bin"), 4096u);
  expect_sound("like");
}

TEST_F(DedupeLike, RefusesWhatIsNoBundleOrDamaged) {
  const Names command{"dedupe", path("in"), "-o", path("like"), "--like"};
  const auto with = [&](const Names& more) {
    Names all = command;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  expect_refused(with({path("none")}), 3, {"none"});
  expect_refused(with({path("old"), "--archive"}), 2, {"--archive"});
  std::string bytes = read_file(temp_ / "old/shared.bin");
  bytes[100] ^= 1;
  write_file(temp_ / "old/shared.bin", bytes);
  // What is not equal any more is not used: nothing of it is known to be wrong.
  make("like", {"--like", path("old")});
  expect_sound("like");
  bytes[100] ^= 1;
  write_file(temp_ / "old/shared.bin", bytes.substr(1));
  fs::remove_all(temp_ / "like");
  fs::remove_all(temp_ / "like_back");
  expect_refused(with({path("old")}), 4, {"shared.bin"});
}

}  // namespace
}  // namespace wshare

// archive() with chains: checkpoints of one training, each computed from the one before.

#include <algorithm>
#include <map>
#include <string>

#include "archive/family.h"
#include "compare/bases/chains.h"
#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "support/places.h"
#include "wshare/append.h"
#include "wshare/remove.h"
#include "wshare/verify.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

using test::bytes_below;
using test::code_of;
using test::files_in;
using test::floats;
using test::moved;
using test::Names;
using test::noise;
using test::raw;
using test::read_file;
using test::Values;
using test::weight;
using test::write_file;

class Chain : public test::FamilyTest {
 protected:
  // A model, and checkpoints of its training: each walks on from the one before, but what is
  // frozen.
  void make_checkpoints(unsigned count) {
    Values embedding = weight(300 * 64, 1), query = weight(64 * 64, 2);
    for (unsigned i = 0; i <= count; ++i) {
      add("step" + std::to_string(i) + ".onnx",
          {floats("embedding", embedding, {300, 64}), floats("query", query, {64, 64}),
           raw("frozen", noise(5000, 7)), floats("head", weight(900, 90 + i)),
           raw("table", noise(2000, 50 + i))});
      embedding = moved(std::move(embedding), 16 * i + 1);
      query = moved(std::move(query), 16 * i + 2);
    }
    make();
  }

  ArchiveReport put_away(const std::string& base = "step0", bool dry_run = false) {
    ArchiveOptions options;
    options.chain = true;
    options.base = base;
    options.dry_run = dry_run;
    return FamilyTest::put_away({}, options);
  }

  const OriginalTensor& archived_tensor(const Manifest& manifest, const std::string& model,
                                        const std::string& name) {
    for (const OriginalTensor& tensor : find_archived(manifest, model)->tensors) {
      if (tensor.name == name) return tensor;
    }
    throw std::out_of_range(name);
  }
};

TEST_F(Chain, ComputesEachCheckpointFromTheOneBefore) {
  make_checkpoints(5);
  fs::copy(bundle(), temp_ / "star", fs::copy_options::recursive);
  const ArchiveReport report = put_away();
  ASSERT_EQ(report.models.size(), 5u);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(report.models[i].name, "step" + std::to_string(i + 1));
    EXPECT_EQ(report.models[i].base, "step" + std::to_string(i));
  }
  expect_whole(6);
  const Manifest manifest = load_manifest(bundle());
  EXPECT_EQ(archived_tensor(manifest, "step1", "query").derivation->then.size(), 0u);
  EXPECT_EQ(archived_tensor(manifest, "step5", "query").derivation->then.size(), 4u);
  ArchiveOptions star;
  star.base = "step0";
  archive(temp_ / "star", {}, star);
  EXPECT_LT(bytes_below(bundle()), bytes_below(temp_ / "star") * 98 / 100);
}

TEST_F(Chain, SaysWhatItWouldDo) {
  make_checkpoints(4);
  const auto before = files_in(bundle());
  const ArchiveReport planned = put_away("", true);
  EXPECT_TRUE(files_in(bundle()) == before);
  const ArchiveReport done = put_away("");
  ASSERT_EQ(planned.models.size(), done.models.size());
  for (size_t m = 0; m < done.models.size(); ++m) {
    EXPECT_EQ(planned.models[m].base, done.models[m].base);
    const auto size = static_cast<double>(done.models[m].bytes_before);
    EXPECT_NEAR(static_cast<double>(planned.models[m].archived_bytes) / size,
                static_cast<double>(done.models[m].archived_bytes) / size, 0.02);
  }
  expect_whole(5);
}

// What is computed names bytes, no models: any of a chain may go, run again or be laid out anew.
TEST_F(Chain, HoldsWithoutItsLinks) {
  make_checkpoints(5);
  put_away();
  RemoveOptions remove_options;
  remove_models(bundle(), {"step2", "step0"}, remove_options);
  fs::remove(temp_ / "in" / "step2.onnx"), fs::remove(temp_ / "in" / "step0.onnx");
  expect_whole(4);
  bring_back({"step3"});
  expect_whole(4);
  remove_options.compact = true;
  remove_models(bundle(), {}, remove_options);
  expect_whole(4);
  bring_back({"step5", "step4", "step1"});
  expect_whole(4);
  EXPECT_TRUE(load_manifest(bundle()).archived.empty());
  for (const std::string& name : test::names_in(bundle()))
    EXPECT_FALSE(name.ends_with(".archive")) << name;
}

// Weights that two checkpoints share are one link; what a fallback stores is a base of the next.
TEST_F(Chain, FollowsWhatIsSharedAndWhatIsStored) {
  const Values start = weight(20000, 1), both = moved(start, 2), last = moved(both, 3);
  const Values head = weight(20000, 5);
  Values next_head = head;  // far enough from it to be worth a step of its own
  for (unsigned i = 0; i < 30; ++i) next_head = moved(std::move(next_head), 60 + i);
  const auto add_one = [&](const std::string& name, const Values& w, const Values& x) {
    add(name, {floats("w", w), floats("x", x)});
  };
  add_one("a.onnx", start, weight(20000, 4));
  add_one("b.onnx", both, head);  // x is another weight altogether
  add_one("c.onnx", both, next_head);
  add_one("d.onnx", last, moved(next_head, 7));
  make();
  put_away("a");
  const Manifest manifest = load_manifest(bundle());
  EXPECT_TRUE(archived_tensor(manifest, "b", "x").extent.has_value());
  EXPECT_TRUE(archived_tensor(manifest, "c", "x").derivation.has_value());
  EXPECT_EQ(archived_tensor(manifest, "c", "x").derivation->then.size(), 0u);
  EXPECT_EQ(archived_tensor(manifest, "d", "x").derivation->then.size(), 1u);
  EXPECT_EQ(archived_tensor(manifest, "d", "w").derivation->then.size(), 1u);
  expect_whole(4);
}

TEST_F(Chain, DamageOfALinkIsSeenInAllThatFollow) {
  make_checkpoints(3);
  put_away();
  const Extent residual =
      archived_tensor(load_manifest(bundle()), "step1", "embedding").derivation->residual;
  std::string bytes = read_file(bundle() / "step1.archive");
  char& byte = bytes[static_cast<size_t>(residual.offset + residual.size / 2)];
  byte = static_cast<char>(byte ^ 1);
  write_file(bundle() / "step1.archive", bytes);
  EXPECT_FALSE(verify(bundle(), {1}).empty());
  for (const char* name : {"step1", "step2", "step3"}) {
    EXPECT_EQ(code_of([&] { restore(bundle(), {name}, temp_ / "out" / name, {}); }), 4) << name;
    EXPECT_EQ(code_of([&] { bring_back({name}); }), 4) << name;
  }
}

TEST_F(Chain, BundlesOfThisVersionAreReadForEver) {
  fs::copy(fs::path(test::kTestdata) / "compat" / "chain", bundle());
  expect_sound();
  const Manifest manifest = load_manifest(bundle());
  size_t longest = 0;
  for (const OriginalTensor& tensor : find_archived(manifest, "step3")->tensors) {
    if (tensor.derivation) longest = std::max(longest, tensor.derivation->then.size());
  }
  EXPECT_EQ(longest, 2u);
  EXPECT_EQ(find_archived(manifest, "step1"), nullptr);
  bring_back({"step2", "step3"});
  expect_sound();
}

TEST_F(Chain, CommandLineAndInspectNameTheLinks) {
  make_checkpoints(2);
  ASSERT_EQ(run({"archive", path("bundle"), "--chain", "--base", "step0"}), 0) << err_;
  EXPECT_NE(out_.find("step2  moved from 'step1'"), std::string::npos) << out_;
  ASSERT_EQ(run({"inspect", path("bundle")}), 0) << err_;
  EXPECT_NE(out_.find("step1  step2"), std::string::npos) << out_;
}

// Costs as of a walk: from one to another as many as lie between them; the base is before all.
TEST(GrowChains, FollowsTheWalkUpToTheMostSteps) {
  const auto distance = [](size_t c, size_t t) -> std::optional<double> {
    return 100.0 + 10.0 * static_cast<double>(c < t ? t - c : c - t);
  };
  std::vector<double> from_base;
  for (size_t t = 0; t < 6; ++t) from_base.push_back(110.0 + 10.0 * static_cast<double>(t));
  const std::vector<Link> links = grow_chains(from_base, distance, 3);
  ASSERT_EQ(links.size(), 6u);
  EXPECT_FALSE(links[0].parent);
  for (size_t t = 1; t < 6; ++t) {
    ASSERT_LE(links[t].steps, 3u);
    if (links[t].parent) {
      EXPECT_EQ(links[t].steps, links[*links[t].parent].steps + 1);
    }
    EXPECT_LE(links[t].left, from_base[t]);
  }
  EXPECT_EQ(links[1].parent, 0u);
  EXPECT_EQ(links[2].parent, 1u);
  EXPECT_EQ(links[2].steps, 3u);
  EXPECT_EQ(links[3].parent, 1u);  // 2 has as many steps as are allowed
  EXPECT_TRUE(grow_chains({}, distance, 3).empty());
  const auto nothing = [](size_t, size_t) { return std::optional<double>(); };
  for (const Link& link : grow_chains({3, 2, 1}, nothing, 3)) EXPECT_FALSE(link.parent);
}

}  // namespace
}  // namespace wshare

// Packs of one model side by side, for several ONNX Runtimes and CPUs.

#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "pack/packed.h"
#include "runtime/cpu_features.h"
#include "support/spawn.h"
#include "wshare/append.h"
#include "wshare/remove.h"
#include "wshare/restore.h"

namespace wshare::test {
namespace {

// Two models, packed once for this ONNX Runtime and, as the manifest says, once for 1.20.0.
class SeveralPacks : public PackTest {
 protected:
  SeveralPacks() {
    make_two();
    pack_all();
    for (size_t p : {0, 1}) change_pack(p, [](PackRecord& pack) { pack.onnxruntime = "1.20.0"; });
    pack_all();
  }

  void change_pack(size_t p, const std::function<void(PackRecord&)>& change) const {
    change_manifest([&](Manifest& changed) { change(changed.packs.at(p)); });
  }

  // "model runtime" of each pack.
  std::vector<std::string> packs() const {
    std::vector<std::string> all;
    for (const PackRecord& pack : manifest().packs)
      all.push_back(pack.model.name + ' ' + (pack.onnxruntime == ours() ? "ours" : "1.20.0"));
    return all;
  }

  static std::string ours() { return OrtGetApiBase()->GetVersionString(); }

  // Which release's pack a session of `model` is made over.
  std::string used_by(const std::string& model) {
    Bundle opened = Bundle::open(bundle());
    Session session = open(opened, model, Tier::kPacked);
    EXPECT_TRUE(equals_plain(model, *session));
    return opened.report().models.at(0).packed_by;
  }

  using Packs = std::vector<std::string>;
  const Packs all_ = {"a 1.20.0", "a ours", "b 1.20.0", "b ours"};
};

TEST_F(SeveralPacks, LieBesideEachOtherAndShareBytes) {
  EXPECT_EQ(packs(), all_);
  expect_sound();
  const Manifest packed = manifest();
  EXPECT_EQ(packed.packs[0].buffers[0].extent, packed.packs[1].buffers[0].extent);
  EXPECT_FALSE(fs::exists(bundle() / "packed_2.bin"));  // all its bytes were there
  const PackReport report = pack_all();
  EXPECT_EQ(report.other_packs, 2U);
  EXPECT_EQ(packs(), all_);
  restore(bundle(), {}, temp_ / "out", {});
  EXPECT_EQ(files_in(temp_ / "out"), files_in(temp_ / "in"));
}

TEST_F(SeveralPacks, OfThisReleaseComeFirst) {
  EXPECT_EQ(used_by("a"), ours());
  change_pack(1, [](PackRecord& pack) { pack.cpu += " avx512_new"; });
  EXPECT_EQ(used_by("a"), "1.20.0");  // and that is shown to fit
  change_pack(0, [](PackRecord& pack) { pack.made_of = {}; });
  expect_unpacked("a",
                  "none of its 2 packs fits: its pack is for another CPU: -avx512_new; its "
                  "pack was made of another file of the model");
}

// One that ONNX Runtime does not take is not the end.
TEST_F(SeveralPacks, AreTriedOneAfterTheOther) {
  const fs::path file = bundle() / manifest().packs[1].model.file;
  onnx::ModelProto packed;
  ASSERT_TRUE(packed.ParseFromString(read_file(file)));
  packed.mutable_graph()->mutable_node(0)->set_op_type("NoSuchOperator");
  const std::string model = packed.SerializeAsString();
  write_file(file, model);
  change_pack(1, [&](PackRecord& pack) {
    pack.model.size = model.size();
    pack.model.hash = hash_of(model);
  });
  Bundle opened = Bundle::open(bundle());
  for (int i = 0; i < 2; ++i) {
    Session session = open(opened, "a", Tier::kAuto);
    EXPECT_TRUE(equals_plain("a", *session));
    EXPECT_EQ(opened.report().models.at(0).packed_by, "1.20.0");
  }
}

TEST_F(SeveralPacks, StayOrGoWithTheirModel) {
  add("c.onnx", matmul_model(kRows, kColumns, floats(kColumns, 4)));
  append(bundle(), inputs({"c.onnx"}), {});
  EXPECT_EQ(packs(), all_);
  RemoveOptions options;
  remove_models(bundle(), {"a"}, options);
  EXPECT_EQ(packs(), (Packs{"b 1.20.0", "b ours"}));
  expect_sound();
  options.compact = true;
  remove_models(bundle(), {}, options);
  EXPECT_EQ(packs(), (Packs{"b 1.20.0", "b ours"}));
  expect_sound();
  EXPECT_EQ(used_by("b"), ours());
}

TEST_F(SeveralPacks, AreAllInspected) {
  change_pack(0, [](PackRecord& pack) { pack.cpu = "x86_64 Other"; });
  ASSERT_EQ(run({"inspect", path("bundle")}), 0) << err_;
  EXPECT_NE(out_.find("CPU 1: x86_64 Other\nCPU 2: " + cpu_features()), std::string::npos) << out_;
  ASSERT_EQ(run({"inspect", path("bundle"), "--json"}), 0) << err_;
  EXPECT_EQ(nlohmann::json::parse(out_).at("packs").size(), 4U);
}

TEST_F(SeveralPacks, ArePrunedOfWhatNobodyHereCanUse) {
  const auto before = files_in(bundle());
  PruneOptions options;
  options.models = {"a"};
  options.dry_run = true;
  const PruneReport dry = prune_packs(bundle(), options);
  EXPECT_EQ(files_in(bundle()), before);
  options.dry_run = false;
  const PruneReport report = prune_packs(bundle(), options);
  EXPECT_EQ(report.bytes_out, dry.bytes_out);
  EXPECT_EQ(packs(), (Packs{"a ours", "b 1.20.0", "b ours"}));
  ASSERT_EQ(run({"pack", path("bundle"), "--prune", "--dry-run"}), 0) << err_;
  EXPECT_NE(out_.find("would drop\nb  1.20.0  its pack is for ONNX Runtime 1.20.0, and there is "
                      "one for " +
                      ours() + "\n2 of 3 packs would stay"),
            std::string::npos)
      << out_;
  EXPECT_EQ(packs().size(), 3U);
  ASSERT_EQ(run({"pack", path("bundle"), "--prune", "--json"}), 0) << err_;
  EXPECT_EQ(nlohmann::json::parse(out_).at("dropped").size(), 1U);
  EXPECT_EQ(packs(), (Packs{"a ours", "b ours"}));
  expect_sound();
  expect_packed({"a", "b"});
  uint64_t on_disk = 0;
  for (const auto& [name, bytes] : files_in(bundle())) on_disk += bytes.size();
  EXPECT_EQ(nlohmann::json::parse(out_).at("bytes_out"), on_disk);
}

// Of another release alone: it may pack the same bytes.
TEST_F(SeveralPacks, ArePrunedOfNothingThatMayServe) {
  change_manifest([](Manifest& changed) {
    std::erase_if(changed.packs, [](const PackRecord& pack) { return pack.onnxruntime == ours(); });
  });
  const auto before = files_in(bundle());
  ASSERT_EQ(run({"pack", path("bundle"), "--prune"}), 0) << err_;
  EXPECT_TRUE(out_.starts_with("2 of 2 packs stay")) << out_;
  EXPECT_EQ(files_in(bundle()), before);
  change_pack(0, [](PackRecord& pack) { pack.cpu += " avx512_new"; });
  change_pack(1, [](PackRecord& pack) { pack.made_of = {}; });
  ASSERT_EQ(run({"pack", path("bundle"), "--prune"}), 0) << err_;
  EXPECT_NE(out_.find("its pack is for another CPU: -avx512_new"), std::string::npos) << out_;
  EXPECT_NE(out_.find("its pack was made of another file"), std::string::npos) << out_;
  EXPECT_EQ(packs(), Packs{});
  expect_sound();
}

TEST_F(SeveralPacks, PruneRefusesWhatItCannotDo) {
  expect_refused({"pack", path("bundle"), "--prune", "--model", "c"}, 4, {"'c'", "no such model"});
  expect_refused({"pack", path("bundle"), "--prune", "--opt", "basic"}, 2, {"--prune", "--opt"});
  expect_refused({"pack", path("bundle"), "--prune", "--shape", "x=1x64"}, 2, {"--prune"});
  expect_refused({"pack", path("in"), "--prune"}, 3, {"is no bundle"});
}

// With a second ONNX Runtime, where there is one.
class TwoRuntimes : public PackTest {
 protected:
  void SetUp() override {
    const char* const other = std::getenv("WSHARE_OTHER_ONNXRUNTIME");
    if (other == nullptr) GTEST_SKIP() << "WSHARE_OTHER_ONNXRUNTIME NAMES NO SECOND ONNX RUNTIME";
    other_ = other;
    make_two();
  }

  // Runs the program; --onnxruntime is the second one where `other`.
  nlohmann::json run_program(std::vector<std::string> arguments, bool other) {
    arguments.push_back("--json");
    if (other) arguments.insert(arguments.end(), {"--onnxruntime", other_});
    int status = 0;
    waitpid(spawn_wshare(arguments, temp_.path()), &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << read_file(temp_ / "err");
    return nlohmann::json::parse(read_file(temp_ / "out"));
  }

  std::string other_;
};

TEST_F(TwoRuntimes, HaveAPackEachAndUseIt) {
  std::vector<std::string> versions;
  for (const bool other : {false, true})
    versions.push_back(run_program({"pack", path("bundle")}, other).at("onnxruntime"));
  EXPECT_NE(versions[0], versions[1]) << "both are the same release: nothing was tested";
  EXPECT_EQ(manifest().packs.size(), 4U);
  expect_sound();
  for (const bool other : {false, true}) {
    const auto json =
        run_program({"run", path("bundle"), "--repeat=1", "--tier=packed", "--max-abs-diff=0",
                     "--against", "a=" + path("in/a.onnx"), "--against", "b=" + path("in/b.onnx")},
                    other);
    for (const auto& model : json.at("models"))
      EXPECT_EQ(model.at("packed_by"), versions[other ? 1 : 0]);
  }
}

}  // namespace
}  // namespace wshare::test

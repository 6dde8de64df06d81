// Sessions over a pack: only where it fits this runtime and this CPU, never a silent copy, never
// other outputs.

#include <sys/resource.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "pack/packed.h"
#include "runtime/cpu_features.h"
#include "runtime/used_up_maps.h"
#include "support/own_process.h"
#include "support/places.h"

namespace wshare::test {
namespace {

class PackedSession : public PackTest {
 protected:
  PackedSession() {
    make_two();
    pack_all();
  }

  // Flips a byte in the middle of the packed form of a's weight.
  void damage_packed_weight() const {
    const Manifest packed = manifest();
    const Extent at = packed.packs[0].buffers.at(0).extent;
    const fs::path file = bundle() / packed.blobs[at.blob].file;
    std::string bytes = read_file(file);
    bytes[static_cast<size_t>(at.offset + at.size / 2) | 3] ^= 0x40;  // an exponent
    write_file(file, bytes);
  }
};

TEST_F(PackedSession, IsWhatAutoTakes) {
  Bundle opened = Bundle::open(bundle());
  Session session = open(opened, "a", Tier::kAuto);
  EXPECT_TRUE(equals_plain("a", *session));
  const ModelReport report = opened.report().models.at(0);
  EXPECT_EQ(report.tier, Tier::kPacked);
  EXPECT_EQ(report.why, "");
  EXPECT_GE(report.packed_bytes, 64U * 512 * 4);
  EXPECT_EQ(report.shared_bytes, 64U * 512 * 4);
  EXPECT_TRUE(report.packed_shared);
}

// Files of packs have names of their own, however often a bundle is packed: so an open one never
// takes another's.
TEST_F(PackedSession, GoesWithoutAPackThatWasReplacedMeanwhile) {
  Bundle opened = Bundle::open(bundle());
  std::set<std::string> names;
  for (int i = 0; i < 3; ++i) {
    for (const PackRecord& pack : manifest().packs)
      EXPECT_TRUE(names.insert(pack.model.file).second) << pack.model.file;
    pack_all();
    Session session = open(opened, "a", Tier::kAuto);
    EXPECT_TRUE(equals_plain("a", *session));
    EXPECT_EQ(opened.report().models.at(0).tier, Tier::kShared);
    EXPECT_NE(opened.report().models.at(0).why.find("is missing"), std::string::npos);
  }
  expect_packed({"a", "b"});
}

TEST_F(PackedSession, OutlivesTheBundle) {
  std::optional<Session> session;
  {
    Bundle opened = Bundle::open(bundle());
    session.emplace(open(opened, "a", Tier::kPacked));
  }
  EXPECT_TRUE(equals_plain("a", **session));
}

TEST_F(PackedSession, LogsToTheFunctionOfItsOptionsAsOthersDo) {
  for (const Tier tier : {Tier::kPacked, Tier::kShared, Tier::kCompact}) {
    SCOPED_TRACE(text_of(tier));
    auto made = std::make_shared<std::atomic<int>>(0);
    std::optional<Session> session;
    {
      SessionOptions options;
      options.tier = tier;
      options.log = [made](OrtLoggingLevel level, std::string_view message) {
        EXPECT_GE(level, ORT_LOGGING_LEVEL_INFO);
        *made += message == "Session successfully initialized." ? 1 : 0;
      };
      session.emplace(Bundle::open(bundle()).session("a", options));
    }
    EXPECT_GE(*made, 1);  // the first over a pack may be made twice, to see what it holds
    EXPECT_TRUE(tier == Tier::kCompact || equals_plain("a", **session));
    session.reset();
    EXPECT_EQ(made.use_count(), 1);  // the session kept the function, and no longer
  }
}

// A session's arena tells of any pack whether it is used; a session without one of none so small.
TEST_F(PackedSession, OfAnotherReleaseNeedsAnArenaThatShowsThatItFits) {
  change_manifest([](Manifest& changed) { changed.packs[0].onnxruntime = "1.20.0"; });
  Bundle opened = Bundle::open(bundle());
  SessionOptions options;
  options.ort.DisableCpuMemArena();
  opened.session("a", options);
  EXPECT_NE(opened.report().models.at(0).why.find("its pack is for ONNX Runtime 1.20.0, this is "),
            std::string::npos);
  Bundle again = Bundle::open(bundle());
  Session session = open(again, "a", Tier::kPacked);
  EXPECT_TRUE(equals_plain("a", *session));
  EXPECT_EQ(again.report().models.at(0).packed_by, "1.20.0");
}

TEST_F(PackedSession, OfAnotherReleaseIsNotUsedWhereItDoesNotFit) {
  spoil_keys();
  expect_packed({"a"});  // so small a one of this release is, whatever comes of its weights
  change_manifest([](Manifest& changed) { changed.packs[0].onnxruntime = "1.20.0"; });
  expect_unpacked("a", "ONNX Runtime does not use its pack: a session holds 128");
}

TEST_F(PackedSession, NeedsTheCpuOfThePack) {
  change_manifest([](Manifest& changed) { changed.packs[0].cpu += " avx512_new"; });
  expect_unpacked("a", "its pack is for another CPU: -avx512_new");
}

TEST_F(PackedSession, NeedsTheModelOfThePack) {
  change_manifest([](Manifest& changed) { changed.packs[0].made_of = {}; });
  expect_unpacked("a", "its pack was made of another file of the model");
}

TEST_F(PackedSession, NeedsTheFilesOfThePack) {
  fs::remove(bundle() / "packed.bin");
  expect_unpacked("a", "'packed.bin' is missing");
  fs::remove(bundle() / "b.packed.onnx");
  write_file(bundle() / "packed.bin", "");  // is looked at first
  Bundle opened = Bundle::open(bundle());
  EXPECT_EQ(code_of([&] { open(opened, "a", Tier::kAuto); }), 4);
}

TEST_F(PackedSession, RefusesAChangedModelOrATruncatedBlob) {
  Bundle opened = Bundle::open(bundle());
  const uint64_t size = fs::file_size(bundle() / "packed.bin");
  fs::resize_file(bundle() / "packed.bin", size - 1);  // after the bundle was opened
  std::string message;
  EXPECT_EQ(code_of([&] { open(opened, "a", Tier::kPacked); }, &message), 4);
  EXPECT_NE(message.find("packed.bin"), std::string::npos) << message;
  fs::resize_file(bundle() / "packed.bin", size);
  write_file(bundle() / "a.packed.onnx", read_file(bundle() / "b.packed.onnx"));
  EXPECT_EQ(code_of([&] { open(opened, "a", Tier::kPacked); }, &message), 4);
  EXPECT_NE(message.find("a.packed.onnx"), std::string::npos) << message;
}

TEST_F(PackedSession, IsNoneWhereOnnxRuntimeRefusesThePack) {
  onnx::ModelProto packed;
  ASSERT_TRUE(packed.ParseFromString(read_file(bundle() / "a.packed.onnx")));
  packed.mutable_graph()->mutable_node(0)->set_op_type("NoSuchOperator");
  const std::string bytes = packed.SerializeAsString();
  write_file(bundle() / "a.packed.onnx", bytes);
  change_manifest([&](Manifest& changed) {
    changed.packs[0].model.size = bytes.size();
    changed.packs[0].model.hash = content_hash(std::as_bytes(std::span(bytes)));
  });
  expect_unpacked("a", "ONNX Runtime refuses its pack: ");
}

TEST_F(PackedSession, NeedsRoomForItsMaps) {
  if (!UsedUpMaps::can_be()) GTEST_SKIP() << "VM.MAX_MAP_COUNT IS TOO LARGE TO BE USED UP";
  Bundle opened = Bundle::open(bundle());
  std::string message;
  int code = 0;
  {
    const UsedUpMaps none_left;
    code = code_of([&] { open(opened, "a", Tier::kPacked); }, &message);
  }
  EXPECT_EQ(code, 5);
  EXPECT_NE(message.find("a session has 2 tensors that ONNX Runtime maps"), std::string::npos)
      << message;
  open(opened, "a", Tier::kPacked);  // there is room again
}

TEST_F(PackedSession, HonoursOptionsThatSwitchPackingOff) {
  Bundle opened = Bundle::open(bundle());
  SessionOptions options;
  options.ort.AddConfigEntry("session.disable_prepacking", "1");
  opened.session("a", options);
  EXPECT_NE(opened.report().models.at(0).why.find("session.disable_prepacking"), std::string::npos);
  options.tier = Tier::kPacked;
  EXPECT_EQ(code_of([&] { opened.session("a", options); }), 5);
}

// ONNX Runtime takes damaged packed bytes without a word.
TEST_F(PackedSession, DamageIsFoundByVerifyAndAtOpenOnDemand) {
  damage_packed_weight();
  const std::vector<Damage> findings = verify(bundle(), {0});
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].kind, "hash");
  EXPECT_EQ(findings[0].file, "packed.bin");
  EXPECT_EQ(findings[0].tensor, "packed weight");
  Bundle unchecked = Bundle::open(bundle());
  try {
    Session wrong = open(unchecked, "a", Tier::kPacked);
    EXPECT_FALSE(equals_plain("a", *wrong));  // so the check is needed
  } catch (const Error& error) {              // ONNX Runtime 1.32 finds the damage
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_NE(std::string(error.what()).find("refuses its pack"), std::string::npos);
  }
  BundleOptions options;
  options.check_packs = true;
  Bundle checked = Bundle::open(bundle(), options);
  std::string message;
  EXPECT_EQ(code_of([&] { open(checked, "a", Tier::kAuto); }, &message), 4);
  EXPECT_NE(message.find("packed.bin"), std::string::npos) << message;
}

TEST_F(PackedSession, ChecksPacksThatAreWhole) {
  BundleOptions options;
  options.check_packs = true;
  Bundle checked = Bundle::open(bundle(), options);
  Session session = open(checked, "a", Tier::kPacked);
  EXPECT_TRUE(equals_plain("a", *session));
}

// A model whose packed form is large enough to be seen in the memory of the process.
class LargePack : public PackTest {
 protected:
  static constexpr int64_t kSide = 2048;  // 16 MiB

  void SetUp() override {
#ifdef __SANITIZE_ADDRESS__
    GTEST_SKIP() << "MEMORY IS NOT MEASURED: AddressSanitizer keeps what is freed";
#endif
    add("a.onnx", matmul_model(kSide, kSide, floats(kSide, 2)));
    make();
    pack_all();
  }
};

TEST_F(LargePack, IsUsed) {
  Bundle opened = Bundle::open(bundle());
  for (int i = 0; i < 3; ++i) {
    Session session = open(opened, "a", Tier::kPacked);
    EXPECT_TRUE(equals_plain("a", *session, kSide));
  }
}

TEST_F(LargePack, IsNotUsedWhereOnnxRuntimeKeepsCopies) {
  spoil_keys();
  expect_unpacked("a", "ONNX Runtime does not use its pack", kSide);
}

// Where sessions share one arena, memory of the process tells, and a graph takes some, too: here
// more than half of what is packed.
TEST_F(LargePack, IsUsedByASessionWhoseGraphIsAsLargeAsItsWeights) {
  constexpr int kNodes = 6000;
  onnx::ModelProto model = matmul_model(kSide, kSide, floats(kSide, 2));
  onnx::GraphProto& graph = *model.mutable_graph();
  std::string last = "y";
  for (int i = 0; i < kNodes; ++i) {
    const std::string next = i + 1 == kNodes ? "end" : "value" + std::to_string(i);
    add_node(graph, i % 2 == 0 ? "Neg" : "Abs", {last}, {next});
    last = next;
  }
  set_type(*graph.add_output(), "end", Proto::FLOAT, {"1", std::to_string(kSide)});
  add("a.onnx", model);
  fs::remove_all(bundle());
  make();
  pack_all();
  const auto run_shared = [&] {
    std::ostringstream out, err;
    const int code =
        run_cli({"run", path("bundle"), "--repeat=1", "--tier=packed", "--shared-arena", "--json"},
                out, err, kProgram);
    out_ = out.str();
    err_ = err.str();
    return code;
  };
  ASSERT_EQ(run_shared(), 0) << err_;
  EXPECT_GT(nlohmann::json::parse(out_).at("sessions")[0].at("own_bytes"), kSide * kSide * 4 / 2);
  spoil_keys();
  EXPECT_EQ(run_shared(), 5) << out_;
  EXPECT_NE(err_.find("ONNX Runtime does not use its pack"), std::string::npos) << err_;
}

// What other threads take meanwhile is not the session's.
TEST_F(LargePack, IsUsedWhateverOtherThreadsTake) {
  Bundle opened = Bundle::open(bundle());
  std::vector<std::string> taken;
  SessionOptions options;
  options.tier = Tier::kPacked;
  options.log = [&](OrtLoggingLevel, std::string_view) {
    if (taken.size() < 8) taken.emplace_back(size_t{8} << 20, 'x');
  };
  opened.session("a", options);
  EXPECT_EQ(taken.size(), 8U);  // 64 MiB: more than copies would be
}

TEST_F(LargePack, OfAnotherReleaseIsUsedWhereItFits) {
  change_manifest([](Manifest& changed) { changed.packs[0].onnxruntime = "1.20.0"; });
  {
    Bundle opened = Bundle::open(bundle());
    const Session session = open(opened, "a", Tier::kAuto);
    const ModelReport report = opened.report().models.at(0);
    EXPECT_EQ(report.tier, Tier::kPacked) << report.why;
    EXPECT_EQ(report.packed_by, "1.20.0");
  }
  std::ostringstream out, err;
  ASSERT_EQ(run_cli({"run", path("bundle"), "--repeat=1"}, out, err, kProgram), 0) << err.str();
  EXPECT_NE(out.str().find("over packs of ONNX Runtime 1.20.0"), std::string::npos) << out.str();
  spoil_keys();
  change_manifest([](Manifest& changed) { changed.packs[0].onnxruntime = "1.20.0"; });
  expect_unpacked("a", "ONNX Runtime does not use its pack", kSide);
}

// A process that is short of descriptors for a moment does not forget its CPU for good.
TEST(CpuFeatures, AreAskedForAgainWhereTheyCouldNotBeRead) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "A SANITIZER NEEDS DESCRIPTORS OF ITS OWN: NOTHING WAS TESTED";
#endif
  EXPECT_IN_OWN_PROCESS({
    struct rlimit limit {};
    getrlimit(RLIMIT_NOFILE, &limit);
    const rlim_t usual = std::exchange(limit.rlim_cur, 0);
    setrlimit(RLIMIT_NOFILE, &limit);
    EXPECT_EQ(code_of([] { cpu_features(); }), 3);
    limit.rlim_cur = usual;
    setrlimit(RLIMIT_NOFILE, &limit);
    EXPECT_NE(cpu_features().find(' '), std::string::npos);
  });
}

TEST(CpuFeatures, AreWhatKernelsAskFor) {
  EXPECT_EQ(parse_cpu_features("x86_64",
                               "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu vme avx2 "
                               "fma sse4_1 avx512f rdrand\n\nprocessor\t: 1\nflags\t\t: fpu\n"),
            "x86_64 GenuineIntel avx2 avx512f fma sse4_1");
  EXPECT_EQ(parse_cpu_features("aarch64",
                               "processor : 0\nFeatures : fp asimd asimddp i8mm\n"
                               "CPU implementer : 0x41\n"),
            "aarch64 0x41 asimd asimddp i8mm");
  EXPECT_EQ(parse_cpu_features("riscv64", ""), "riscv64");
  EXPECT_NE(cpu_features(), "");
}

}  // namespace
}  // namespace wshare::test

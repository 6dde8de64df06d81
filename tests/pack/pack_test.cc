// pack() stores what ONNX Runtime makes of a bundle's models for this CPU; the bundle stays what it
// was.

#include "wshare/pack.h"

#include <sys/mount.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "bundle/edit.h"
#include "pack/packed.h"
#include "wshare/append.h"
#include "wshare/remove.h"
#include "wshare/restore.h"

namespace wshare::test {
namespace {

using Pack = PackTest;

// y = If(choose) {x * then_weight} else {x * else_weight}: weights in subgraphs.
onnx::ModelProto branching_model() {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  set_type(*graph.add_input(), "x", Proto::FLOAT, {"1", "64"});
  set_type(*graph.add_input(), "choose", Proto::BOOL, {});
  set_type(*graph.add_output(), "y", Proto::FLOAT, {"1", "512"});
  onnx::NodeProto& node = add_node(graph, "If", {"choose"}, {"y"});
  for (const char* name : {"then_branch", "else_branch"}) {
    onnx::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::GRAPH);
    onnx::GraphProto& branch = *attribute.mutable_g();
    branch.set_name(name);
    *branch.add_initializer() =
        raw("weight", floats(64 * 512, static_cast<uint32_t>(name[0])), Proto::FLOAT, {64, 512});
    add_node(branch, "MatMul", {"x", "weight"}, {"product"});
    set_type(*branch.add_output(), "product", Proto::FLOAT, {"1", "512"});
  }
  return model;
}

TEST_F(Pack, StoresEveryByteRangeOnce) {
  make_two();
  const auto before = files_in(bundle());
  const PackReport report = pack_all();
  expect_sound();
  expect_packed({"a", "b"});
  // What was there is as it was.
  for (const auto& [name, bytes] : before) {
    if (name == kManifestName) continue;
    EXPECT_EQ(read_file(bundle() / name), bytes) << name;
  }
  const Manifest packed = manifest();
  ASSERT_EQ(packed.packs.size(), 2U);
  ASSERT_EQ(packed.packs[0].buffers.size(), 1U);
  EXPECT_EQ(packed.packs[0].buffers[0].extent, packed.packs[1].buffers[0].extent);
  EXPECT_EQ(packed.packs[0].model.tensors[0].extent, packed.packs[1].model.tensors[0].extent);
  EXPECT_EQ(packed.packs[0].onnxruntime, OrtGetApiBase()->GetVersionString());
  EXPECT_EQ(packed.packs[0].made_of, packed.models[0].hash);
  ASSERT_EQ(report.models.size(), 2U);
  EXPECT_GE(report.models[0].packed_bytes, 64U * 512 * 4);
  EXPECT_EQ(report.models[0].raw_bytes, 64U * 512 * 4);
  EXPECT_EQ(report.distinct_packed_bytes, report.models[0].packed_bytes);
  uint64_t on_disk = 0;
  for (const auto& [name, bytes] : files_in(bundle())) on_disk += bytes.size();
  EXPECT_EQ(report.bytes_out, on_disk);
  // Weights first, then what kernels made of them.
  EXPECT_LT(packed.packs[0].model.tensors[0].extent.offset,
            packed.packs[0].buffers[0].extent.offset);
}

// A table that no kernel packs is read from where the bundle has it.
TEST_F(Pack, TakesFromTheBundleWhatNoKernelPacks) {
  onnx::ModelProto model = matmul_model(kRows, kColumns, floats(kColumns, 2));
  onnx::GraphProto& graph = *model.mutable_graph();
  *graph.add_initializer() = raw("table", floats(1000 * 64, 5), Proto::FLOAT, {1000, 64});
  set_type(*graph.add_input(), "row", Proto::INT64, {"1"});
  add_node(graph, "Gather", {"table", "row"}, {"picked"});
  set_type(*graph.add_output(), "picked", Proto::FLOAT, {"1", "64"});
  add("a.onnx", model);
  make();
  pack_all();
  expect_sound();
  const Manifest packed = manifest();
  const auto extent_of = [](const ModelRecord& record, const std::string& name) {
    for (const TensorRecord& tensor : record.tensors) {
      if (tensor.name == name) return tensor.extent;
    }
    return Extent{};
  };
  const Extent table = extent_of(packed.models[0], "table");
  EXPECT_GT(table.size, 0U);
  EXPECT_EQ(extent_of(packed.packs[0].model, "table"), table);
}

TEST_F(Pack, OpensWithoutWshare) {
  make_two();
  pack_all();
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);
  options.SetGraphOptimizationLevel(ORT_DISABLE_ALL);
  Ort::Session session(environment(), (bundle() / "a.packed.onnx").c_str(), options);
  EXPECT_TRUE(equals_plain("a", session));
}

TEST_F(Pack, RestoresTheOriginalsAsBefore) {
  make_two();
  pack_all();
  restore(bundle(), {}, temp_ / "out", {});
  EXPECT_EQ(files_in(temp_ / "out"), files_in(temp_ / "in"));
}

TEST_F(Pack, PacksWeightsOfSubgraphs) {
  add("a.onnx", branching_model());
  make();
  pack_all();
  expect_sound();
  Bundle opened = Bundle::open(bundle());
  Session session = open(opened, "a", Tier::kPacked);
  Ort::Session plain(environment(), (temp_ / "in/a.onnx").c_str(), Ort::SessionOptions{});
  for (const char choose : {'\0', '\1'}) {
    std::vector<Ort::Value> inputs;
    inputs.push_back(value_of(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {1, 64}, floats(64, 7)));
    inputs.push_back(value_of(ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, {}, std::string(1, choose)));
    const char* names[] = {"x", "choose"};
    const char* output = "y";
    const auto ours = session->Run(Ort::RunOptions{nullptr}, names, inputs.data(), 2, &output, 1);
    const auto theirs = plain.Run(Ort::RunOptions{nullptr}, names, inputs.data(), 2, &output, 1);
    EXPECT_EQ(bytes_in(ours[0]), bytes_in(theirs[0]));
  }
}

TEST_F(Pack, PackedAgainTakesThePlaceOfTheOldOne) {
  make_two();
  pack_all();
  Bundle opened = Bundle::open(bundle());
  Session before = open(opened, "a", Tier::kPacked);
  pack_all([](PackOptions& options) { options.optimization = Optimization::kBasic; });
  expect_sound();
  EXPECT_EQ(names_in(bundle()),
            (std::vector<std::string>{"a.bin", "a.onnx", "a.packed_2.onnx", "b.bin", "b.onnx",
                                      "b.packed_2.onnx", "manifest.json", "packed_2.bin",
                                      "restore.bin", "shared.bin"}));
  EXPECT_EQ(manifest().packs.at(0).optimization, "basic");
  EXPECT_TRUE(equals_plain("a", *before));  // it has its files mapped
  expect_packed({"a", "b"});
}

TEST_F(Pack, OneModelUsesWhatPacksOfOthersHave) {
  make_two();
  pack_all([](PackOptions& options) { options.models = {"a"}; });
  expect_unpacked("b", "the bundle has no pack of it");
  pack_all([](PackOptions& options) { options.models = {"b"}; });
  EXPECT_FALSE(fs::exists(bundle() / "packed_2.bin"));
  expect_sound();
  expect_packed({"a", "b"});
}

TEST_F(Pack, AppendAndRemoveLeaveWhatIsPacked) {
  make_two();
  pack_all();
  add("c.onnx", matmul_model(kRows, kColumns, floats(kColumns, 4)));
  append(bundle(), inputs({"c.onnx"}), {});
  expect_sound();
  expect_packed({"a", "b"});
  expect_unpacked("c", "no pack");
  pack_all();
  remove_models(bundle(), {"a"}, {});
  expect_sound();
  expect_packed({"b", "c"});
  EXPECT_FALSE(fs::exists(bundle() / "a.packed_2.onnx"));
}

TEST_F(Pack, CompactKeepsPacksAndDropsWhatNoneNeeds) {
  make_two();
  add("c.onnx", matmul_model(kRows, 2 * kColumns, floats(2 * kColumns, 4)));
  make(1024, 0, "fresh");
  fs::remove_all(bundle());
  fs::rename(temp_ / "fresh", bundle());
  pack_all();
  const uint64_t packed_before = fs::file_size(bundle() / "packed.bin");
  RemoveOptions options;
  options.compact = true;
  const RemoveReport report = remove_models(bundle(), {"c"}, options);
  expect_sound();
  expect_packed({"a", "b"});
  EXPECT_LT(fs::file_size(bundle() / "packed.bin"), packed_before);
  uint64_t on_disk = 0;
  for (const auto& [name, bytes] : files_in(bundle())) on_disk += bytes.size();
  EXPECT_EQ(report.bytes_out, on_disk);
}

TEST_F(Pack, DryRunKnowsTheSizeAndWritesNothing) {
  make_two();
  const auto before = files_in(bundle());
  const PackReport dry = pack_all([](PackOptions& options) { options.dry_run = true; });
  EXPECT_EQ(files_in(bundle()), before);
  EXPECT_EQ(pack_all().bytes_out, dry.bytes_out);
}

TEST_F(Pack, LeavesOutWhatOnnxRuntimeRefuses) {
  onnx::ModelProto unknown = matmul_model(kRows, kColumns, floats(kColumns, 4));
  unknown.mutable_graph()->mutable_node(0)->set_op_type("NoSuchOperator");
  add("c.onnx", unknown);
  make_two();
  const PackReport report = pack_all();
  ASSERT_EQ(report.models.size(), 3U);
  EXPECT_EQ(report.models[2].file, "");
  EXPECT_NE(report.models[2].why_not.find("NoSuchOperator"), std::string::npos)
      << report.models[2].why_not;
  expect_sound();
  expect_packed({"a", "b"});
  ASSERT_EQ(run({"pack", path("bundle")}), 0) << err_;
  EXPECT_NE(out_.find("c: not packed: "), std::string::npos) << out_;
  expect_refused({"pack", path("bundle"), "--model", "c"}, 6, {"no model could be packed"});
}

TEST_F(Pack, SaysOfWhichModelTheInputsCouldNotBeMadeUp) {
  onnx::ModelProto model = matmul_model(kRows, kColumns, floats(kColumns, 4));
  onnx::ValueInfoProto& words = *model.mutable_graph()->add_input();
  set_type(words, "words", Proto::STRING, {"1"});
  add_node(*model.mutable_graph(), "Identity", {"words"}, {"same"});
  set_type(*model.mutable_graph()->add_output(), "same", Proto::STRING, {"1"});
  add("a.onnx", model);
  make();
  ASSERT_EQ(run({"pack", path("bundle")}), 0) << err_;
  EXPECT_NE(err_.find("'a': not run beside a plain session: "), std::string::npos) << err_;
}

TEST_F(Pack, ReportsInTextAndJson) {
  make_two();
  ASSERT_EQ(run({"pack", path("bundle"), "--opt", "extended"}), 0) << err_;
  EXPECT_EQ(err_, "");
  EXPECT_NE(out_.find("128.0 KiB     0 B  128.0 KiB  a\n"), std::string::npos) << out_;
  EXPECT_NE(out_.find("for ONNX Runtime "), std::string::npos) << out_;
  ASSERT_EQ(run({"pack", path("bundle"), "--json"}), 0) << err_;
  const auto json = nlohmann::json::parse(out_);
  EXPECT_EQ(json.at("schema"), "wshare.pack/1");
  EXPECT_EQ(json.at("optimization"), "all");
  EXPECT_EQ(json.at("models").size(), 2U);
  EXPECT_EQ(json.at("models")[1].at("name"), "b");
  EXPECT_TRUE(json.at("models")[1].at("why_not").is_null());
  ASSERT_EQ(run({"inspect", path("bundle")}), 0) << err_;
  EXPECT_NE(out_.find("pack of"), std::string::npos) << out_;
  ASSERT_EQ(run({"inspect", path("bundle"), "--json"}), 0) << err_;
  EXPECT_EQ(nlohmann::json::parse(out_).at("packs").size(), 2U);
}

TEST_F(Pack, RefusesWhatItCannotDo) {
  make_two();
  expect_refused({"pack", path("bundle"), "--model", "A"}, 4, {"'A'", "no such model", "'a'"});
  expect_refused({"pack", path("in")}, 3, {"is no bundle"});
  expect_refused({"pack", path("bundle"), "--opt", "none"}, 2, {"--opt"});
  write_file(bundle() / "a.onnx", "changed");
  expect_refused({"pack", path("bundle")}, 4, {"a.onnx", "is not the file of the manifest"});
}

TEST_F(Pack, SaysThatADiskIsFull) {
  make_two();
  fs::create_directory(temp_ / "disk");
  if (mount("none", path("disk").c_str(), "tmpfs", 0, "size=200k") != 0)
    GTEST_SKIP() << "A SMALL DISK CANNOT BE MOUNTED HERE: no full disk was tried";
  environment();  // ONNX Runtime may write into TMPDIR when it starts
  const char* const before = getenv("TMPDIR");
  const std::string kept = before == nullptr ? "" : before;
  setenv("TMPDIR", path("disk").c_str(), 1);
  expect_refused({"pack", path("bundle")}, 3, {"the disk is full", "TMPDIR"});
  kept.empty() ? unsetenv("TMPDIR") : setenv("TMPDIR", kept.c_str(), 1);
  fs::copy(bundle(), temp_ / "disk/bundle");
  expect_refused({"pack", path("disk/bundle")}, 3, {"No space left on device"});
  EXPECT_EQ(umount2(path("disk").c_str(), MNT_DETACH), 0);
}

TEST_F(Pack, IsForOneWriterAtATime) {
  make_two();
  const BundleEdit edit(bundle(), "pack", std::chrono::milliseconds(0));
  std::string message;
  EXPECT_EQ(code_of([&] { pack_all(); }, &message), 3);
  EXPECT_NE(message.find("wshare pack"), std::string::npos) << message;
}

TEST_F(Pack, StoppedHalfWayLeavesTheBundleAsItWas) {
  make_two();
  const auto before = files_in(bundle());
  struct Stop {};
  size_t calls = 0;
  EXPECT_THROW(pack_all([&](PackOptions& options) {
                 options.progress = [&](std::string_view, uint64_t, uint64_t) {
                   if (++calls == 2) throw Stop();
                 };
               }),
               Stop);
  EXPECT_EQ(files_in(bundle()), before);
}

}  // namespace
}  // namespace wshare::test

#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "runtime/on_device.h"
#include "runtime/placed_models.h"
#include "runtime/session_log.h"

namespace wshare::test {
namespace {

// Switches packing on for the life of the object.
struct Packing {
  Packing() { set_test_device_prepacking(true); }
  Packing(const Packing&) = delete;
  Packing& operator=(const Packing&) = delete;
  ~Packing() { set_test_device_prepacking(false); }
};

class DeviceGuards : public OnDevice {
 protected:
  // Options that let nodes go to the CPU.
  static SessionOptions with_cpu(DeviceCopies copies = DeviceCopies::kRefuse) {
    SessionOptions options = on_device();
    options.ort = Ort::SessionOptions();
    options.device_copies = copies;
    return options;
  }

  std::string refusal(Bundle& bundle, const std::string& name, const SessionOptions& options,
                      int code = 5) {
    std::string message;
    EXPECT_EQ(code_of([&] { bundle.session(name, options); }, &message), code);
    return message;
  }
};

TEST_F(DeviceGuards, AutoKeepsKernelsFromPacking) {
  const Packing packing;
  Bundle bundle = Bundle::open(folder());
  std::vector<Session> sessions;
  for (int i = 0; i < 3; ++i) {
    sessions.push_back(bundle.session("a", on_device()));
    EXPECT_EQ(device_counts().in_use, kShared + sessions.size() * kOwn);
    EXPECT_FALSE(bundle.report().models.at(0).device->may_pack);
  }
  // What the first session packed until that was found out; the others did not try again.
  // "second" and the head; optimisers have made a Gemm of the first product.
  EXPECT_EQ(device_counts().prepacked - before_.prepacked, 2u);
  EXPECT_TRUE(equals_plain("a", *sessions[2]));
}

TEST_F(DeviceGuards, SharedRefusesToPack) {
  const Packing packing;
  Bundle bundle = Bundle::open(folder());
  const std::string message = refusal(bundle, "a", on_device(Tier::kShared));
  EXPECT_NE(message.find("'a': kernels of 'TestDeviceExecutionProvider' pack shared weights, "
                         "256.0 KiB per session"),
            std::string::npos)
      << message;
}

TEST_F(DeviceGuards, PackedCopiesAreKeptWhereWanted) {
  const Packing packing;
  Bundle bundle = Bundle::open(folder());
  SessionOptions options = on_device();
  options.device_copies = DeviceCopies::kKeep;
  Session session = bundle.session("a", options);
  EXPECT_TRUE(equals_plain("a", *session));
  const ModelReport report = bundle.report().models.at(0);
  EXPECT_TRUE(report.device->may_pack);
  EXPECT_FALSE(report.packed_shared);
  EXPECT_EQ(report.device->own_bytes, kMatrix + kOwn);  // its cost
  EXPECT_EQ(report.device->unshared_bytes, kOwn);
}

TEST_F(DeviceGuards, CompactDoesNotPack) {
  const Packing packing;
  Bundle bundle = Bundle::open(folder());
  const Session session = bundle.session("a", on_device(Tier::kCompact));
  EXPECT_EQ(device_counts().prepacked, before_.prepacked);
  EXPECT_EQ(device_counts().in_use, kShared + kOwn);
}

TEST_F(DeviceGuards, WhatOneTierDoesIsNotKeptForAnother) {
  Bundle bundle = Bundle::open(folder());
  { const Session session = bundle.session("a", on_device(Tier::kCompact)); }
  { const Session session = bundle.session("a", on_device()); }
  EXPECT_TRUE(bundle.report().models.at(0).device->may_pack);
  const Packing packing;
  { const Session session = bundle.session("a", on_device()); }
  EXPECT_FALSE(bundle.report().models.at(0).device->may_pack);
  refusal(bundle, "a", on_device(Tier::kShared));
}

TEST_F(DeviceGuards, WhatTheCpuUsesStaysInTheMap) {
  Bundle bundle = bundle_of(model_with_host_node(false));
  std::vector<Session> sessions;
  for (int i = 0; i < 2; ++i) sessions.push_back(bundle.session("m", with_cpu()));
  EXPECT_EQ(device_counts().in_use, kMatrix + 2 * kOwn);
  EXPECT_EQ(device_counts().peak, 2 * kMatrix + kOwn);  // both, until that was found out
  const ModelReport report = bundle.report().models.at(0);
  EXPECT_EQ(report.device->host_bytes, kMatrix);
  EXPECT_EQ(report.shared_bytes, kShared);
  EXPECT_TRUE(equals_plain("m", *sessions[1], Ort::SessionOptions()));
}

TEST_F(DeviceGuards, RefusesWhatCpuAndDeviceBothUse) {
  Bundle bundle = bundle_of(model_with_host_node(true));
  const std::string message = refusal(bundle, "m", with_cpu());
  EXPECT_NE(message.find("'m': 265.0 KiB on the device are the session's own, its unshared tensors "
                         "need 9.0 KiB: used on the CPU and on the device: 'second'"),
            std::string::npos)
      << message;
  Session kept = bundle.session("m", with_cpu(DeviceCopies::kKeep));
  EXPECT_TRUE(equals_plain("m", *kept, Ort::SessionOptions()));
  EXPECT_EQ(bundle.report().models.at(0).device->own_bytes, kMatrix + kOwn);
}

// The remedy for that: a name of its own for each node, or for each operator.
TEST_F(DeviceGuards, TakesWhatCpuAndDeviceUseByTwoNames) {
  struct Case {
    const char* name;
    SplitUses kinds;
    const char* host_operator;
  };
  for (const Case& c : {Case{"by node", SplitUses::kByNode, "MatMul"},
                        Case{"by operator", SplitUses::kByOperator, "Gemm"}}) {
    SCOPED_TRACE(c.name);
    fs::remove_all(temp_ / "in");
    fs::remove_all(temp_ / "split");
    onnx::ModelProto model = model_with_host_node(true);
    model.mutable_graph()->mutable_node(3)->set_op_type(c.host_operator);
    add("m.onnx", model);
    DedupeOptions options;
    options.split_uses = c.kinds;
    dedupe(resolve_inputs({(temp_ / "in").string()}), temp_ / "split", options);
    Bundle bundle = Bundle::open(temp_ / "split");
    std::vector<Session> sessions;
    for (int i = 0; i < 3; ++i) sessions.push_back(bundle.session("m", with_cpu()));
    EXPECT_EQ(device_counts().in_use, kShared + sessions.size() * kOwn);
    const ModelReport report = bundle.report().models.at(0);
    EXPECT_EQ(report.device->own_bytes, kOwn);
    EXPECT_EQ(report.device->host_bytes, kMatrix);  // "second", in the map
    EXPECT_TRUE(report.packed_shared);
    EXPECT_TRUE(equals_plain("m", *sessions[2], Ort::SessionOptions()));
  }
}

// "second" goes through a Transpose before it is used; the manifest says so, unless `hidden`.
class FoldedOnDevice : public DeviceGuards {
 protected:
  Bundle bundle(bool hidden) {
    bundle_of(model_with_folded_weight());
    if (hidden) {
      Manifest manifest = load_manifest(temp_ / "one");
      for (TensorRecord& tensor : manifest.models.at(0).tensors) tensor.folded = false;
      write_file(temp_ / "one/manifest.json", to_json(manifest));
    }
    return Bundle::open(temp_ / "one");
  }
};

TEST_F(FoldedOnDevice, IsEachSessionsOwn) {
  for (const bool hidden : {false, true}) {
    SCOPED_TRACE(hidden);
    Bundle opened = bundle(hidden);
    Session session = opened.session("m", on_device());
    EXPECT_EQ(device_counts().in_use, 2 * kMatrix + kOwn);
    EXPECT_TRUE(equals_plain("m", *session));
    const ModelReport report = opened.report().models.at(0);
    EXPECT_EQ(report.shared_tensors, std::vector<std::string>{"first"});
    ASSERT_EQ(report.left.size(), 2u);
    EXPECT_EQ(report.left[1].reason, LeftReason::kFolded);
    EXPECT_EQ(report.left[1].bytes, kMatrix);
    EXPECT_EQ(report.device->unshared_bytes, kMatrix + kOwn);
    fs::remove_all(temp_ / "one");
  }
}

// y = Softmax(x w w') head: "w" is used as it is, and optimisers turn it.
TEST_F(DeviceGuards, RefusesWhatIsUsedAsItIsAndFolded) {
  onnx::ModelProto model = task_model(11);
  onnx::GraphProto& graph = *model.mutable_graph();
  graph.mutable_node(0)->set_input(1, "second");
  graph.mutable_initializer()->DeleteSubrange(0, 1);  // "first"
  graph.mutable_node(3)->set_input(1, "turned");
  add_node(graph, "Transpose", {"second"}, {"turned"});
  for (int i = 6; i > 3; --i) graph.mutable_node()->SwapElements(i, i - 1);
  Bundle bundle = bundle_of(model);
  const std::string message = refusal(bundle, "m", on_device());
  EXPECT_NE(message.find("used as it is and computed with by optimisers: 'second'"),
            std::string::npos)
      << message;
}

// A constant that only optimisers make, of 256 KiB.
TEST_F(DeviceGuards, RefusesConstantsThatOptimisersMake) {
  onnx::ModelProto model = task_model(11);
  onnx::GraphProto& graph = *model.mutable_graph();
  *graph.add_initializer() = raw("size", raw_of<int64_t>({256, 256}), Proto::INT64, {2});
  add_node(graph, "ConstantOfShape", {"size"}, {"zeros"});
  add_node(graph, "MatMul", {"e", "zeros"}, {"none"});
  add_node(graph, "Add", {"e", "none"}, {"f"});
  graph.mutable_node(5)->set_input(0, "f");
  for (int i = 5; i < 8; ++i) graph.mutable_node()->SwapElements(i, i + 1);
  Bundle bundle = bundle_of(model);
  const std::string message = refusal(bundle, "m", on_device());
  EXPECT_NE(message.find("made by optimisers out of constants, or kept by kernels"),
            std::string::npos)
      << message;
  SessionOptions keep = on_device();
  keep.device_copies = DeviceCopies::kKeep;
  Session session = bundle.session("m", keep);
  EXPECT_TRUE(equals_plain("m", *session));
}

TEST_F(DeviceGuards, RefusesAllocatorsThatCannotTellSessionsApart) {
  Bundle bundle = Bundle::open(folder());
  SessionOptions options = on_device();
  options.ort.AddConfigEntry(kOrtSessionOptionsConfigUseEnvAllocators, "1");
  EXPECT_NE(refusal(bundle, "a", options).find("session.use_env_allocators=1"), std::string::npos);
}

// A provider in `ort` would run nodes over copies of its own of what the bundle shares.
TEST_F(DeviceGuards, RefusesAProviderThatIsNotTheDevice) {
  SessionOptions options;
  options.ort.AppendExecutionProvider_V2(environment(), {test_device().ep_device()},
                                         Ort::KeyValuePairs{});
  Bundle bundle = Bundle::open(folder());
  EXPECT_NE(refusal(bundle, "a", options).find("name provider 'TestDeviceExecutionProvider'"),
            std::string::npos);
  options.device = test_device();  // twice
  EXPECT_NE(refusal(bundle, "a", options, 6).find("TestDevice"), std::string::npos);
}

TEST_F(DeviceGuards, RefusesAManifestThatContradictsTheModel) {
  Manifest manifest = load_manifest(folder());
  for (TensorRecord& tensor : manifest.models.at(0).tensors) {
    if (tensor.name == "first") tensor.shape = {kWidth * kWidth};
  }
  write_file(folder() / kManifestName, to_json(manifest));
  Bundle bundle = Bundle::open(folder());
  const std::string message = refusal(bundle, "a", on_device(), 4);
  EXPECT_NE(message.find("the shape is [65536] in the manifest"), std::string::npos) << message;
  EXPECT_EQ(device_counts().allocations, before_.allocations);  // before anything is uploaded
}

TEST(SessionLog, ReadsWhatOnnxRuntimeSaysOfInitializers) {
  size_t passed_on = 0;
  SessionLog log([&](OrtLoggingLevel, std::string_view) { ++passed_on; });
  log.add(ORT_LOGGING_LEVEL_INFO, "Using user supplied initializer with name (a).");
  log.add(ORT_LOGGING_LEVEL_INFO, "Using user supplied initializer with name (odd (name).).");
  const std::string refused =
      ") because the ORT planned memory location device Device:[DeviceType:";
  log.add(ORT_LOGGING_LEVEL_INFO,
          "Cannot use user supplied initializer with name: (b" + refused + "0 MemoryType:0 ...");
  log.add(ORT_LOGGING_LEVEL_INFO,
          "Cannot use user supplied initializer with name: (c" + refused + "1 MemoryType:0 ...");
  log.add(ORT_LOGGING_LEVEL_INFO,
          "Cannot use user supplied initializer with name: (a" + refused + "0 MemoryType:0 ...");
  log.add(ORT_LOGGING_LEVEL_INFO, "Cannot use user supplied initializer with name: (cut");
  log.add(ORT_LOGGING_LEVEL_INFO, "something else");
  log.close();
  log.add(ORT_LOGGING_LEVEL_INFO, "Using user supplied initializer with name (late).");
  EXPECT_EQ(log.taken(),
            (std::map<std::string, Taken, std::less<>>{{"a", Taken::kPlannedOnHost},
                                                       {"b", Taken::kPlannedOnHost},
                                                       {"c", Taken::kPlannedElsewhere},
                                                       {"odd (name).", Taken::kInPlace}}));
  EXPECT_EQ(passed_on, 8u);
}

}  // namespace
}  // namespace wshare::test

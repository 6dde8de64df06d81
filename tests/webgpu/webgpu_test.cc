// The loader on WebGPU's provider, as Microsoft built it, over a software GPU (tools/setup.sh
// --webgpu): ctest -L webgpu. What is on the device is counted by a layer of Vulkan, not by the
// provider, which counts nothing.

#include <algorithm>
#include <mutex>
#include <random>
#include <thread>

#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "runtime/device_weights.h"
#include "runtime/placed_models.h"
#include "runtime/read_back.h"
#include "support/own_process.h"
#include "webgpu/on_webgpu.h"

namespace wshare::test {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr int64_t kSide = 512;  // of a matrix of 1 MiB
constexpr uint64_t kSlack = kMiB / 16;

class SharedOnWebGpu : public OnWebGpu {
 protected:
  // Two models over a trunk of 4 MiB, with a head of 128 KiB each; `min_bytes` keeps heads in them.
  Bundle two_models() {
    add("a.onnx", stack_model(4, kSide, 64, 11));
    add("b.onnx", stack_model(4, kSide, 64, 12));
    make(kMiB);
    return Bundle::open(folder());
  }

  static std::string run_stack(Ort::Session& session) { return run(session, {2, kSide}); }

  std::string run_plain(const std::string& name) {
    Ort::Session session = plain(name);
    return run_stack(session);
  }
};

TEST_F(SharedOnWebGpu, SessionsHaveTheBitsOfPlainOnes) {
  Bundle bundle = two_models();
  std::vector<Session> sessions;
  for (const char* name : {"a", "b", "a", "b"}) {
    sessions.push_back(bundle.session(name, on_webgpu()));
    EXPECT_TRUE(run_stack(*sessions.back()) == run_plain(name)) << name;
  }
  EXPECT_EQ(bundle.report().device_bytes(), 4 * kMiB);
  for (const ModelReport& model : bundle.report().models) {
    EXPECT_EQ(model.device->proof, DeviceProof::kAbsence);
    EXPECT_FALSE(model.device->may_pack);
    EXPECT_EQ(model.shared_bytes, 4 * kMiB);
  }
}

// By the bytes of buffers that live, which say the same of plain sessions.
TEST_F(SharedOnWebGpu, AFurtherSessionTakesItsHeadAlone) {
  constexpr int64_t kWide = 2560;                 // of a matrix of 25 MiB
  add("a.onnx", stack_model(4, kWide, 102, 11));  // and a head of 1 MiB less 4 KiB
  make(2 * kMiB);
  Bundle bundle = Bundle::open(folder());
  const uint64_t head = uint64_t{kWide} * 102 * 4;
  const auto growth = [&](const auto& open) {
    const uint64_t before = vulkan_buffer_bytes();
    const auto session = open();
    return vulkan_buffer_bytes() - before;
  };
  const auto shared = [&] { return bundle.session("a", on_webgpu()); };
  const Session first = shared();
  EXPECT_EQ(bundle.report().device_bytes(), 100 * kMiB);
  for (int i = 0; i < 3; ++i) {
    const uint64_t further = growth(shared);
    std::cout << "a further session of 101 MiB: " << further << " bytes on the device\n";
    EXPECT_GE(further, head);
    EXPECT_LE(further, head + kSlack);
  }
  const uint64_t plain_one = growth([&] { return plain("a"); });
  std::cout << "a plain session: " << plain_one << " bytes\n";
  EXPECT_GE(plain_one, 100 * kMiB + head);
}

// The provider rounds 1.5 MiB up to 1.75, 2.2 to 2.5, unless it is told not to, as wshare does.
TEST_F(SharedOnWebGpu, BuffersAreExactUnlessTheUserWantsOthers) {
  const auto bytes_with = [&](const ProviderOptions& options) {
    add("m.onnx", stack_model(6, 1100, 8, 1));
    make(kMiB);
    Bundle bundle = Bundle::open(folder());
    SessionOptions session = on_webgpu();
    session.device = webgpu(options);
    const uint64_t before = vulkan_buffer_bytes();
    const Session first = bundle.session("m", session);
    const Session second = bundle.session("m", session);  // gives back what the upload took beside
    return vulkan_buffer_bytes() - before;
  };
  constexpr uint64_t kWeights = uint64_t{6} * 1100 * 1100 * 4;
  EXPECT_IN_OWN_PROCESS({
    use_software_gpu();
    const uint64_t bytes = bytes_with({});
    EXPECT_GE(bytes, kWeights);
    EXPECT_LE(bytes, kWeights + kWeights / 6 + kMiB);
  });
  EXPECT_IN_OWN_PROCESS({
    use_software_gpu();
    EXPECT_GT(bytes_with({{"storageBufferCacheMode", "bucket"}}), kWeights * 3 / 2);
  });
}

TEST_F(SharedOnWebGpu, SessionsMayEndInAnyOrder) {
  const std::string expected = (two_models(), run_plain("a"));
  std::mt19937 random(1);
  for (int round = 0; round < 2; ++round) {
    std::vector<Session> sessions;
    {
      Bundle bundle = Bundle::open(folder());
      for (int i = 0; i < 4; ++i) sessions.push_back(bundle.session("a", on_webgpu()));
    }
    std::shuffle(sessions.begin(), sessions.end(), random);
    while (!sessions.empty()) {
      EXPECT_TRUE(run_stack(*sessions.back()) == expected);
      sessions.pop_back();
    }
  }
}

TEST_F(SharedOnWebGpu, BytesGoBackWithTheLastSession) {
  Bundle bundle = two_models();
  uint64_t least = UINT64_MAX, most = 0;
  for (int i = 0; i < 4; ++i) {
    const Session session = bundle.session("a", on_webgpu());
    if (i == 0) continue;  // makes what the provider keeps
    least = std::min(least, vulkan_buffer_bytes());
    most = std::max(most, vulkan_buffer_bytes());
  }
  EXPECT_LE(most - least, kMiB);  // heads go with the next work of the device; the trunk has 4
  EXPECT_EQ(bundle.report().device_bytes(), 0u);
}

// The provider allows no run beside another, nor an upload beside a run; making sessions takes
// turns by itself.
TEST_F(SharedOnWebGpu, FourThreadsMakeSessionsAtOnce) {
  Bundle bundle = two_models();
  std::vector<Session> sessions;
  std::mutex mutex;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int times = 0; times < 3; ++times) {
          Session session = bundle.session("a", on_webgpu());
          const std::lock_guard lock(mutex);
          sessions.push_back(std::move(session));
        }
      });
    }
  }
  EXPECT_EQ(bundle.report().device_bytes(), 4 * kMiB);
  const std::string expected = run_plain("a");
  for (Session& session : sessions) EXPECT_TRUE(run_stack(*session) == expected);
}

TEST_F(SharedOnWebGpu, NoRoomIsAnErrorAndNotTheEnd) {
  EXPECT_IN_OWN_PROCESS({
    use_software_gpu();
    Bundle bundle = two_models();
    { const Session session = bundle.session("a", on_webgpu()); }
    set_vulkan_room(3 * kMiB);
    std::string message = refusal(bundle, "b", on_webgpu(), 6);
    EXPECT_NE(message.find("no room for 1.0 MiB of weights on the device"), std::string::npos)
        << message;
    set_vulkan_room(UINT64_MAX);
    Session session = bundle.session("b", on_webgpu());
    EXPECT_TRUE(run_stack(*session) == run_plain("b"));
  });
}

TEST_F(SharedOnWebGpu, NoUsableGpuIsAnErrorAndNotTheEnd) {
  EXPECT_IN_OWN_PROCESS({
    use_software_gpu();
    ::setenv("VK_DRIVER_FILES", "/dev/null", 1);
    Bundle bundle = two_models();
    const std::string message = refusal(bundle, "a", on_webgpu(), 5);
    EXPECT_NE(message.find("no session can be made there: "), std::string::npos) << message;
    EXPECT_NE(message.find("No supported adapters"), std::string::npos) << message;
  });
}

TEST_F(SharedOnWebGpu, NoDeviceSaysWhatItWants) {
  EXPECT_IN_OWN_PROCESS({
    ::unsetenv("ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER");
    try {
      webgpu();
      ADD_FAILURE() << "there is one";
    } catch (const Error& error) {
      EXPECT_EQ(static_cast<int>(error.code()), 5);
      EXPECT_NE(error.hint().find("ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER=1"), std::string::npos);
    }
  });
}

// "second" goes through a Transpose that optimisers compute; the manifest does not say so.
TEST_F(OnWebGpu, WhatIsFoldedIsEachSessionsOwn) {
  bundle_of(model_with_folded_weight());
  Manifest manifest = load_manifest(folder());
  for (TensorRecord& tensor : manifest.models.at(0).tensors) tensor.folded = false;
  write_file(folder() / kManifestName, to_json(manifest));
  Bundle bundle = Bundle::open(folder());
  for (int i = 0; i < 2; ++i) {
    Session session = bundle.session("m", on_webgpu());
    Ort::Session original = plain("m");
    EXPECT_TRUE(run(*session, {2, kWidth}) == run(original, {2, kWidth}));
    const ModelReport report = bundle.report().models.at(0);
    EXPECT_EQ(report.shared_tensors, std::vector<std::string>{"first"});
    EXPECT_EQ(report.device->proof, DeviceProof::kAbsence);
    EXPECT_EQ(bundle.report().device_bytes(), kMatrix);
  }
}

// y = Conv(x, w), which packs w unless it is kept from it.
TEST_F(OnWebGpu, ConvolutionsDoNotPack) {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  set_type(*graph.add_input(), "x", Proto::FLOAT, {"1", "256", "4", "4"});
  set_type(*graph.add_output(), "y", Proto::FLOAT, {"1", "256", "2", "2"});
  *graph.add_initializer() = raw("w", floats(256 * 256 * 9, 1), Proto::FLOAT, {256, 256, 3, 3});
  add_node(graph, "Conv", {"x", "w"}, {"y"});
  Bundle bundle = bundle_of(model);
  Session first = bundle.session("m", on_webgpu());
  const uint64_t before = vulkan_buffer_bytes();
  Session second = bundle.session("m", on_webgpu());
  const std::string output = run(*second, {1, 256, 4, 4});
  EXPECT_LE(vulkan_buffer_bytes(), before + kMiB);  // w has 2.25
  Ort::Session original = plain("m");
  EXPECT_TRUE(output == run(original, {1, 256, 4, 4}));
}

// The task model with a node that the provider has no kernel for, over `weight`.
onnx::ModelProto model_with_cpu_node(const std::string& weight) {
  onnx::ModelProto model = task_model(11);
  onnx::GraphProto& graph = *model.mutable_graph();
  const std::string width = std::to_string(kWidth);
  set_type(*graph.add_input(), "lengths", Proto::INT64, {width});
  *graph.add_initializer() =
      raw("lengths", raw_of(std::vector<int64_t>(kWidth, 3)), Proto::INT64, {kWidth});
  *graph.add_initializer() =
      raw("square", floats(kWidth * kWidth, 5), Proto::FLOAT, {kWidth, kWidth});
  add_node(graph, "ReverseSequence", {weight, "lengths"}, {"turned"});
  set_type(*graph.add_output(), "turned", Proto::FLOAT, {width, width});
  return model;
}

TEST_F(OnWebGpu, WhatTheCpuUsesStaysInTheMap) {
  Bundle bundle = bundle_of(model_with_cpu_node("square"));
  for (int i = 0; i < 2; ++i) {
    Session session = bundle.session("m", on_webgpu());
    Ort::Session original = plain("m");
    EXPECT_TRUE(run(*session, {2, kWidth}) == run(original, {2, kWidth}));
    EXPECT_EQ(bundle.report().devices.at(0).shared_bytes, kShared);
    EXPECT_EQ(bundle.report().models.at(0).device->host_bytes, kMatrix);
  }
}

TEST_F(OnWebGpu, RefusesWhatCpuAndDeviceBothUse) {
  Bundle bundle = bundle_of(model_with_cpu_node("second"));
  const std::string message = refusal(bundle, "m", on_webgpu(), 5);
  EXPECT_NE(message.find("does not tell whether they have copies: 'second'"), std::string::npos)
      << message;
  SessionOptions keep = on_webgpu();
  keep.device_copies = DeviceCopies::kKeep;
  Session session = bundle.session("m", keep);
  Ort::Session original = plain("m");
  EXPECT_TRUE(run(*session, {2, kWidth}) == run(original, {2, kWidth}));
  EXPECT_EQ(bundle.report().models.at(0).device->proof, DeviceProof::kNone);
}

TEST_F(OnWebGpu, WeightsOfBranchesAreShared) {
  Bundle bundle = bundle_of(model_with_branches());
  std::vector<Session> sessions;
  for (int i = 0; i < 2; ++i) sessions.push_back(bundle.session("m", on_webgpu()));
  EXPECT_EQ(bundle.report().device_bytes(), 2 * kMatrix);
  Ort::Session original = plain("m");
  for (const bool yes : {false, true}) {
    EXPECT_TRUE(
        compare_outputs("m", {"y"}, run_branches(*sessions.at(1), yes), run_branches(original, yes))
            .at(0)
            .bit_equal);
  }
}

TEST_F(OnWebGpu, BytesNeedNotFillWords) {
  DeviceWeights weights(webgpu());
  std::vector<std::string> texts;
  std::vector<std::span<const std::byte>> pieces;
  for (const size_t size : {size_t{131070}, size_t{4097}, size_t{3}, size_t{0}})
    texts.push_back(floats((size + 3) / 4, 5).substr(0, size));
  for (const std::string& text : texts) pieces.push_back(std::as_bytes(std::span(text)));
  const PlacedBytes placed = weights.upload(pieces);
  ASSERT_EQ(placed.addresses.size(), texts.size());
  for (size_t i = 0; i + 1 < texts.size(); ++i)
    EXPECT_TRUE(read_back(webgpu(), placed.addresses[i], texts[i].size()) == texts[i]) << i;
}

}  // namespace
}  // namespace wshare::test

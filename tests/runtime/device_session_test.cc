#include <algorithm>
#include <mutex>
#include <random>
#include <thread>

#include "runtime/on_device.h"

namespace wshare::test {
namespace {

TEST_F(OnDevice, SessionsHoldOneCopyAndWhatIsTheirOwn) {
  Bundle bundle = Bundle::open(folder());
  std::vector<Session> sessions;
  for (int i = 0; i < 8; ++i) {
    sessions.push_back(bundle.session(i % 2 == 0 ? "a" : "b", on_device()));
    EXPECT_EQ(device_counts().in_use, kShared + sessions.size() * kOwn);
  }
  EXPECT_EQ(device_counts().peak, kShared + 8 * kOwn);  // no second copy while loading
  EXPECT_EQ(device_counts().uploaded - before_.uploaded, kShared + 8 * kOwn);
  for (size_t i = 0; i < sessions.size(); ++i)
    EXPECT_TRUE(equals_plain(i % 2 == 0 ? "a" : "b", *sessions[i]));
}

TEST_F(OnDevice, PlainSessionsHoldACopyEach) {  // or the test above would prove nothing
  std::vector<Ort::Session> sessions;
  for (int i = 0; i < 3; ++i) sessions.push_back(plain("a"));
  EXPECT_EQ(device_counts().in_use, 3 * (kShared + kOwn));
}

TEST_F(OnDevice, EachOptimisationLevelShares) {
  Bundle bundle = Bundle::open(folder());
  for (const auto level :
       {ORT_DISABLE_ALL, ORT_ENABLE_BASIC, ORT_ENABLE_EXTENDED, ORT_ENABLE_ALL}) {
    SCOPED_TRACE(level);
    SessionOptions options = on_device();
    options.ort.SetGraphOptimizationLevel(level);
    Session session = bundle.session("a", options);
    EXPECT_EQ(device_counts().in_use, kShared + kOwn);
    EXPECT_TRUE(equals_plain("a", *session, options.ort.Clone()));
  }
}

TEST_F(OnDevice, ReportsWhatIsShared) {
  Bundle bundle = Bundle::open(folder());
  const Session session = bundle.session("b", on_device());
  const Report report = bundle.report();
  ASSERT_EQ(report.models.size(), 1u);
  const ModelReport& model = report.models[0];
  EXPECT_EQ(model.shared_tensors, (std::vector<std::string>{"first", "second"}));
  EXPECT_EQ(model.shared_bytes, kShared);
  EXPECT_TRUE(model.packed_shared);
  ASSERT_TRUE(model.device.has_value());
  EXPECT_EQ(model.device->provider, kTestDevice);
  EXPECT_EQ(model.device->own_bytes, kOwn);
  EXPECT_EQ(model.device->unshared_bytes, kOwn);
  EXPECT_EQ(model.device->host_bytes, 0u);
  EXPECT_TRUE(model.device->may_pack);
  EXPECT_EQ(model.device->proof, DeviceProof::kCounted);
  ASSERT_EQ(report.devices.size(), 1u);
  EXPECT_EQ(report.devices[0].provider, kTestDevice);
  EXPECT_EQ(report.devices[0].shared_bytes, kShared);
}

TEST_F(OnDevice, BytesGoBackWithTheLastSession) {
  Bundle bundle = Bundle::open(folder());
  { const Session session = bundle.session("a", on_device()); }
  EXPECT_EQ(device_counts().in_use, 0u);
  EXPECT_EQ(bundle.report().devices.at(0).shared_bytes, 0u);
  Session again = bundle.session("a", on_device());
  EXPECT_EQ(device_counts().in_use, kShared + kOwn);
  EXPECT_TRUE(equals_plain("a", *again));
}

TEST_F(OnDevice, NoRoomIsAnErrorAndLeavesNothing) {
  Bundle bundle = Bundle::open(folder());
  const auto open = [&] { return bundle.session("a", on_device()); };
  for (const uint64_t left : {kShared - 1, kShared + kOwn - 1}) {
    const Room room(left);
    std::string message;
    EXPECT_EQ(code_of(open, &message), 6);
    const std::string said =
        left < kShared ? "': no room for 512.0 KiB of weights on the device" : "no room";
    EXPECT_NE(message.find(said), std::string::npos) << message;
    EXPECT_EQ(device_counts().in_use, 0u);
  }
  Session session = open();
  EXPECT_TRUE(equals_plain("a", *session));
}

TEST_F(OnDevice, SessionsMayEndInAnyOrder) {
  std::mt19937 random(1);
  for (int round = 0; round < 2; ++round) {
    std::vector<Session> sessions;
    {
      Bundle bundle = Bundle::open(folder());
      for (int i = 0; i < 5; ++i) sessions.push_back(bundle.session("a", on_device()));
    }
    std::shuffle(sessions.begin(), sessions.end(), random);
    while (!sessions.empty()) {
      EXPECT_TRUE(equals_plain("a", *sessions.back()));
      sessions.pop_back();
    }
    EXPECT_EQ(device_counts().in_use, 0u);
  }
}

TEST_F(OnDevice, ManyThreadsShareOneCopy) {
  Bundle bundle = Bundle::open(folder());
  std::vector<Session> sessions;
  std::mutex mutex;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&, i] {
        const std::string name = i % 2 == 0 ? "a" : "b";
        Session session = bundle.session(name, on_device());
        EXPECT_TRUE(equals_plain(name, *session));
        const std::lock_guard lock(mutex);
        sessions.push_back(std::move(session));
      });
    }
  }
  EXPECT_EQ(device_counts().in_use, kShared + 8 * kOwn);
}

TEST_F(OnDevice, AModelBringsOnlyWhatIsNotThere) {
  fs::remove_all(temp_ / "in");
  onnx::ModelProto more = task_model(13);
  onnx::GraphProto& graph = *more.mutable_graph();
  *graph.add_initializer() =
      raw("third", floats(kWidth * kWidth, 9), Proto::FLOAT, {kWidth, kWidth});
  graph.mutable_node(3)->set_output(0, "d0");
  add_node(graph, "MatMul", {"d0", "third"}, {"d"});
  for (int i = 6; i > 4; --i) graph.mutable_node()->SwapElements(i, i - 1);
  add("a.onnx", task_model(11));
  add("more.onnx", more);
  make(1024, 0, "two");
  Bundle bundle = Bundle::open(temp_ / "two");
  Session a = bundle.session("a", on_device());
  EXPECT_EQ(device_counts().in_use, kShared + kOwn);  // "third" is no part of it
  Session b = bundle.session("more", on_device());
  EXPECT_EQ(device_counts().in_use, kShared + kMatrix + 2 * kOwn);
  EXPECT_TRUE(equals_plain("a", *a));
  EXPECT_TRUE(equals_plain("more", *b));
}

TEST_F(OnDevice, WeightsOfBranchesAreShared) {
  Bundle bundle = bundle_of(model_with_branches());
  SessionOptions options = on_device();
  options.ort = Ort::SessionOptions();
  std::vector<Session> sessions;
  for (int i = 0; i < 3; ++i) sessions.push_back(bundle.session("m", options));
  EXPECT_EQ(device_counts().in_use, 2 * kMatrix);
  Ort::Session original = plain("m", Ort::SessionOptions());
  for (const bool yes : {false, true}) {
    EXPECT_TRUE(
        compare_outputs("m", {"y"}, run_branches(*sessions.at(1), yes), run_branches(original, yes))
            .at(0)
            .bit_equal);
  }
}

TEST_F(OnDevice, SessionsOnTheCpuMayStandBeside) {
  Bundle bundle = Bundle::open(folder());
  const Session on_cpu = bundle.session("a");
  EXPECT_FALSE(bundle.report().models.at(0).device.has_value());
  const Session session = bundle.session("a", on_device());
  EXPECT_EQ(device_counts().in_use, kShared + kOwn);
}

}  // namespace
}  // namespace wshare::test

#include "runtime/free_memory.h"

#include <dlfcn.h>

#include <thread>

#include "runtime/on_device.h"
#include "support/own_process.h"
#include "support/places.h"

// The test device as one whose allocators count nothing, with a driver that does
// (test_device/driver.cc). Each test runs in a process of its own, which keeps the driver.

namespace wshare::test {
namespace {

constexpr int64_t kSide = 1024;
constexpr uint64_t kSquare = kSide * kSide * 4;  // 4 MiB: more than the steps of free memory

// y = (x first) second: two shared matrices, and nothing of a session's own.
onnx::ModelProto wide_model() {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  set_type(*graph.add_input(), "x", Proto::FLOAT, {"1", std::to_string(kSide)});
  set_type(*graph.add_output(), "y", Proto::FLOAT, {"1", std::to_string(kSide)});
  for (const char* name : {"first", "second"}) {
    *graph.add_initializer() = raw(name, floats(kSide * kSide, static_cast<uint32_t>(name[0])),
                                   Proto::FLOAT, {kSide, kSide});
  }
  add_node(graph, "MatMul", {"x", "first"}, {"a"});
  add_node(graph, "MatMul", {"a", "second"}, {"y"});
  return model;
}

class ByFreeMemory : public OnDevice {
 protected:
  void SetUp() override {
    if (has_driver()) GTEST_SKIP() << "this machine has NVIDIA's driver";
  }

  static bool has_driver() {
    void* driver = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (driver != nullptr) ::dlclose(driver);
    return driver != nullptr;
  }

  static void load_driver() {
    ASSERT_NE(::dlopen(kTestDeviceDriver, RTLD_NOW), nullptr) << ::dlerror();
    ASSERT_TRUE(free_memory(test_device().ep_device()));
  }

  // Then absence is the proof.
  void check_shares_without_driver() {
    set_test_device_statistics(false);
    set_test_device_prepacking(true);
    Bundle bundle = bundle_of(wide_model());
    std::vector<Session> sessions;
    for (int i = 0; i < 3; ++i) {
      sessions.push_back(bundle.session("m", on_device()));
      EXPECT_EQ(device_counts().in_use, 2 * kSquare);
      EXPECT_EQ(bundle.report().models.at(0).device->proof, DeviceProof::kAbsence);
    }
    SessionOptions options = on_device();
    options.device_copies = DeviceCopies::kKeep;
    const Session kept = bundle.session("m", options);
    EXPECT_EQ(bundle.report().models.at(0).device->proof, DeviceProof::kNone);
    EXPECT_EQ(device_counts().in_use, 4 * kSquare);  // and what kernels packed
  }

  void check_shares() {
    load_driver();
    set_test_device_statistics(false);
    Bundle bundle = bundle_of(wide_model());
    std::vector<Session> sessions;
    for (int i = 0; i < 3; ++i) {
      sessions.push_back(bundle.session("m", on_device()));
      EXPECT_EQ(device_counts().in_use, 2 * kSquare);
    }
    const ModelReport report = bundle.report().models.at(0);
    EXPECT_TRUE(report.device->by_free_memory);
    EXPECT_EQ(report.device->proof, DeviceProof::kFreeMemory);
    EXPECT_EQ(report.device->own_bytes, 0u);
    EXPECT_TRUE(report.device->may_pack);
  }

  void check_finds_copies() {
    load_driver();
    set_test_device_statistics(false);
    set_test_device_prepacking(true);
    Bundle bundle = bundle_of(wide_model());
    std::string message;
    EXPECT_EQ(code_of([&] { bundle.session("m", on_device(Tier::kShared)); }, &message), 5);
    EXPECT_NE(message.find("pack shared weights, 8.0 MiB per session"), std::string::npos)
        << message;
    const Session session = bundle.session("m", on_device());
    EXPECT_EQ(device_counts().in_use, 2 * kSquare);
    EXPECT_FALSE(bundle.report().models.at(0).device->may_pack);
  }

  // Sessions of several threads are measured one at a time: what one takes is not another's.
  void check_threads() {
    load_driver();
    set_test_device_statistics(false);
    Bundle bundle = bundle_of(wide_model());
    const Session first = bundle.session("m", on_device());
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back(
          [&] { EXPECT_EQ(code_of([&] { bundle.session("m", on_device()); }), 0); });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(device_counts().in_use, 2 * kSquare);
  }
};

TEST_F(ByFreeMemory, IsNotAskedWithoutADriver) {
  EXPECT_IN_OWN_PROCESS(check_shares_without_driver());
}

TEST_F(ByFreeMemory, SessionsAreProvenToShare) { EXPECT_IN_OWN_PROCESS(check_shares()); }

TEST_F(ByFreeMemory, CopiesAreFound) { EXPECT_IN_OWN_PROCESS(check_finds_copies()); }

TEST_F(ByFreeMemory, ThreadsTakeTurns) { EXPECT_IN_OWN_PROCESS(check_threads()); }

}  // namespace
}  // namespace wshare::test

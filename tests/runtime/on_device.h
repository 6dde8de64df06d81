#pragma once

#include <onnxruntime_session_options_config_keys.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "run/graphs.h"
#include "run/parity.h"
#include "support/bundle_test.h"
#include "test_device/test_device.h"
#include "wshare/runtime.h"

#ifndef WSHARE_TEST_DEVICE
#error "define WSHARE_TEST_DEVICE as the path of the test device's library"
#endif

namespace wshare::test {

inline Device test_device() { return Device::open(kTestDevice, WSHARE_TEST_DEVICE); }

inline DeviceCounts device_counts() {
  DeviceCounts counts;
  get_test_device_counts(&counts);
  return counts;
}

// Sessions of it fail to be made when a node lands on the CPU.
inline Ort::SessionOptions only_on_device() {
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);
  options.AddConfigEntry("session.disable_cpu_ep_fallback", "1");
  return options;
}

inline SessionOptions on_device(Tier tier = Tier::kAuto) {
  return {tier, only_on_device(), test_device(), DeviceCopies::kRefuse};
}

inline constexpr int64_t kWidth = 256;
inline constexpr uint64_t kMatrix = kWidth * kWidth * 4;  // bytes; 256 KiB
inline constexpr uint64_t kHead = kWidth * 8 * 4;         // 8 KiB: too small to share
inline constexpr uint64_t kBias = kWidth * 4;

// y = Softmax(Relu(x first + bias) second) head: two matrices for all models, a head for each.
inline onnx::ModelProto task_model(uint32_t seed) {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  set_type(*graph.add_input(), "x", Proto::FLOAT, {"2", std::to_string(kWidth)});
  set_type(*graph.add_output(), "y", Proto::FLOAT, {"2", "8"});
  const auto matrix = [&](const char* name, int64_t columns, uint32_t number) {
    const auto count = static_cast<size_t>(kWidth * columns);
    *graph.add_initializer() = raw(name, floats(count, number), Proto::FLOAT, {kWidth, columns});
  };
  matrix("first", kWidth, 1);
  matrix("second", kWidth, 2);
  matrix("head", 8, seed);
  *graph.add_initializer() = raw("bias", floats(kWidth, 3), Proto::FLOAT, {kWidth});
  add_node(graph, "MatMul", {"x", "first"}, {"a"});
  add_node(graph, "Add", {"a", "bias"}, {"b"});
  add_node(graph, "Relu", {"b"}, {"c"});
  add_node(graph, "MatMul", {"c", "second"}, {"d"});
  add_node(graph, "Softmax", {"d"}, {"e"});
  add_node(graph, "MatMul", {"e", "head"}, {"y"});
  return model;
}

inline constexpr uint64_t kShared = 2 * kMatrix, kOwn = kHead + kBias;  // of a task model

inline std::vector<Ort::Value> run_task(Ort::Session& session) {
  const Ort::Value x = value_of(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {2, kWidth},
                                floats(static_cast<size_t>(2 * kWidth), 7));
  const char* input = "x";
  const char* output = "y";
  return session.Run(Ort::RunOptions{nullptr}, &input, &x, 1, &output, 1);
}

// Bundles on the test device. Each test begins and ends with an empty device.
class OnDevice : public BundleTest {
 protected:
  OnDevice() {
    add("a.onnx", task_model(11));
    add("b.onnx", task_model(12));
    make();
    before_ = device_counts();
    reset_test_device_peak();
  }
  ~OnDevice() override {
    EXPECT_EQ(device_counts().in_use, 0u);
    EXPECT_EQ(device_counts().access_errors, 0u);
  }

  fs::path folder() const { return temp_ / "bundle"; }

  // Makes a bundle of one model and opens it.
  Bundle bundle_of(const onnx::ModelProto& model) {
    fs::remove_all(temp_ / "in");
    add("m.onnx", model);
    make(1024, 0, "one");
    return Bundle::open(temp_ / "one");
  }

  // A plain session on the device, of the original.
  Ort::Session plain(const std::string& name, Ort::SessionOptions options = only_on_device()) {
    options.AppendExecutionProvider_V2(environment(), {test_device().ep_device()},
                                       Ort::KeyValuePairs{});
    return Ort::Session(environment(), (temp_ / ("in/" + name + ".onnx")).c_str(), options);
  }

  bool equals_plain(const std::string& name, Ort::Session& session,
                    Ort::SessionOptions options = only_on_device()) {
    Ort::Session original = plain(name, std::move(options));
    return compare_outputs(name, {"y"}, run_task(session), run_task(original)).at(0).bit_equal;
  }

  DeviceCounts before_;
};

}  // namespace wshare::test

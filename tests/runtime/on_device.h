#pragma once

#include <onnxruntime_session_options_config_keys.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "run/parity.h"
#include "runtime/read_back.h"
#include "runtime/task_models.h"
#include "support/bundle_test.h"
#include "support/places.h"
#include "test_device/test_device.h"
#include "wshare/runtime.h"

namespace wshare::test {

inline Device test_device() { return Device::open(kTestDevice, kTestDeviceLibrary); }

inline DeviceCounts device_counts() {
  DeviceCounts counts;
  get_test_device_counts(&counts);
  return counts;
}

// Leaves the device, or what it pins of the host, room for so many more bytes for the life of the
// object.
struct Room {
  explicit Room(uint64_t device, uint64_t pinned = UINT64_MAX) {
    const DeviceCounts now = device_counts();
    const auto limit = [](uint64_t used, uint64_t more) {
      return more > UINT64_MAX - used ? UINT64_MAX : used + more;
    };
    set_test_device_room(limit(now.in_use, device), limit(now.pinned, pinned));
  }
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;
  ~Room() { set_test_device_room(UINT64_MAX, UINT64_MAX); }
};

// The bytes at `address`, copied back to the host.
inline std::string read_back(const std::byte* address, size_t size) {
  return read_back(test_device(), address, size);
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
    EXPECT_EQ(device_counts().access_errors, before_.access_errors);
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

// The test device as one whose pointers are handles, to which nothing can be added, and whose
// allocators count nothing, as WebGPU's: weights lie there once all the same, which wshare proves
// by absence, and the test by the device's own count. Each test runs in a process of its own, since
// a provider is registered once.

#include "format/adapter_file.h"
#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "runtime/on_device.h"
#include "runtime/placed_models.h"
#include "runtime/task_sessions.h"
#include "support/own_process.h"

namespace wshare::test {
namespace {

class DeviceHandles : public OnDevice {
 protected:
  static void become_handles(bool counts = false) {
    set_test_device_handles(true);
    set_test_device_statistics(counts);
    set_test_device_prepacking(true);  // kernels are to be kept from it
  }

  // ONNX Runtime would plan a block with offsets into it.
  static Ort::SessionOptions without_pattern() {
    Ort::SessionOptions options = only_on_device();
    options.DisableMemPattern();
    return options;
  }

  static SessionOptions with_cpu() {
    SessionOptions options = on_device();
    options.ort = Ort::SessionOptions();
    return options;
  }

  void check_shares(bool counts) {
    become_handles(counts);
    Bundle bundle = Bundle::open(folder());
    std::vector<Session> sessions;
    for (const char* name : {"a", "b", "a"}) {
      sessions.push_back(bundle.session(name, on_device()));
      EXPECT_EQ(device_counts().in_use, kShared + sessions.size() * kOwn);
      set_test_device_prepacking(false);
      EXPECT_TRUE(equals_plain(name, *sessions.back(), without_pattern()));
      set_test_device_prepacking(true);
    }
    for (const ModelReport& model : bundle.report().models) {
      EXPECT_EQ(model.device->proof, counts ? DeviceProof::kCounted : DeviceProof::kAbsence);
      EXPECT_FALSE(model.device->may_pack);
      EXPECT_EQ(model.device->own_bytes, kOwn);
    }
    EXPECT_EQ(bundle.report().device_bytes(), kShared);
    sessions.clear();
    EXPECT_EQ(device_counts().in_use, 0u);
    EXPECT_EQ(device_counts().access_errors, before_.access_errors);
  }

  // The manifest does not say that optimisers compute with "second".
  void check_folded() {
    become_handles();
    bundle_of(model_with_folded_weight());
    Manifest manifest = load_manifest(temp_ / "one");
    for (TensorRecord& tensor : manifest.models.at(0).tensors) tensor.folded = false;
    write_file(temp_ / "one/manifest.json", to_json(manifest));
    Bundle bundle = Bundle::open(temp_ / "one");
    for (int i = 0; i < 2; ++i) {
      const Session session = bundle.session("m", on_device());
      EXPECT_EQ(device_counts().in_use, 2 * kMatrix + kOwn);
      const ModelReport report = bundle.report().models.at(0);
      EXPECT_EQ(report.shared_tensors, std::vector<std::string>{"first"});
      EXPECT_EQ(report.device->proof, DeviceProof::kAbsence);
    }
  }

  void check_both_sides() {
    become_handles();
    Bundle bundle = bundle_of(model_with_host_node(true));
    std::string message;
    EXPECT_EQ(code_of([&] { bundle.session("m", with_cpu()); }, &message), 5);
    EXPECT_NE(message.find("used on the CPU and by other nodes, of which "
                           "'TestDeviceExecutionProvider' does not tell whether they have copies: "
                           "'second'"),
              std::string::npos)
        << message;
    EXPECT_EQ(device_counts().in_use, 0u);
    fs::remove_all(temp_ / "one");
    bundle = bundle_of(model_with_host_node(false));
    const Session session = bundle.session("m", with_cpu());
    EXPECT_EQ(device_counts().in_use, kMatrix + kOwn);
    EXPECT_EQ(bundle.report().models.at(0).device->host_bytes, kMatrix);
  }

  void check_no_room() {
    become_handles();
    Bundle bundle = Bundle::open(folder());
    {
      const Room room(kShared - 1);
      std::string message;
      EXPECT_EQ(code_of([&] { bundle.session("a", on_device()); }, &message), 6);
      EXPECT_NE(message.find("no room for 256.0 KiB of weights"), std::string::npos) << message;
      EXPECT_EQ(device_counts().in_use, 0u);
    }
    const Session session = bundle.session("a", on_device());
    EXPECT_EQ(device_counts().in_use, kShared + kOwn);
  }

  void check_task() {
    become_handles();
    Bundle bundle = Bundle::open(folder());
    TaskSession session = bundle.task_session("a", on_device());
    const std::string head = floats(kWidth * 8, 99);
    // An input that a task gives must be one of the session; its own weights are none here.
    write_parameters({{"head", Proto::FLOAT, {kWidth, 8}, std::as_bytes(std::span(head))}},
                     temp_ / "task.onnx_adapter");
    EXPECT_EQ(code_of([&] { session.add_adapter("task", temp_ / "task.onnx_adapter"); }), 4);
    EXPECT_EQ(device_counts().in_use, kShared + kOwn);
  }
};

TEST_F(DeviceHandles, SessionsShareOneCopy) { EXPECT_IN_OWN_PROCESS(check_shares(false)); }

TEST_F(DeviceHandles, CountsAreTheProofWhereThereAreAny) {
  EXPECT_IN_OWN_PROCESS(check_shares(true));
}

TEST_F(DeviceHandles, WhatIsFoldedIsEachSessionsOwn) { EXPECT_IN_OWN_PROCESS(check_folded()); }

TEST_F(DeviceHandles, AWeightOnBothSidesIsRefused) { EXPECT_IN_OWN_PROCESS(check_both_sides()); }

TEST_F(DeviceHandles, NoRoomLeavesNothing) { EXPECT_IN_OWN_PROCESS(check_no_room()); }

TEST_F(DeviceHandles, WhatATaskUploadedGoesWhereItIsRefused) {
  EXPECT_IN_OWN_PROCESS(check_task());
}

}  // namespace
}  // namespace wshare::test

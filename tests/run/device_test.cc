// `wshare run` on a device: the one of tests/test_device, and CUDA where it is missing.

#include <dlfcn.h>

#include <nlohmann/json.hpp>

#include "run/run_command.h"
#include "support/places.h"

namespace wshare::test {
namespace {

constexpr char kPrepack[] = "--ep-option=prepack=1";  // of the test device
constexpr int64_t kWeight = kRows * kColumns * 4, kBias = kColumns * 4;

class RunOnDevice : public RunCommand {
 protected:
  static Arguments with(Arguments arguments) {
    const Arguments device = {"--ep=TestDevice", std::string("--ep-library=") + kTestDeviceLibrary};
    arguments.insert(arguments.begin(), device.begin(), device.end());
    return arguments;
  }
};

TEST_F(RunOnDevice, CountsWhatSharedAndPlainSessionsHold) {
  const json report = run_json(with({"--sessions=3", "--baseline"}));
  EXPECT_EQ(report.at("ep"), "TestDevice");
  EXPECT_EQ(report.at("device_bytes"), kWeight + 6 * kBias);
  EXPECT_EQ(report.at("baseline").at("device_bytes"), 6 * (kWeight + kBias));
  for (const json& side : {report, report.at("baseline")}) {
    for (const json& session : side.at("sessions")) EXPECT_TRUE(session.at("pack_ms").is_number());
  }
  EXPECT_EQ(report.at("models")[1].at("shared_bytes"), kWeight);
  EXPECT_EQ(report.at("models")[1].at("device"),
            json::parse(R"({"provider": "TestDeviceExecutionProvider", "own_bytes": 2048,
                            "unshared_bytes": 2048, "host_bytes": 0, "may_pack": true, "by_free_memory": false,
                            "proof": "counted"})"));
}

TEST_F(RunOnDevice, EndsWithOneWhereALimitIsPassed) {
  EXPECT_EQ(run(with({"--max-device=140K"})), 0) << err_;
  EXPECT_EQ(run(with({"--max-device=131K"})), 1);  // a weight of 128 KiB, two biases of 2
  EXPECT_EQ(err_, "wshare: memory of the device is 132.0 KiB, the limit is 131.0 KiB\n");
  expect_refused("no size", with({"--max-device=much"}), 2, "'much'");
}

TEST_F(RunOnDevice, ComparesWithOriginalsOnTheSameDevice) {
  const json report = run_json(with({"--against", a_is("in/a.onnx"), "--max-abs-diff=0"}));
  EXPECT_EQ(report.at("parity")[0].at("bit_equal"), true);
}

TEST_F(RunOnDevice, PrintsTheBytesOfTheDevice) {
  ASSERT_EQ(run(with({"--sessions=2", "--baseline"})), 0) << err_;
  for (const char* text : {"   shared      own  model\n", "128.0 KiB  2.0 KiB  a\n", "   device ",
                           "136.0 KiB ", "520.0 KiB ", "device 136.0 KiB instead of 520.0 KiB: "}) {
    EXPECT_NE(out_.find(text), std::string::npos) << text << " in\n" << out_;
  }
}

TEST_F(RunOnDevice, RefusesCopiesOrKeepsThem) {
  // MatMul packs. With an Add right behind it, optimisers would make a Gemm of both, which does
  // not.
  fs::remove_all(temp_ / "in");
  fs::remove_all(temp_ / "bundle");
  onnx::ModelProto model = matmul_model(kRows, kColumns, floats(kColumns, 2));
  onnx::GraphProto& graph = *model.mutable_graph();
  graph.mutable_node(0)->set_output(0, "raw");
  add_node(graph, "Relu", {"raw"}, {"product"});
  graph.mutable_node()->SwapElements(1, 2);
  add("a.onnx", model);
  make();
  expect_refused("shared", with({kPrepack, "--tier=shared"}), 5,
                 "pack shared weights, 128.0 KiB per session");
  EXPECT_NE(err_.find("--device-copies keep"), std::string::npos) << err_;
  json report = run_json(with({kPrepack, "--tier=auto", "--sessions=2"}));
  EXPECT_EQ(report.at("device_bytes"), kWeight + 2 * kBias);
  EXPECT_EQ(report.at("models")[0].at("device").at("may_pack"), false);
  report = run_json(with({kPrepack, "--device-copies=keep", "--sessions=2"}));
  EXPECT_EQ(report.at("device_bytes"), kWeight + 2 * (kWeight + kBias));
}

TEST_F(RunOnDevice, RefusesMistakesOnTheCommandLine) {
  expect_refused("library without provider", {"--ep-library=x.so"}, 2, "--ep-library");
  expect_refused("provider without library", {"--ep=tpu"}, 2, "--ep");
  expect_refused("option without provider", {"--ep-option=a=b"}, 2, "--ep-option: needs --ep");
  expect_refused("no option", with({"--ep-option=a"}), 2, "'a' is not of the form KEY=VALUE");
  expect_refused("twice", with({"--ep-option=a=b", "--ep-option=a=c"}), 2, "'a' is given twice");
  expect_refused("copies", with({"--device-copies=some"}), 2, "--device-copies");
  expect_refused("no such library", {"--ep=tpu", "--ep-library=lost.so"}, 3,
                 "'lost.so': no such library");
  expect_refused("another provider",
                 {"--ep=tpu", std::string("--ep-library=") + kTestDeviceLibrary}, 4,
                 "'tpu': the library offers no device");
  expect_refused("no such device", with({"--ep-device=1"}), 4, "device 1 is asked for");
}

TEST_F(RunOnDevice, SaysThatNoDeviceIsOffered) {
  setenv("WSHARE_TEST_DEVICE_ABSENT", "1", 1);
  expect_refused("absent", with({}), 5,
                 "'TestDevice': the library is loaded, but offers no device on this machine");
  EXPECT_NE(err_.find("hint: ONNX Runtime shows it CPU of vendor 0x"), std::string::npos) << err_;
  const std::string library = std::string("--ep-library=") + kTestDeviceLibrary;
  expect_refused("WebGPU", {"--ep=webgpu", library}, 5, "'webgpu': the library is loaded");
  EXPECT_NE(err_.find("ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER=1"), std::string::npos) << err_;
  expect_refused("OpenVINO", {"--ep=OpenVINO", library}, 5, "offers no device");
  EXPECT_NE(err_.find("it wants hardware of Intel (vendor 0x8086)"), std::string::npos) << err_;
  unsetenv("WSHARE_TEST_DEVICE_ABSENT");
}

TEST_F(RunOnDevice, NamesAllThatCudaLacks) {
  if (void* driver = ::dlopen("libcuda.so.1", RTLD_NOW)) {
    ::dlclose(driver);
    GTEST_SKIP() << "this machine has NVIDIA's driver";
  }
  expect_refused("cuda", {"--ep=cuda"}, 5, "'cuda': missing: the NVIDIA driver (libcuda.so.1)");
  EXPECT_NE(err_.find("hint: install the NVIDIA driver"), std::string::npos) << err_;
}

}  // namespace
}  // namespace wshare::test

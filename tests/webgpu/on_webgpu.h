#pragma once

#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "run/parity.h"
#include "runtime/stack_model.h"
#include "runtime/task_models.h"
#include "support/bundle_test.h"
#include "webgpu/vulkan_counts.h"
#include "wshare/runtime.h"

#ifndef WSHARE_WEBGPU
#error "define WSHARE_WEBGPU as the folder that tools/setup.sh --webgpu fills"
#endif
#ifndef WSHARE_VULKAN_LAYER
#error "define WSHARE_VULKAN_LAYER as the folder of vulkan_counts.json"
#endif

namespace wshare::test {

inline const fs::path kWebGpu = fs::path(WSHARE_WEBGPU) / "libonnxruntime_providers_webgpu.so";

// Makes this process and its children find the software GPU, through the layer that counts.
inline void use_software_gpu() {
  const std::string driver = std::string(WSHARE_WEBGPU) + "/vk_swiftshader_icd.json";
  ::setenv("VK_DRIVER_FILES", driver.c_str(), 1);
  ::setenv("ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER", "1", 1);
  ::setenv("VK_LAYER_PATH", WSHARE_VULKAN_LAYER, 1);
  ::setenv("VK_INSTANCE_LAYERS", "VK_LAYER_WSHARE_counts", 1);
}

// Bundles on WebGPU's provider, as Microsoft built it, over a software GPU.
class OnWebGpu : public BundleTest {
 protected:
  void SetUp() override {
    if (!fs::exists(kWebGpu)) GTEST_SKIP() << "NOT RUN ON WEBGPU: tools/setup.sh --webgpu";
    use_software_gpu();
  }

  static Device webgpu(const ProviderOptions& options = {}) {
    return Device::open("WebGPU", kWebGpu, 0, options);
  }

  static SessionOptions on_webgpu() {
    SessionOptions options;
    options.ort.SetIntraOpNumThreads(1);
    options.device = webgpu();
    return options;
  }

  fs::path folder() const { return temp_ / "bundle"; }

  Bundle bundle_of(const onnx::ModelProto& model) {
    add("m.onnx", model);
    make();
    return Bundle::open(folder());
  }

  // A plain session of the original, on WebGPU.
  Ort::Session plain(const std::string& name) {
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1);
    webgpu().append_to(options);
    return Ort::Session(environment(), (temp_ / ("in/" + name + ".onnx")).c_str(), options);
  }

  // The bytes that y = session(x) has; `shape` is that of x.
  static std::string run(Ort::Session& session, const std::vector<int64_t>& shape) {
    size_t count = 1;
    for (const int64_t dim : shape) count *= static_cast<size_t>(dim);
    const Ort::Value x = value_of(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, shape, floats(count, 7));
    const char* input = "x";
    const char* output = "y";
    return bytes_in(session.Run(Ort::RunOptions{nullptr}, &input, &x, 1, &output, 1).at(0));
  }

  std::string refusal(Bundle& bundle, const std::string& name, const SessionOptions& options,
                      int code) {
    std::string message;
    EXPECT_EQ(code_of([&] { bundle.session(name, options); }, &message), code);
    return message;
  }
};

}  // namespace wshare::test

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "runtime/device_use.h"
#include "runtime/on_device.h"
#include "runtime/provider_library.h"
#include "support/own_process.h"
#include "support/places.h"

namespace wshare::test {
namespace {

bool has_driver() {
  void* driver = ::dlopen("libcuda.so.1", RTLD_NOW);
  if (driver != nullptr) ::dlclose(driver);
  return driver != nullptr;
}

bool is_built_with_cuda() {
  const std::vector<std::string> built_in = Ort::GetAvailableProviders();
  return std::count(built_in.begin(), built_in.end(), "CUDAExecutionProvider") != 0;
}

// The message and hint with which Device::open() refuses, in one.
std::string refusal(const std::string& provider, const fs::path& library, int code,
                    size_t index = 0) {
  try {
    Device::open(provider, library, index);
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.code()), code) << error.what();
    return std::string(error.what()) + " | " + error.hint();
  }
  ADD_FAILURE() << provider << " was opened";
  return "";
}

TEST(Provider, IsNamedInShortAndInAnyCase) {
  EXPECT_TRUE(is_provider("CUDAExecutionProvider", "cuda"));
  EXPECT_TRUE(is_provider("CUDAExecutionProvider", "CudaExecutionProvider"));
  EXPECT_FALSE(is_provider("CUDAExecutionProvider", "cud"));
  EXPECT_FALSE(is_provider("CUDAExecutionProvider", ""));
  EXPECT_EQ(Device::open("testdevice", kTestDeviceLibrary).provider(), kTestDevice);
}

// Some providers take that name for their own.
TEST(Provider, IsRegisteredUnderItsOwnName) {
  EXPECT_IN_OWN_PROCESS({
    test_device();
    EXPECT_NO_THROW(environment().UnregisterExecutionProviderLibrary(kTestDevice));
  });
}

TEST(Provider, IsRegisteredOnce) {
  const Device device = test_device();
  const size_t devices = environment().GetEpDevices().size();
  EXPECT_EQ(test_device().ep_device(), device.ep_device());
  EXPECT_EQ(Device::open(kTestDevice).ep_device(), device.ep_device());  // is there by now
  EXPECT_EQ(environment().GetEpDevices().size(), devices);
}

TEST(Provider, MustExist) {
  EXPECT_NE(refusal("none", {}, 4).find("'none': no such provider is registered"),
            std::string::npos);
  const std::string other = refusal("none", kTestDeviceLibrary, 4);
  EXPECT_NE(other.find("offers no device of this provider"), std::string::npos) << other;
  EXPECT_NE(other.find(kTestDevice), std::string::npos) << other;
  EXPECT_NE(refusal(kTestDevice, kTestDeviceLibrary, 4, 7)
                .find("device 7 is asked for, the "
                      "provider has 1"),
            std::string::npos);
}

TEST(Provider, MustHaveMemoryOfItsOwn) {
  EXPECT_NE(refusal("cpu", {}, 5).find("has no memory of its own"), std::string::npos);
}

TEST(DeviceUse, IsReadFromStatistics) {
  Ort::KeyValuePairs figures;
  EXPECT_FALSE(read_use(figures).has_value());
  figures.Add("InUse", "100");
  EXPECT_EQ(read_use(figures)->in_use, 100u);
  EXPECT_EQ(read_use(figures)->held, 100u);
  figures.Add("TotalAllocated", "1048576");
  EXPECT_EQ(read_use(figures)->in_use, 100u);
  EXPECT_EQ(read_use(figures)->held, 1048576u);
  figures.Add("InUse", "many");
  EXPECT_FALSE(read_use(figures).has_value());
}

TEST(Provider, LibraryMustBeOne) {
  const TempFolder temp;
  EXPECT_NE(refusal("none", temp / "lost.so", 3).find("lost.so': no such library"),
            std::string::npos);
  write_file(temp / "text.so", "no library");
  EXPECT_NE(refusal("none", temp / "text.so", 6).find("text.so"), std::string::npos);
}

TEST(Provider, SaysWhichLibraryItLacks) {
  const std::string message = refusal("none", kNeedsLostLibrary, 5);
  EXPECT_NE(message.find("'none': missing: 'liblost_library.so', which "
                         "'libneeds_lost_library.so' is linked with"),
            std::string::npos)
      << message;
  EXPECT_NE(message.find("LD_LIBRARY_PATH"), std::string::npos) << message;
  EXPECT_EQ(missing_library("Failed to load library x.so with error: libcudnn.so.9: cannot open "
                            "shared object file: No such file or directory"),
            "libcudnn.so.9");
  EXPECT_EQ(missing_library("invalid ELF header"), "");
}

TEST(Provider, NamesAllThatCudaLacks) {
  if (has_driver()) GTEST_SKIP() << "this machine has NVIDIA's driver";
  Dl_info runtime{};
  ASSERT_NE(::dladdr(reinterpret_cast<const void*>(OrtGetApiBase()->GetVersionString), &runtime),
            0);
  const fs::path beside = fs::path(runtime.dli_fname).parent_path();
  const bool has_provider = fs::exists(beside / "libonnxruntime_providers_cuda.so");
  const std::string message = refusal("cuda", {}, 5);
  for (const char* part : {"the NVIDIA driver (libcuda.so.1)", "install the NVIDIA driver"}) {
    EXPECT_NE(message.find(part), std::string::npos) << part << " in " << message;
  }
  for (const char* part : {"; ONNX Runtime built with CUDA (", "tools/setup.sh --cuda"}) {
    EXPECT_EQ(message.find(part) != std::string::npos, !is_built_with_cuda())
        << part << " in " << message;
  }
  for (const char* part :
       {"; ONNX Runtime's CUDA provider", "libonnxruntime_providers_cuda.so", "--ep-library"}) {
    EXPECT_EQ(message.find(part) != std::string::npos, is_built_with_cuda() && !has_provider)
        << part << " in " << message;
  }
}

TEST(Provider, SaysThatTheDriverSeesNoGpu) {
  if (has_driver()) GTEST_SKIP() << "this machine has NVIDIA's driver";
  // A process of its own, which keeps the driver; started anew, since a fork has none of the
  // threads of ONNX Runtime.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto open_with_driver = [] {
    if (::dlopen(kDriverWithoutGpu, RTLD_NOW) == nullptr) std::_Exit(1);
    try {
      Device::open("cuda", kTestDeviceLibrary);
    } catch (const Error& error) {
      std::cerr << error.what();
      std::_Exit(static_cast<int>(error.code()));
    }
    std::_Exit(0);
  };
  EXPECT_EXIT(open_with_driver(), testing::ExitedWithCode(5),
              "'cuda': missing: a GPU that the NVIDIA driver can use .it gives 0, with CUDA error "
              "100.(; ONNX Runtime built with CUDA .*)?$");
}

}  // namespace
}  // namespace wshare::test

// `wshare run --ep webgpu`: whatever becomes of the provider, an exit code of the contract.

#include <nlohmann/json.hpp>

#include "support/cli_test.h"
#include "support/places.h"
#include "webgpu/on_webgpu.h"

namespace wshare::test {
namespace {

class RunOnWebGpu : public OnWebGpu {
 protected:
  int run_command(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"run", folder().string(), "--ep=webgpu", "--repeat=1",
                                         "--ep-library=" + kWebGpu.string()});
    std::ostringstream out, err;
    const int code = run_cli(arguments, out, err, kProgram);
    out_ = out.str();
    err_ = err.str();
    return code;
  }

  std::string out_, err_;
};

TEST_F(RunOnWebGpu, ComparesAndSaysHowItIsProven) {
  bundle_of(stack_model(2, 512, 64, 11));
  const std::string original = "--against=m=" + (temp_ / "in/m.onnx").string();
  ASSERT_EQ(run_command({"--sessions=2", original, "--max-abs-diff=0", "--json"}), 0) << err_;
  const nlohmann::json report = nlohmann::json::parse(out_);
  EXPECT_EQ(report.at("models")[0].at("device").at("proof"), "absence");
  EXPECT_EQ(report.at("device_bytes"), 2 * 512 * 512 * 4 + 512 * 64 * 4);
  EXPECT_EQ(report.at("parity")[0].at("bit_equal"), true);
}

TEST_F(RunOnWebGpu, EndsWithAnErrorWhereThereIsNoGpu) {
  bundle_of(stack_model(2, 512, 64, 11));
  ::setenv("VK_DRIVER_FILES", "/dev/null", 1);
  EXPECT_EQ(run_command({}), 5) << err_;
  EXPECT_NE(err_.find("No supported adapters"), std::string::npos) << err_;
  ::unsetenv("ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER");
  EXPECT_EQ(run_command({}), 5) << err_;
  EXPECT_NE(err_.find("offers no device on this machine"), std::string::npos) << err_;
  use_software_gpu();
  EXPECT_NE(run_command({"--ep-option=storageBufferCacheMode=none"}), 0);
  EXPECT_EQ(err_.find("was ended by signal"), std::string::npos) << err_;
}

}  // namespace
}  // namespace wshare::test

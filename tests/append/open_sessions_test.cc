// Sessions over a bundle go on while models come and go.

#include <atomic>
#include <thread>

#include "run/graphs.h"
#include "support/bundle_test.h"
#include "wshare/append.h"
#include "wshare/remove.h"
#include "wshare/runtime.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

constexpr int64_t kRows = 64, kColumns = 512;  // 128 KiB of float32: large enough to be shared

// The bytes of y.
std::string run(Ort::Session& session) {
  const Ort::Value x =
      test::value_of(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {1, kRows}, test::floats(kRows, 7));
  const char* input = "x";
  const char* output = "y";
  const auto outputs = session.Run(Ort::RunOptions{nullptr}, &input, &x, 1, &output, 1);
  return test::bytes_in(outputs.at(0));
}

class OpenSessions : public test::BundleTest {};

TEST_F(OpenSessions, GoOnWhileModelsComeAndGo) {
  // With a weight that all share and a bias of their own.
  for (uint32_t i = 0; i < 3; ++i) {
    add(std::string(1, "abc"[i]) + ".onnx",
        test::matmul_model(kRows, kColumns, test::floats(kColumns, i + 2)));
  }
  const fs::path folder = temp_ / "bundle";
  dedupe(inputs({"a.onnx", "b.onnx"}), folder, {});
  Bundle bundle = Bundle::open(folder);
  Session a = bundle.session("a");
  Session b = bundle.session("b");
  const std::string of_a = run(a), of_b = run(b);
  std::atomic<bool> stop = false;
  std::atomic<int> runs = 0, wrong = 0;
  std::thread service([&] {
    while (!stop) {
      wrong += run(a) != of_a || run(b) != of_b ? 1 : 0;
      ++runs;
    }
  });
  append(folder, inputs({"c.onnx"}), {});
  EXPECT_EQ(run(*Bundle::open(folder).session("a")), of_a);
  const std::string of_c = run(*Bundle::open(folder).session("c"));
  remove_models(folder, {"b"}, {});
  EXPECT_EQ(run(*bundle.session("a")), of_a);  // opened before, asked for a new session now
  RemoveOptions compact;
  compact.compact = true;
  remove_models(folder, {"a"}, compact);
  EXPECT_EQ(run(*Bundle::open(folder).session("c")), of_c);
  const int before = runs;
  while (runs < before + 2) std::this_thread::yield();  // also after the last change
  stop = true;
  service.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(test::names_in(folder),
            (std::vector<std::string>{"c.bin", "c.onnx", "manifest.json", "restore.bin"}));
}

}  // namespace
}  // namespace wshare

// Sessions over a bundle go on while models come and go.

#include <atomic>
#include <cstring>
#include <thread>

#include "support/bundle_test.h"
#include "wshare/append.h"
#include "wshare/remove.h"
#include "wshare/runtime.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

constexpr int64_t kRows = 64, kColumns = 512;  // 128 KiB of float32: large enough to be shared

std::string floats(size_t count, uint32_t seed) {
  std::string bytes;
  for (size_t i = 0; i < count; ++i) {
    seed = seed * 1664525 + 1013904223;
    const float value = static_cast<float>(seed >> 16) / 65536.0F - 0.5F;
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  return bytes;
}

void set_shape(onnx::ValueInfoProto& value, const std::string& name, int64_t columns) {
  value.set_name(name);
  onnx::TypeProto::Tensor& type = *value.mutable_type()->mutable_tensor_type();
  type.set_elem_type(onnx::TensorProto::FLOAT);
  type.mutable_shape()->add_dim()->set_dim_value(1);
  type.mutable_shape()->add_dim()->set_dim_value(columns);
}

// y = MatMul(x, weight) + bias, with a weight that all models share and a bias of its own.
onnx::ModelProto make_model(uint32_t seed) {
  onnx::ModelProto model = test::empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  set_shape(*graph.add_input(), "x", kRows);
  set_shape(*graph.add_output(), "y", kColumns);
  *graph.add_initializer() =
      test::raw("weight", floats(kRows * kColumns, 1), test::Proto::FLOAT, {kRows, kColumns});
  *graph.add_initializer() =
      test::raw("bias", floats(kColumns, seed), test::Proto::FLOAT, {kColumns});
  test::add_node(graph, "MatMul", {"x", "weight"}, {"product"});
  test::add_node(graph, "Add", {"product", "bias"}, {"y"});
  return model;
}

// The bytes of y.
std::string run(Ort::Session& session) {
  const std::vector<int64_t> shape = {1, kRows};
  Ort::AllocatorWithDefaultOptions allocator;
  Ort::Value x = Ort::Value::CreateTensor<float>(allocator, shape.data(), shape.size());
  const std::string bytes = floats(kRows, 7);
  std::memcpy(x.GetTensorMutableRawData(), bytes.data(), bytes.size());
  const char* input = "x";
  const char* output = "y";
  const auto outputs = session.Run(Ort::RunOptions{nullptr}, &input, &x, 1, &output, 1);
  return {static_cast<const char*>(outputs.at(0).GetTensorRawData()), kColumns * sizeof(float)};
}

class OpenSessions : public test::BundleTest {};

TEST_F(OpenSessions, GoOnWhileModelsComeAndGo) {
  for (uint32_t i = 0; i < 3; ++i) add(std::string(1, "abc"[i]) + ".onnx", make_model(i + 2));
  const auto input = [&](const std::string& name) {
    return resolve_inputs({(temp_ / ("in/" + name + ".onnx")).string()});
  };
  const fs::path folder = temp_ / "bundle";
  dedupe(resolve_inputs({(temp_ / "in/a.onnx").string(), (temp_ / "in/b.onnx").string()}), folder,
         {});
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
  append(folder, input("c"), {});
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

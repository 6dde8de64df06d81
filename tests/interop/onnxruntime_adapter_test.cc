// What we write as .onnx_adapter, given to ONNX Runtime's own adapter loading.
#include <gtest/gtest.h>
#include <onnxruntime_cxx_api.h>

#include <cstring>

#include "format/adapter_file.h"
#include "support/files.h"
#include "support/models.h"

namespace wshare::test {
namespace {

constexpr int64_t kIn = 4, kOut = 3, kRank = 2;

std::vector<float> values(size_t count, uint32_t seed) {
  std::vector<float> result(count);
  for (float& value : result) {
    seed = seed * 1664525 + 1013904223;
    value = static_cast<float>(seed >> 16) / 65536.0F - 0.5F;
  }
  return result;
}

std::string bytes_of(const std::vector<float>& numbers) {
  return {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(float)};
}

void write_adapter_file(const fs::path& path, const std::vector<NamedTensor>& parameters) {
  std::string file;
  write_adapter(lay_out_adapter(parameters), parameters, append_to(file));
  write_file(path, file);
}

// A dimension is a number, or the name of a dynamic one.
void add_input(onnx::GraphProto& graph, const std::string& name, int64_t rows, int64_t cols) {
  onnx::ValueInfoProto& input = *graph.add_input();
  input.set_name(name);
  onnx::TypeProto::Tensor& type = *input.mutable_type()->mutable_tensor_type();
  type.set_elem_type(onnx::TensorProto::FLOAT);
  for (const int64_t dim : {rows, cols}) {
    auto& added = *type.mutable_shape()->add_dim();
    if (dim > 0) {
      added.set_dim_value(dim);
    } else {
      added.set_dim_param("r");
    }
  }
}

// y = x · w + (x · a) · b, with a and b of rank 0 unless given.
std::string lora_model() {
  onnx::ModelProto model = empty_model();
  model.set_ir_version(8);
  onnx::GraphProto& graph = *model.mutable_graph();
  add_input(graph, "x", 1, kIn);
  add_input(graph, "a", kIn, 0);
  add_input(graph, "b", 0, kOut);
  *graph.add_initializer() =
      raw("w", bytes_of(values(kIn * kOut, 1)), onnx::TensorProto::FLOAT, {kIn, kOut});
  *graph.add_initializer() = raw("a", "", onnx::TensorProto::FLOAT, {kIn, 0});
  *graph.add_initializer() = raw("b", "", onnx::TensorProto::FLOAT, {0, kOut});
  add_node(graph, "MatMul", {"x", "w"}, {"xw"});
  add_node(graph, "MatMul", {"x", "a"}, {"xa"});
  add_node(graph, "MatMul", {"xa", "b"}, {"xab"});
  add_node(graph, "Add", {"xw", "xab"}, {"y"});
  onnx::ValueInfoProto& output = *graph.add_output();
  output.set_name("y");
  output.mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT);
  return model.SerializeAsString();
}

class OnnxRuntimeAdapter : public testing::Test {
 protected:
  Ort::Env env_{ORT_LOGGING_LEVEL_ERROR};
  TempFolder folder_;
};

TEST_F(OnnxRuntimeAdapter, ComputesAsIfTheFactorsWereFed) {
  std::vector<float> x = values(kIn, 2), a = values(kIn * kRank, 3), b = values(kRank * kOut, 4);
  const std::string a_bytes = bytes_of(a), b_bytes = bytes_of(b);
  write_adapter_file(folder_ / "task.onnx_adapter",
                     {{"a", 1, {kIn, kRank}, std::as_bytes(std::span(a_bytes))},
                      {"b", 1, {kRank, kOut}, std::as_bytes(std::span(b_bytes))}});
  const std::string model = lora_model();
  Ort::Session session(env_, model.data(), model.size(), Ort::SessionOptions());
  const Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const auto tensor = [&](std::vector<float>& numbers, std::vector<int64_t> shape) {
    return Ort::Value::CreateTensor<float>(memory, numbers.data(), numbers.size(), shape.data(),
                                           shape.size());
  };
  const auto run = [&](const Ort::RunOptions& options, size_t count) {
    const char* const names[] = {"x", "a", "b"};
    const char* const output = "y";
    std::vector<Ort::Value> inputs;
    inputs.push_back(tensor(x, {1, kIn}));
    inputs.push_back(tensor(a, {kIn, kRank}));
    inputs.push_back(tensor(b, {kRank, kOut}));
    const std::vector<Ort::Value> outputs =
        session.Run(options, names, inputs.data(), count, &output, 1);
    const float* y = outputs.at(0).GetTensorData<float>();
    return bytes_of({y, y + kOut});
  };
  const Ort::LoraAdapter adapter =
      Ort::LoraAdapter::CreateLoraAdapter((folder_ / "task.onnx_adapter").c_str(), nullptr);
  Ort::RunOptions with_adapter;
  with_adapter.AddActiveLoraAdapter(adapter);
  EXPECT_EQ(run(with_adapter, 1), run(Ort::RunOptions(), 3));
  EXPECT_NE(run(with_adapter, 1), run(Ort::RunOptions(), 1));
}

TEST_F(OnnxRuntimeAdapter, LoadsEveryTypeThatWeWrite) {
  const std::string bytes = noise(64, 1);
  for (const int32_t dtype : {1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 16, 17, 18, 19, 20}) {
    SCOPED_TRACE(dtype);
    NamedTensor parameter{"x", dtype, {2, 3}, {}};
    parameter.bytes = std::as_bytes(std::span(bytes)).first(needed_bytes(parameter));
    const NamedTensor empty{"y", dtype, {2, 0}, {}};
    write_adapter_file(folder_ / "any.onnx_adapter", {parameter, empty});
    EXPECT_NO_THROW(
        Ort::LoraAdapter::CreateLoraAdapter((folder_ / "any.onnx_adapter").c_str(), nullptr));
  }
}

}  // namespace
}  // namespace wshare::test

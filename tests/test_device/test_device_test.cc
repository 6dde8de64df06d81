#include "test_device/test_device.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "run/graphs.h"
#include "run/parity.h"
#include "support/files.h"
#include "support/places.h"

namespace wshare::test {
namespace {

DeviceCounts counts() {
  DeviceCounts result;
  get_test_device_counts(&result);
  return result;
}

Ort::ConstEpDevice device() { return Device::open(kTestDevice, kTestDeviceLibrary).ep_device(); }

// x [1,8] through each kernel that has a matrix of its own, or none.
onnx::ModelProto model_of_all_kernels() {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  set_type(*graph.add_input(), "x", Proto::FLOAT, {"1", "8"});
  set_type(*graph.add_input(), "ids", Proto::INT64, {"1", "2"});
  set_type(*graph.add_output(), "y", Proto::FLOAT, {"1", "2", "8"});
  *graph.add_initializer() = raw("weight", floats(64, 1), Proto::FLOAT, {8, 8});
  *graph.add_initializer() = raw("bias", floats(8, 2), Proto::FLOAT, {8});
  *graph.add_initializer() = raw("table", floats(40, 3), Proto::FLOAT, {5, 8});
  *graph.add_initializer() = raw("flat", raw_of<int64_t>({1, -1}), Proto::INT64, {2});
  add_node(graph, "MatMul", {"x", "weight"}, {"product"});
  add_node(graph, "Add", {"product", "bias"}, {"sum"});
  add_node(graph, "Gemm", {"sum", "weight", "bias"}, {"gemm"});
  onnx::AttributeProto swapped = integer("transB", 1);
  *graph.mutable_node(2)->add_attribute() = swapped;
  add_node(graph, "Transpose", {"gemm"}, {"column"});
  add_node(graph, "Reshape", {"column", "flat"}, {"row"});
  add_node(graph, "Softmax", {"row"}, {"soft"});
  add_node(graph, "Relu", {"sum"}, {"positive"});
  add_node(graph, "Mul", {"soft", "positive"}, {"scaled"});
  add_node(graph, "Gather", {"table", "ids"}, {"rows"});
  add_node(graph, "Add", {"rows", "scaled"}, {"z"});
  add_node(graph, "Identity", {"z"}, {"y"});
  return model;
}

Ort::Session session_on_device(const onnx::ModelProto& model) {
  const std::string bytes = model.SerializeAsString();
  Ort::SessionOptions options;
  options.SetGraphOptimizationLevel(ORT_DISABLE_ALL);
  options.AddConfigEntry("session.disable_cpu_ep_fallback", "1");
  options.AppendExecutionProvider_V2(environment(), {device()}, Ort::KeyValuePairs{});
  return Ort::Session(environment(), bytes.data(), bytes.size(), options);
}

TEST(TestDevice, ComputesWhatTheCpuComputes) {
  const uint64_t errors = counts().access_errors;
  const onnx::ModelProto model = model_of_all_kernels();
  std::vector<std::vector<Ort::Value>> outputs;
  Ort::Session on_device = session_on_device(model), on_cpu = session_of(model);
  for (Ort::Session* session : {&on_device, &on_cpu}) {
    std::array<Ort::Value, 2> inputs = {
        value_of(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {1, 8}, floats(8, 4)),
        value_of(ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, {1, 2}, raw_of<int64_t>({4, -2}))};
    const std::array names = {"x", "ids"};
    const char* output = "y";
    outputs.push_back(
        session->Run(Ort::RunOptions{nullptr}, names.data(), inputs.data(), 2, &output, 1));
  }
  EXPECT_LT(compare_outputs("m", {"y"}, outputs[0], outputs[1]).at(0).max_abs_diff, 1e-6);
  EXPECT_EQ(counts().access_errors, errors);
}

TEST(TestDevice, CountsEveryByteAndGivesItBack) {
  const DeviceCounts before = counts();
  {
    const Ort::Session session = session_on_device(model_of_all_kernels());
    const uint64_t floats_on_device = 64 + 8 + 40;  // the shape of Reshape stays on the host
    EXPECT_EQ(counts().in_use - before.in_use, floats_on_device * 4);
    EXPECT_EQ(counts().uploaded - before.uploaded, floats_on_device * 4);
    EXPECT_EQ(counts().allocations - before.allocations, 3u);
  }
  EXPECT_EQ(counts().in_use, before.in_use);
}

TEST(TestDevice, CannotBeReadByTheHost) {
  const auto memory = device().GetMemoryInfo(OrtDeviceMemoryType_DEFAULT);
  Ort::UnownedAllocator allocator = environment().GetSharedAllocator(memory);
  void* block = allocator.Alloc(16);
  ASSERT_NE(block, nullptr);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  EXPECT_EQ(::write(ends[1], block, 1), -1);  // the system refuses, where a program would end
  ::close(ends[0]);
  ::close(ends[1]);
  allocator.Free(block);
}

TEST(TestDevice, RefusesMemoryOfTheHost) {
  const auto memory = device().GetMemoryInfo(OrtDeviceMemoryType_DEFAULT);
  std::array<float, 8> host{};
  const std::array<int64_t, 2> shape = {1, 8};
  Ort::Session session = session_on_device(model_of_all_kernels());
  std::array<Ort::Value, 2> inputs = {
      Ort::Value::CreateTensor(memory, host.data(), sizeof host, shape.data(), shape.size(),
                               ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT),
      value_of(ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, {1, 2}, raw_of<int64_t>({4, -2}))};
  const std::array names = {"x", "ids"};
  const char* output = "y";
  const uint64_t errors = counts().access_errors;
  EXPECT_THROW(session.Run(Ort::RunOptions{nullptr}, names.data(), inputs.data(), 2, &output, 1),
               Ort::Exception);
  EXPECT_EQ(counts().access_errors, errors + 1);
}

TEST(TestDevice, PacksWeightsWhereAsked) {
  set_test_device_prepacking(true);
  const DeviceCounts before = counts();
  {
    const Ort::Session session = session_on_device(model_of_all_kernels());
    EXPECT_EQ(counts().prepacked - before.prepacked, 1u);
  }
  set_test_device_prepacking(false);
  EXPECT_EQ(counts().in_use, before.in_use);
}

}  // namespace
}  // namespace wshare::test

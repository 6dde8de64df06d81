// Tasks over one session on WebGPU. Its MatMul ends the process where a factor has no elements and
// the other has three dimensions, as with the factors of rank 0 that a base has.

#include <thread>

#include "format/adapter_file.h"
#include "runtime/task_sessions.h"
#include "webgpu/on_webgpu.h"

namespace wshare::test {
namespace {

constexpr int64_t kRank = 4;
constexpr uint64_t kAdapter = 2 * kWidth * kRank * 4;  // bytes of A and B

// y = x first + (x A) B, where A and B may be given; their defaults are empty.
onnx::ModelProto lora_model() {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  const std::string width = std::to_string(kWidth);
  set_type(*graph.add_input(), "x", Proto::FLOAT, {"1", "2", width});
  set_type(*graph.add_input(), "A", Proto::FLOAT, {width, "rank"});
  set_type(*graph.add_input(), "B", Proto::FLOAT, {"rank", width});
  set_type(*graph.add_output(), "y", Proto::FLOAT, {"1", "2", width});
  *graph.add_initializer() =
      raw("first", floats(kWidth * kWidth, 1), Proto::FLOAT, {kWidth, kWidth});
  *graph.add_initializer() = raw("A", "", Proto::FLOAT, {kWidth, 0});
  *graph.add_initializer() = raw("B", "", Proto::FLOAT, {0, kWidth});
  add_node(graph, "MatMul", {"x", "first"}, {"base"});
  add_node(graph, "MatMul", {"x", "A"}, {"down"});
  add_node(graph, "MatMul", {"down", "B"}, {"delta"});
  add_node(graph, "Add", {"base", "delta"}, {"y"});
  return model;
}

class TasksOnWebGpu : public OnWebGpu {
 protected:
  TaskSession open(Bundle& bundle, const SessionOptions& options) {
    TaskSession session = bundle.task_session("m", options);
    for (const uint32_t task : {1u, 2u}) {
      const std::string a = floats(kWidth * kRank, 10 * task);
      const std::string b = floats(kWidth * kRank, 10 * task + 1);
      const fs::path path = temp_ / (std::to_string(task) + ".onnx_adapter");
      write_parameters({{"A", Proto::FLOAT, {kWidth, kRank}, std::as_bytes(std::span(a))},
                        {"B", Proto::FLOAT, {kRank, kWidth}, std::as_bytes(std::span(b))}},
                       path);
      session.add_adapter(std::to_string(task), path);
    }
    const fs::path empty = temp_ / "empty.onnx_adapter";
    write_parameters({{"A", Proto::FLOAT, {kWidth, 0}, {}}, {"B", Proto::FLOAT, {0, kWidth}, {}}},
                     empty);
    session.add_adapter("empty", empty);
    return session;
  }

  static std::string run(TaskSession& session, const std::string& task) {
    const Ort::Value input =
        value_of(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {1, 2, kWidth}, floats(2 * kWidth, 7));
    const char* name = "x";
    const char* output = "y";
    return bytes_in(session.run(task, &name, &input, 1, &output, 1).at(0));
  }
};

const std::vector<std::string> kTasks = {"", "1", "2", "empty", ""};

TEST_F(TasksOnWebGpu, TakeTurnsOverOneSession) {
  Bundle bundle = bundle_of(lora_model());
  TaskSession on_cpu = open(bundle, {}), on_gpu = open(bundle, on_webgpu());
  // Of "empty" a column each.
  EXPECT_EQ(bundle.report().device_bytes(), kMatrix + 2 * kAdapter + 4 * kWidth * 4);
  Ort::IoBinding binding(on_gpu.session());
  binding.BindInput(
      "x", value_of(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {1, 2, kWidth}, floats(2 * kWidth, 7)));
  binding.BindOutput("y", Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault));
  for (const std::string& task : kTasks) {
    SCOPED_TRACE(task);
    const std::string ours = run(on_gpu, task);
    EXPECT_LT(largest_difference(ours, run(on_cpu, task)), 1e-4F);
    EXPECT_TRUE(run_bound(on_gpu, binding, task) == ours);
  }
  EXPECT_FALSE(run(on_gpu, "1") == run(on_gpu, "2"));
}

// run() takes turns by itself, where two runs at once would end the process.
TEST_F(TasksOnWebGpu, RunOnFourThreads) {
  Bundle bundle = bundle_of(lora_model());
  TaskSession session = open(bundle, on_webgpu());
  std::vector<std::string> alone, together(4);
  for (size_t i = 0; i < 4; ++i) alone.push_back(run(session, kTasks[i]));
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        for (int times = 0; times < 5; ++times) together[i] = run(session, kTasks[i]);
      });
    }
  }
  for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(alone[i] == together[i]) << kTasks[i];
}

}  // namespace
}  // namespace wshare::test

// Tasks over one session on a device.

#include <thread>

#include "runtime/on_device.h"
#include "runtime/task_sessions.h"

namespace wshare::test {
namespace {

constexpr int64_t kRank = 4;
constexpr uint64_t kAdapter = 2 * kWidth * kRank * 4;  // bytes of A and B
constexpr uint64_t kX = 2 * kWidth * 4;                // of the input

// y = x first + (x A) B, where A and B may be given; their defaults are empty.
onnx::ModelProto lora_model() {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  const std::string width = std::to_string(kWidth);
  set_type(*graph.add_input(), "x", Proto::FLOAT, {"2", width});
  set_type(*graph.add_input(), "A", Proto::FLOAT, {width, "rank"});
  set_type(*graph.add_input(), "B", Proto::FLOAT, {"rank", width});
  set_type(*graph.add_output(), "y", Proto::FLOAT, {"2", width});
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

class TasksOnDevice : public OnDevice {
 protected:
  TasksOnDevice() : bundle_(bundle_of(lora_model())) {}

  static std::string factor(uint32_t seed) { return floats(kWidth * kRank, seed); }

  TaskSession open() {
    TaskSession session = bundle_.task_session("m", on_device());
    for (const uint32_t task : {1u, 2u}) {
      const std::string a = factor(10 * task), b = factor(10 * task + 1);
      const fs::path path = temp_ / (std::to_string(task) + ".onnx_adapter");
      write_parameters({{"A", Proto::FLOAT, {kWidth, kRank}, std::as_bytes(std::span(a))},
                        {"B", Proto::FLOAT, {kRank, kWidth}, std::as_bytes(std::span(b))}},
                       path);
      session.add_adapter(std::to_string(task), path);
    }
    return session;
  }

  static Ort::Value x() {
    return value_of(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {2, kWidth}, floats(2 * kWidth, 7));
  }

  static std::string run(TaskSession& session, const std::string& task) {
    const Ort::Value input = x();
    const char* name = "x";
    const char* output = "y";
    return bytes_in(session.run(task, &name, &input, 1, &output, 1).at(0));
  }

  // What a plain session on the device gives that is fed A and B from the host.
  std::string run_plain(uint32_t task) {
    Ort::Session session = plain("m");
    std::array<Ort::Value, 3> inputs = {
        x(), value_of(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {kWidth, kRank}, factor(10 * task)),
        value_of(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {kRank, kWidth}, factor(10 * task + 1))};
    const std::array names = {"x", "A", "B"};
    const char* output = "y";
    return bytes_in(
        session.Run(Ort::RunOptions{nullptr}, names.data(), inputs.data(), 3, &output, 1).at(0));
  }

  Bundle bundle_;
};

TEST_F(TasksOnDevice, AreUploadedOnce) {
  TaskSession session = open();
  EXPECT_EQ(device_counts().in_use, kMatrix + 2 * kAdapter);
  EXPECT_EQ(bundle_.report().device_bytes(), kMatrix + 2 * kAdapter);
  const std::string first = run(session, "1"), second = run(session, "2");
  EXPECT_NE(first, second);
  const uint64_t uploaded = device_counts().uploaded;
  EXPECT_TRUE(run(session, "1") == first);
  EXPECT_TRUE(run(session, "2") == second);
  EXPECT_EQ(device_counts().uploaded - uploaded, 2 * kX);  // nothing but the input
  EXPECT_TRUE(first == run_plain(1));
  EXPECT_TRUE(second == run_plain(2));
}

TEST_F(TasksOnDevice, AreBoundWhereTheyLie) {
  TaskSession session = open();
  Ort::IoBinding binding(session.session());
  binding.BindInput("x", x());
  binding.BindOutput("y", Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault));
  for (const std::string task : {"1", "2", "", "1"}) {
    SCOPED_TRACE(task);
    const std::string expected = run(session, task);
    const uint64_t uploaded = device_counts().uploaded;
    EXPECT_TRUE(run_bound(session, binding, task) == expected);
    EXPECT_EQ(device_counts().uploaded, uploaded);
  }
}

TEST_F(TasksOnDevice, MayBeChosenByRunOptions) {
  TaskSession session = open();
  const Ort::RunOptions options = session.options("2");
  const Ort::Value input = x();
  const char* name = "x";
  const char* output = "y";
  EXPECT_TRUE(bytes_in(session.session().Run(options, &name, &input, 1, &output, 1).at(0)) ==
              run(session, "2"));
}

TEST_F(TasksOnDevice, RunAtOnce) {
  TaskSession session = open();
  const std::vector<std::string> tasks = {"1", "2", ""};
  std::vector<std::string> alone, together(tasks.size());
  for (const std::string& task : tasks) alone.push_back(run(session, task));
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < tasks.size(); ++i) {
      threads.emplace_back([&, i] {
        for (int times = 0; times < 5; ++times) together[i] = run(session, tasks[i]);
      });
    }
  }
  for (size_t i = 0; i < tasks.size(); ++i) EXPECT_TRUE(alone[i] == together[i]) << tasks[i];
}

TEST_F(TasksOnDevice, FailWithTheMessageOfOnnxRuntime) {
  TaskSession session = open();
  const Ort::Value wrong = value_of(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {1, 2}, floats(2, 7));
  const char* name = "x";
  const char* output = "y";
  std::string message;
  EXPECT_EQ(code_of([&] { session.run("1", &name, &wrong, 1, &output, 1); }, &message), 6);
  EXPECT_NE(message.find("'1': "), std::string::npos) << message;
}

// The T5 family, of whose nodes some run on the device and some on the CPU.
TEST_F(TaskSessions, RunPartlyOnADevice) {
  {
    Bundle bundle = Bundle::open(folder());
    TaskSession on_cpu = bundle.task_session("base");
    SessionOptions options;
    options.device = test_device();
    TaskSession on_both = bundle.task_session("base", options);
    EXPECT_GT(device_counts().in_use, 0u);
    for (const std::string& task : on_cpu.tasks()) {
      SCOPED_TRACE(task);
      EXPECT_LT(largest_difference(run(on_both, task), run(on_cpu, task)), 1e-4F);
    }
  }
  EXPECT_EQ(device_counts().in_use, 0u);
}

}  // namespace
}  // namespace wshare::test

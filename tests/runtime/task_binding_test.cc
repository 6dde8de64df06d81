// TaskSession::bind(): tasks with an IoBinding, where ONNX Runtime knows no adapters.

#include <thread>

#include "runtime/input_defaults.h"
#include "runtime/task_sessions.h"

namespace wshare::test {
namespace {

class TaskBinding : public TaskSessions {
 protected:
  static std::string bytes_of_floats(const std::vector<float>& values) {
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
  }

  // Makes a bundle of "sum": y = x + bias, where bias is an input with `values` as its default.
  void make_sum_bundle(int64_t size, const std::vector<float>& values) {
    onnx::ModelProto model = empty_model();
    onnx::GraphProto& graph = *model.mutable_graph();
    for (const char* name : {"x", "bias"}) add_vector_input(graph, name, size);
    *graph.add_initializer() = raw("bias", bytes_of_floats(values), Proto::FLOAT, {size});
    add_node(graph, "Add", {"x", "bias"}, {"y"});
    graph.add_output()->set_name("y");
    fs::remove_all(folder());
    add("sum.onnx", model);
    make();
  }

  // Runs each of `tasks` in turn with one binding, and expects what run() gives.
  void expect_turns(const std::vector<std::string>& tasks) {
    TaskSession session = Bundle::open(folder()).task_session("base");
    std::vector<std::string> expected;
    for (const std::string& task : tasks) expected.push_back(run(session, task));
    const FamilyInputs inputs;
    Ort::IoBinding binding = bind_inputs(session, inputs);
    for (size_t i = 0; i < tasks.size(); ++i) {
      EXPECT_TRUE(run_bound(session, binding, tasks[i]) == expected[i]) << i << ": " << tasks[i];
    }
  }
};

TEST_F(TaskBinding, RunsTasksInTurnWithOneBinding) {
  expect_turns({"", "summarize", "", "classify", "translate", "summarize", ""});
}

// Vectors travel in adapters, too, and their defaults are not empty. Large ones lie in a blob.
TEST_F(TaskBinding, GivesVectorsOfTheBaseBack) {
  for (const int64_t size : {4, 400}) {
    SCOPED_TRACE(size);
    const std::vector<float> ones(static_cast<size_t>(size), 1), twos(ones.size(), 2);
    make_sum_bundle(size, ones);
    write_parameters({{"bias", Proto::FLOAT, {size}, std::as_bytes(std::span(twos))}},
                     temp_ / "twos.onnx_adapter");
    TaskSession session = Bundle::open(folder()).task_session("sum");
    session.add_adapter("twos", temp_ / "twos.onnx_adapter");
    const Ort::MemoryInfo memory =
        Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
    std::vector<float> zeros(ones.size());
    Ort::IoBinding binding(session.session());
    binding.BindInput(
        "x", Ort::Value::CreateTensor<float>(memory, zeros.data(), zeros.size(), &size, 1));
    binding.BindOutput("y", memory);
    EXPECT_EQ(run_bound(session, binding, "twos"), bytes_of_floats(twos));
    EXPECT_EQ(run_bound(session, binding, ""), bytes_of_floats(ones));
    EXPECT_EQ(run_bound(session, binding, "twos"), bytes_of_floats(twos));
  }
}

TEST_F(TaskBinding, TakesBackWhatAnAddedAdapterGave) {
  TaskSession session = Bundle::open(folder()).task_session("base");
  fs::copy(folder() / "translate.onnx_adapter", temp_ / "other.onnx_adapter");
  session.add_adapter("other", temp_ / "other.onnx_adapter");
  const FamilyInputs inputs;
  Ort::IoBinding binding = bind_inputs(session, inputs);
  const std::string base = run_bound(session, binding, "");
  EXPECT_TRUE(run_bound(session, binding, "other") == run(session, "translate"));
  EXPECT_TRUE(run_bound(session, binding, "") == base);
}

TEST_F(TaskBinding, BindsAgainAfterInputsWereCleared) {
  TaskSession session = Bundle::open(folder()).task_session("base");
  const FamilyInputs inputs;
  Ort::IoBinding binding = bind_inputs(session, inputs);
  const std::string summarize = run_bound(session, binding, "summarize");
  binding.ClearBoundInputs();
  for (size_t i = 0; i < inputs.values.size(); ++i) {
    binding.BindInput(inputs.names[i], inputs.values[i]);
  }
  EXPECT_TRUE(run_bound(session, binding, "summarize") == summarize);
}

TEST_F(TaskBinding, RunsDifferentTasksAtOnce) {
  const std::vector<std::string> tasks = {"summarize", "translate", "classify", ""};
  TaskSession session = Bundle::open(folder()).task_session("base");
  std::vector<std::string> together(tasks.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < tasks.size(); ++i) {
    threads.emplace_back([&, i] {
      const FamilyInputs inputs;
      Ort::IoBinding binding = bind_inputs(session, inputs);
      for (size_t turn = 0; turn < 4; ++turn) {
        run_bound(session, binding, tasks[(i + turn) % tasks.size()]);
      }
      together[i] = run_bound(session, binding, tasks[i]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < tasks.size(); ++i) {
    EXPECT_TRUE(run(session, tasks[i]) == together[i]) << tasks[i];
  }
}

TEST_F(TaskBinding, RefusesUnknownTasksAndLeavesTheBindingAlone) {
  TaskSession session = Bundle::open(folder()).task_session("base");
  const FamilyInputs inputs;
  Ort::IoBinding binding = bind_inputs(session, inputs);
  const std::string summarize = run_bound(session, binding, "summarize");
  EXPECT_EQ(code_of([&] { session.bind(binding, "none"); }), 4);
  session.session().Run(Ort::RunOptions(), binding);
  EXPECT_TRUE(bytes_of_output(binding.GetOutputValues()) == summarize);
}

class ReadDefaults : public testing::Test {
 protected:
  std::string default_of(const onnx::TensorProto& tensor) {
    onnx::ModelProto model = empty_model();
    *model.mutable_graph()->add_initializer() = tensor;
    // What a subgraph defines is no input of the model.
    onnx::AttributeProto& branch = *add_node(*model.mutable_graph(), "If", {}, {}).add_attribute();
    branch.set_type(onnx::AttributeProto::GRAPH);
    *branch.mutable_g()->add_initializer() = raw("inner", "bytes");
    const std::string bytes = model.SerializeAsString();
    const auto defaults =
        read_defaults(std::as_bytes(std::span(bytes)), {}, {}, {"x", "inner", "none"});
    EXPECT_EQ(defaults.size(), 1u);
    const Ort::Value& value = defaults.at("x");
    return {static_cast<const char*>(value.GetTensorRawData()), value.GetTensorSizeInBytes()};
  }
};

TEST_F(ReadDefaults, ReadsRawAndTypedValues) {
  EXPECT_EQ(default_of(raw("x", "12345678", Proto::FLOAT, {2})), "12345678");
  EXPECT_EQ(default_of(raw("x", "", Proto::FLOAT, {0, 4})), "");
  onnx::TensorProto typed = raw("x", "", Proto::FLOAT, {2});
  typed.clear_raw_data();
  typed.add_float_data(1);
  typed.add_float_data(-2);
  const float values[] = {1, -2};
  EXPECT_EQ(default_of(typed), std::string(reinterpret_cast<const char*>(values), sizeof values));
  onnx::TensorProto bits = raw("x", "", Proto::INT16, {2});
  bits.clear_raw_data();
  for (const int value : {0x4241, 0x4443}) bits.add_int32_data(value);
  EXPECT_EQ(default_of(bits), "ABCD");
}

TEST_F(ReadDefaults, RefusesOtherForms) {
  onnx::TensorProto other = raw("x", "", Proto::INT64, {1});  // in the field of another type
  other.clear_raw_data();
  other.add_float_data(7);
  EXPECT_EQ(code_of([&] { default_of(other); }), 4);
  EXPECT_EQ(code_of([&] { default_of(raw("x", "1234567", Proto::FLOAT, {2})); }), 4);
  onnx::TensorProto text = raw("x", "", Proto::STRING, {1});
  text.add_string_data("a");
  EXPECT_EQ(code_of([&] { default_of(text); }), 4);
  EXPECT_EQ(code_of([&] { default_of(external("x", 4, {{"location", "a.bin"}})); }), 4);
}

}  // namespace
}  // namespace wshare::test

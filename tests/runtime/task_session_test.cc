#include <onnx/onnx_pb.h>

#include <cstring>
#include <thread>

#include "format/adapter_file.h"
#include "format/manifest.h"
#include "support/bundle_test.h"
#include "wshare/extract_lora.h"
#include "wshare/runtime.h"

namespace wshare::test {
namespace {

const fs::path kFamily = fs::path(WSHARE_TESTDATA) / "t5-lora";

class TaskSessions : public BundleTest {
 protected:
  TaskSessions() {
    ExtractOptions options;
    options.base = (kFamily / "base.onnx").string();
    extract_lora(resolve_inputs({(kFamily / "summarize.onnx").string(),
                                 (kFamily / "translate.onnx").string(),
                                 (kFamily / "classify.onnx").string()}),
                 folder(), options);
  }
  fs::path folder() const { return temp_ / "bundle"; }

  void change(const std::function<void(Manifest&)>& edit) {
    Manifest manifest = load_manifest(folder());
    edit(manifest);
    write_file(folder() / kManifestName, to_json(manifest));
  }

  // The code with which the first run of "summarize" is refused.
  int refusal(std::string* message = nullptr) {
    Bundle bundle = Bundle::open(folder());
    TaskSession session = bundle.task_session("base");
    return code_of([&] { session.options("summarize"); }, message);
  }
};

onnx::TensorProto read_tensor(const fs::path& path) {
  onnx::TensorProto tensor;
  EXPECT_TRUE(tensor.ParseFromString(read_file(path))) << path;
  return tensor;
}

// The inputs that lie beside the models of the family.
struct FamilyInputs {
  std::vector<onnx::TensorProto> tensors;
  std::vector<Ort::Value> values;
  std::vector<const char*> names;

  FamilyInputs() {
    for (int i = 0; fs::exists(file(i)); ++i) tensors.push_back(read_tensor(file(i)));
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
    for (onnx::TensorProto& tensor : tensors) {
      std::string& raw = *tensor.mutable_raw_data();
      const std::vector<int64_t> shape(tensor.dims().begin(), tensor.dims().end());
      values.push_back(
          Ort::Value::CreateTensor(memory, raw.data(), raw.size(), shape.data(), shape.size(),
                                   static_cast<ONNXTensorElementDataType>(tensor.data_type())));
      names.push_back(tensor.name().c_str());
    }
  }
  static fs::path file(int number) {
    return kFamily / "summarize/test_data_set_0" / ("input_" + std::to_string(number) + ".pb");
  }
};

std::string bytes_of_output(const std::vector<Ort::Value>& outputs) {
  const Ort::Value& first = outputs.at(0);
  return {static_cast<const char*>(first.GetTensorRawData()), first.GetTensorSizeInBytes()};
}

std::string run(TaskSession& session, const std::string& task) {
  const FamilyInputs inputs;
  const std::string output = session.session().GetOutputNames().at(0);
  const char* name = output.c_str();
  return bytes_of_output(
      session.run(task, inputs.names.data(), inputs.values.data(), inputs.values.size(), &name, 1));
}

std::string run_plain(const fs::path& model, GraphOptimizationLevel level) {
  Ort::SessionOptions options;
  options.SetGraphOptimizationLevel(level);
  Ort::Session session(environment(), model.c_str(), options);
  const FamilyInputs inputs;
  const std::string output = session.GetOutputNames().at(0);
  const char* name = output.c_str();
  return bytes_of_output(session.Run(Ort::RunOptions{nullptr}, inputs.names.data(),
                                     inputs.values.data(), inputs.values.size(), &name, 1));
}

TEST_F(TaskSessions, ListsItsTasks) {
  Bundle bundle = Bundle::open(folder());
  EXPECT_EQ(bundle.task_session("base").tasks(),
            (std::vector<std::string>{"summarize", "translate", "classify"}));
}

TEST_F(TaskSessions, SwitchesTasksFromRunToRun) {
  Bundle bundle = Bundle::open(folder());
  TaskSession session = bundle.task_session("base");
  const std::string base = run(session, ""), summarize = run(session, "summarize");
  EXPECT_NE(base, summarize);
  EXPECT_NE(summarize, run(session, "translate"));
  EXPECT_EQ(summarize, run(session, "summarize"));
  EXPECT_EQ(base, run(session, ""));
}

TEST_F(TaskSessions, LeavesTheBaseBitEqualAtEveryLevel) {
  for (const GraphOptimizationLevel level :
       {ORT_DISABLE_ALL, ORT_ENABLE_BASIC, ORT_ENABLE_EXTENDED, ORT_ENABLE_ALL}) {
    SCOPED_TRACE(level);
    EXPECT_TRUE(run_plain(folder() / "base.onnx", level) ==
                run_plain(kFamily / "base.onnx", level));
  }
}

TEST_F(TaskSessions, GivesTheBitsOfTasksThatAreScaledByPowersOfTwo) {
  Bundle bundle = Bundle::open(folder());
  TaskSession session = bundle.task_session("base");
  for (const char* task : {"summarize", "translate"}) {
    EXPECT_TRUE(run(session, task) ==
                run_plain(kFamily / (std::string(task) + ".onnx"), ORT_ENABLE_ALL))
        << task;
  }
}

TEST_F(TaskSessions, RunsDifferentTasksAtOnce) {
  Bundle bundle = Bundle::open(folder());
  TaskSession session = bundle.task_session("base");
  const std::vector<std::string> tasks = {"summarize", "translate", "classify", ""};
  std::vector<std::string> alone, together(tasks.size());
  for (const std::string& task : tasks) alone.push_back(run(session, task));
  TaskSession fresh = bundle.task_session("base");
  std::vector<std::thread> threads;
  for (size_t i = 0; i < tasks.size(); ++i) {
    threads.emplace_back([&, i] {
      for (int times = 0; times < 5; ++times) together[i] = run(fresh, tasks[i]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < tasks.size(); ++i) EXPECT_TRUE(alone[i] == together[i]) << tasks[i];
}

TEST_F(TaskSessions, OutlivesTheBundle) {
  std::optional<TaskSession> session;
  {
    Bundle bundle = Bundle::open(folder());
    session = bundle.task_session("base");
  }
  EXPECT_FALSE(run(*session, "translate").empty());
}

TEST_F(TaskSessions, RefusesAnAdapterThatIsNotTheManifests) {
  const fs::path adapter = folder() / "summarize.onnx_adapter";
  std::string bytes = read_file(adapter);
  bytes[bytes.size() - 3] = static_cast<char>(bytes[bytes.size() - 3] ^ 1);
  write_file(adapter, bytes);
  std::string message;
  EXPECT_EQ(refusal(&message), 4);
  EXPECT_NE(message.find("not the ones of the manifest"), std::string::npos) << message;
  write_file(adapter, bytes.substr(1));
  EXPECT_EQ(refusal(), 4);
  fs::remove(adapter);
  EXPECT_EQ(refusal(), 3);
}

TEST_F(TaskSessions, RefusesParametersThatDoNotFitTheSession) {
  struct Case {
    const char* name;
    std::function<void(ParameterRecord&)> edit;
    const char* message;
  };
  const Manifest whole = load_manifest(folder());
  for (const Case& c :
       {Case{"name", [](ParameterRecord& p) { p.name += "x"; }, "is no input of the session"},
        Case{"dtype", [](ParameterRecord& p) { p.dtype = "float16"; }, "another element type"},
        Case{"rank", [](ParameterRecord& p) { p.shape.push_back(1); }, "another shape"},
        Case{"dimension", [](ParameterRecord& p) { p.shape[0] += 1; }, "another shape"}}) {
    SCOPED_TRACE(c.name);
    change([&](Manifest& manifest) {
      manifest = whole;
      c.edit(manifest.tasks.at(0).parameters.at(0));
    });
    std::string message;
    EXPECT_EQ(refusal(&message), 4);
    EXPECT_NE(message.find(c.message), std::string::npos) << message;
  }
}

TEST_F(TaskSessions, RefusesTasksThatAreNoneOfTheBase) {
  Bundle bundle = Bundle::open(folder());
  TaskSession session = bundle.task_session("base");
  std::string message, hint;
  EXPECT_EQ(code_of([&] { session.options("none"); }, &message, &hint), 4);
  EXPECT_EQ(hint, "it has 'summarize', 'translate', 'classify'");
  change([](Manifest& manifest) {
    manifest.tasks.at(1).adapter.reset();
    manifest.tasks.at(1).model = "base";
  });
  TaskSession other = Bundle::open(folder()).task_session("base");
  EXPECT_EQ(code_of([&] { other.options("translate"); }, &message), 4);
  EXPECT_NE(message.find("is no adapter over 'base'"), std::string::npos) << message;
}

}  // namespace
}  // namespace wshare::test

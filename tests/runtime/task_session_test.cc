#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>

#include "format/manifest/text.h"
#include "runtime/task_sessions.h"

namespace wshare::test {
namespace {

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

TEST_F(TaskSessions, StaysNearTasksThatAreScaledOtherwise) {
  TaskSession session = Bundle::open(folder()).task_session("base");
  const std::string ours = run(session, "classify");  // 16 / sqrt 8, which rounds B once
  const std::string theirs = run_plain(kFamily / "classify.onnx", ORT_ENABLE_ALL);
  ASSERT_EQ(ours.size(), theirs.size());
  float difference = 0, largest = 0;
  for (size_t at = 0; at < ours.size(); at += sizeof(float)) {
    float a = 0, b = 0;
    std::memcpy(&a, ours.data() + at, sizeof a);
    std::memcpy(&b, theirs.data() + at, sizeof b);
    difference = std::max(difference, std::fabs(a - b));
    largest = std::max(largest, std::fabs(b));
  }
  EXPECT_LT(difference, 1e-5F * largest);
  EXPECT_GT(largest, 0.1F);
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
       {Case{"name", [](ParameterRecord& p) { p.name = std::string(p.name) + "x"; },
             "is no input of the session"},
        Case{"dtype", [](ParameterRecord& p) { p.dtype = 10; }, "another element type"},
        Case{"rank",
             [](ParameterRecord& p) {
               p.shape = {p.shape[0], p.shape[1], 1};
             },
             "another shape"},
        Case{"dimension",
             [](ParameterRecord& p) {
               p.shape = {p.shape[0] + 1, p.shape[1]};
             },
             "another shape"}}) {
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

TEST_F(TaskSessions, RefusesRanksThatDoNotAgree) {
  change([](Manifest& manifest) {
    // A: [in, rank]
    Shape& shape = manifest.tasks.at(0).parameters.at(0).shape;
    shape = {shape[0], shape[1] + 1};
  });
  std::string message;
  EXPECT_EQ(refusal(&message), 4);
  EXPECT_NE(message.find("has 4 for the dimension"), std::string::npos) << message;
  EXPECT_NE(message.find("has 5"), std::string::npos) << message;
}

TEST_F(TaskSessions, RefusesHalfAPair) {
  change([](Manifest& manifest) {
    std::vector<ParameterRecord>& parameters = manifest.tasks.at(0).parameters;
    parameters.erase(parameters.begin() + 1);
  });
  std::string message;
  EXPECT_EQ(refusal(&message), 4);
  EXPECT_NE(message.find("which is missing"), std::string::npos) << message;
}

TEST_F(TaskSessions, RefusesAnAdapterOfAnotherTask) {
  change([](Manifest& manifest) {  // fits the session, and its hash is right
    manifest.tasks.at(0).adapter = manifest.tasks.at(1).adapter;
  });
  std::string message;
  EXPECT_EQ(refusal(&message), 4);
  EXPECT_NE(message.find("not the ones that the manifest lists"), std::string::npos) << message;
}

TEST_F(TaskSessions, RefusesInputsThatTheTaskGives) {
  Bundle bundle = Bundle::open(folder());
  TaskSession session = bundle.task_session("base");
  const ParameterRecord given = load_manifest(folder()).tasks.at(0).parameters.at(0);
  FamilyInputs inputs;
  const Ort::AllocatorWithDefaultOptions heap;
  inputs.values.push_back(Ort::Value::CreateTensor(heap, given.shape.data(), given.shape.size(),
                                                   ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT));
  const std::string parameter = given.name;
  inputs.names.push_back(parameter.c_str());
  const std::string output = session.session().GetOutputNames().at(0);
  const char* name = output.c_str();
  std::string message;
  EXPECT_EQ(code_of(
                [&] {
                  session.run("summarize", inputs.names.data(), inputs.values.data(),
                              inputs.values.size(), &name, 1);
                },
                &message),
            4);
  EXPECT_NE(message.find("by the task and by the caller"), std::string::npos) << message;
}

TEST_F(TaskSessions, RunsTheBaseForATaskEqualToIt) {
  change([](Manifest& manifest) {
    manifest.tasks.at(2).adapter.reset();
    manifest.tasks.at(2).parameters.clear();
  });
  TaskSession session = Bundle::open(folder()).task_session("base");
  EXPECT_EQ(run(session, "classify"), run(session, ""));
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

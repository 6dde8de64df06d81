// Tasks over a packed base.

#include "runtime/task_sessions.h"
#include "wshare/append.h"
#include "wshare/pack.h"
#include "wshare/verify.h"

namespace wshare::test {
namespace {

class PackedTasks : public TaskSessions {
 protected:
  PackedTasks() { pack(folder(), {}); }

  static TaskSession open(Bundle& bundle) {
    SessionOptions options;
    options.tier = Tier::kPacked;
    return bundle.task_session("base", options);
  }
};

TEST_F(PackedTasks, HaveTheBitsOfTheirOriginals) {
  EXPECT_TRUE(verify(folder(), {0}).empty());
  Bundle bundle = Bundle::open(folder());
  TaskSession session = open(bundle);
  EXPECT_TRUE(run(session, "") == run_plain(kFamily / "base.onnx", ORT_ENABLE_ALL));
  for (const char* task : {"summarize", "translate"}) {
    EXPECT_TRUE(run(session, task) ==
                run_plain(kFamily / (std::string(task) + ".onnx"), ORT_ENABLE_ALL))
        << task;
  }
}

TEST_F(PackedTasks, TakeTurnsOnOneBinding) {
  Bundle bundle = Bundle::open(folder());
  TaskSession session = open(bundle);
  const FamilyInputs inputs;
  const std::string output = session.session().GetOutputNames().at(0);
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
  Ort::IoBinding binding(session.session());
  for (size_t i = 0; i < inputs.values.size(); ++i)
    binding.BindInput(inputs.names[i], inputs.values[i]);
  for (const char* task : {"summarize", "", "translate", "summarize"}) {
    binding.ClearBoundOutputs();
    binding.BindOutput(output.c_str(), memory);
    session.bind(binding, task);
    session.session().Run(Ort::RunOptions{nullptr}, binding);
    EXPECT_TRUE(bytes_of_output(binding.GetOutputValues()) == run(session, task)) << task;
  }
}

}  // namespace
}  // namespace wshare::test

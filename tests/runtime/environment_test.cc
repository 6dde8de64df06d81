#include "wshare/environment.h"

#include <onnxruntime_session_options_config_keys.h>

#include "run/parity.h"
#include "runtime/task_models.h"
#include "support/bundle_test.h"
#include "support/own_process.h"
#include "util/memory.h"
#include "wshare/runtime.h"

// A process has one environment. So each test that sets one up does it in a process of its own,
// which runs the test's body anew and ends with 0 if all its claims are true.

namespace wshare::test {
namespace {

class Environment : public BundleTest {
 protected:
  Environment() {
    add("a.onnx", task_model(11));
    add("b.onnx", task_model(12));
    make();
  }

  Bundle open() const { return Bundle::open(temp_ / "bundle"); }

  // Returns the message that refuses a session with this config entry.
  std::string refusal(const char* entry, const char* value, Tier tier = Tier::kAuto,
                      int code = 5) const {
    SessionOptions options;
    options.tier = tier;
    options.ort.AddConfigEntry(entry, value);
    std::string message;
    EXPECT_EQ(code_of([&] { open().session("a", options); }, &message), code);
    return message;
  }
};

SessionOptions with_entry(const char* entry, const char* value) {
  SessionOptions options;
  options.ort.AddConfigEntry(entry, value);
  return options;
}

SessionOptions with_threads(int threads) {
  SessionOptions options;
  options.ort.SetIntraOpNumThreads(threads);
  return options;
}

// Runs `session`, and returns where its output lay. The first runs find out what memory it needs.
const void* output_address(Ort::Session& session) {
  for (int i = 0; i < 3; ++i) run_task(session);
  return run_task(session).at(0).GetTensorRawData();
}

TEST_F(Environment, SessionsHaveThreadsOfTheirOwn) {
  EXPECT_IN_OWN_PROCESS({
    Bundle bundle = open();
    const size_t before = count_threads();
    const Session a = bundle.session("a", with_threads(3));
    const Session b = bundle.session("b", with_threads(3));
    EXPECT_EQ(count_threads(), before + 4);  // those that call Run() are the third ones
  });
}

TEST_F(Environment, AllSessionsShareItsThreads) {
  EXPECT_IN_OWN_PROCESS({
    set_up_environment({SharedThreads{3}, false});
    Bundle bundle = open();
    const size_t before = count_threads();
    EXPECT_GE(before, 3u);
    Session a = bundle.session("a");
    Session b = bundle.session("b", with_threads(5));  // cannot be read, so of no effect
    run_task(*a);
    run_task(*b);
    EXPECT_EQ(count_threads(), before);
    Ort::SessionOptions alone;
    alone.SetIntraOpNumThreads(1);
    Ort::Session plain(environment(), (temp_ / "in/a.onnx").c_str(), alone);
    EXPECT_TRUE(compare_outputs("a", {"y"}, run_task(*a), run_task(plain)).at(0).bit_equal);
  });
}

TEST_F(Environment, EntriesOfThreadsThatAreNotThereAreRefused) {
  EXPECT_IN_OWN_PROCESS({
    set_up_environment({SharedThreads{2}, false});
    for (const char* entry : {kOrtSessionOptionsConfigAllowIntraOpSpinning,
                              kOrtSessionOptionsConfigAllowInterOpSpinning,
                              kOrtSessionOptionsConfigIntraOpThreadAffinities}) {
      EXPECT_NE(refusal(entry, "1").find(entry), std::string::npos) << entry;
    }
  });
}

TEST_F(Environment, SessionsThatTakeTurnsUseTheSameMemory) {
  EXPECT_IN_OWN_PROCESS({
    set_up_environment({std::nullopt, true});
    Bundle bundle = open();
    Session a = bundle.session("a");
    Session b = bundle.session("b");
    const void* of_a = output_address(*a);
    EXPECT_EQ(output_address(*b), of_a);
    EXPECT_EQ(output_address(*a), of_a);
    TaskSession tasks = bundle.task_session("a");
    EXPECT_EQ(output_address(tasks.session()), of_a);
  });
}

TEST_F(Environment, WithoutAnArenaEachHasItsOwn) {
  EXPECT_IN_OWN_PROCESS({
    Bundle bundle = open();
    Session a = bundle.session("a");
    Session b = bundle.session("b");
    const void* of_a = output_address(*a);
    EXPECT_NE(output_address(*b), of_a);  // the arena of `a` has kept it
    EXPECT_EQ(output_address(*a), of_a);
  });
}

TEST_F(Environment, ASessionMayKeepMemoryOfItsOwn) {
  EXPECT_IN_OWN_PROCESS({
    set_up_environment({std::nullopt, true});
    Bundle bundle = open();
    Session a = bundle.session("a");
    const void* shared = output_address(*a);
    Session own = bundle.session("a", with_entry(kOrtSessionOptionsConfigUseEnvAllocators, "0"));
    EXPECT_NE(output_address(*own), shared);
  });
}

// An arena that the program has registered itself, without set_up_environment().
TEST_F(Environment, AllocatorsOfTheProgramAreUsed) {
  EXPECT_IN_OWN_PROCESS({
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    environment().CreateAndRegisterAllocator(memory, nullptr);
    Bundle bundle = open();
    Session a = bundle.session("a", with_entry(kOrtSessionOptionsConfigUseEnvAllocators, "1"));
    Session b = bundle.session("b", with_entry(kOrtSessionOptionsConfigUseEnvAllocators, "1"));
    const void* of_a = output_address(*a);
    EXPECT_EQ(output_address(*b), of_a);
    EXPECT_GT(bundle.report().models.at(0).shared_bytes, 0u);
  });
}

TEST_F(Environment, IsMadeOnce) {
  EXPECT_IN_OWN_PROCESS({
    set_up_environment({SharedThreads{2}, true});
    set_up_environment({SharedThreads{2}, true});
    std::string message;
    EXPECT_EQ(code_of([&] { set_up_environment({}); }, &message), 4);
    EXPECT_NE(message.find("made before"), std::string::npos) << message;
    open().session("a");
  });
}

TEST_F(Environment, OneWithoutThreadsThatWasThereBeforeIsRefused) {
  EXPECT_IN_OWN_PROCESS({
    const Ort::Env own(ORT_LOGGING_LEVEL_ERROR, "of the program");
    std::string message;
    EXPECT_EQ(code_of([&] { set_up_environment({SharedThreads{2}, false}); }, &message), 4);
    EXPECT_NE(message.find("without them"), std::string::npos) << message;
    set_up_environment({std::nullopt, true});  // an arena can still be had
    open().session("a");
  });
}

TEST_F(Environment, OneWithThreadsThatWasThereBeforeIsTaken) {
  EXPECT_IN_OWN_PROCESS({
    Ort::ThreadingOptions threads;
    threads.SetGlobalIntraOpNumThreads(4);
    const Ort::Env own(threads, ORT_LOGGING_LEVEL_ERROR, "of the program");
    set_up_environment({SharedThreads{2}, false});
    Bundle bundle = open();
    const size_t before = count_threads();
    const Session session = bundle.session("a");
    EXPECT_EQ(count_threads(), before);
  });
}

TEST_F(Environment, NegativeNumbersAreRefused) {
  std::string message;
  EXPECT_EQ(code_of([&] { set_up_environment({SharedThreads{-3}, false}); }, &message), 4);
  EXPECT_NE(message.find("-3"), std::string::npos) << message;
}

// A folder of its own would give some of the tensors, the bundle the others.
TEST_F(Environment, AnotherFolderOfWeightsIsRefused) {
  const std::string message =
      refusal(kOrtSessionOptionsModelExternalInitializersFileFolderPath, "/elsewhere");
  EXPECT_NE(message.find("model_external_initializers_file_folder_path=/elsewhere"),
            std::string::npos)
      << message;
}

TEST_F(Environment, PackingIsWhatTheOptionsSay) {
  const char* entry = kOrtSessionOptionsConfigDisablePrepacking;
  EXPECT_NE(refusal(entry, "0", Tier::kCompact).find("disable_prepacking=0"), std::string::npos);
  Bundle bundle = open();
  for (const Tier tier : {Tier::kAuto, Tier::kShared}) {
    SessionOptions options = with_entry(entry, "1");
    options.tier = tier;
    Session session = bundle.session("a", options);
    EXPECT_FALSE(bundle.report().models.at(0).packed_shared);
    options.ort.AddConfigEntry(entry, "0");
    session = bundle.session("a", options);
    EXPECT_TRUE(bundle.report().models.at(0).packed_shared);
  }
}

// One that wshare offers, too: ONNX Runtime would take one of both.
TEST_F(Environment, AnInitializerOfTheProgramIsRefused) {
  SessionOptions options;
  std::vector<float> zeros(256 * 256);
  const std::vector<int64_t> shape = {256, 256};
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
  const Ort::Value value = Ort::Value::CreateTensor<float>(memory, zeros.data(), zeros.size(),
                                                           shape.data(), shape.size());
  Bundle bundle = open();
  const Session first = bundle.session("a");
  const std::string name = bundle.report().models.at(0).shared_tensors.at(0);
  options.ort.AddInitializer(name.c_str(), value);
  std::string message;
  EXPECT_EQ(code_of([&] { bundle.session("a", options); }, &message), 6);
  EXPECT_NE(message.find(name), std::string::npos) << message;
}

}  // namespace
}  // namespace wshare::test

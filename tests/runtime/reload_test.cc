// Bundle::reload(): what commands have changed since a bundle was opened.

#include <optional>

#include "run/run_matmul.h"
#include "runtime/task_sessions.h"
#include "util/memory.h"
#include "wshare/append.h"
#include "wshare/remove.h"

namespace wshare::test {
namespace {

class Reload : public BundleTest {
 protected:
  Reload() {
    for (const uint32_t i : {0u, 1u, 2u}) {
      add(std::string(1, "abc"[i]) + ".onnx",
          matmul_model(kRows, kColumns, floats(kColumns, i + 2)));
    }
    dedupe(inputs({"a.onnx", "b.onnx"}), folder(), {});
  }

  fs::path folder() const { return temp_ / "bundle"; }

  // How often files of the bundle that end so are mapped.
  size_t maps(const std::string& ending) const {
    std::istringstream lines(read_file("/proc/self/maps"));
    size_t count = 0;
    for (std::string line; std::getline(lines, line);)
      count += line.find(folder().string()) != std::string::npos && line.ends_with(ending);
    return count;
  }
};

TEST_F(Reload, SaysWhetherThereIsAnythingNew) {
  Bundle bundle = Bundle::open(folder());
  EXPECT_FALSE(bundle.reload());
  append(folder(), inputs({"c.onnx"}), {});
  EXPECT_EQ(bundle.models(), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(bundle.reload());
  EXPECT_EQ(bundle.models(), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_FALSE(bundle.reload());
}

TEST_F(Reload, SharesTheMapsThatAreThere) {
  Bundle bundle = Bundle::open(folder());
  SessionOptions compact;
  compact.tier = Tier::kCompact;
  Session a = bundle.session("a", compact);
  const std::string of_a = matmul_output(*a);
  append(folder(), inputs({"c.onnx"}), {});
  const size_t before = maps("shared.bin");
  Bundle copy = bundle;
  bundle.reload();
  Session again = copy.session("a", compact), c = copy.session("c", compact);
  EXPECT_EQ(maps("shared.bin"), before);
  EXPECT_TRUE(matmul_output(*a) == of_a);
  EXPECT_TRUE(matmul_output(*again) == of_a);
  EXPECT_FALSE(matmul_output(*c) == of_a);
  EXPECT_EQ(copy.report().models.size(), 2u);
}

// The container is of all states: a second packed copy would be 8 MiB.
TEST_F(Reload, SharesPackedWeights) {
  constexpr int64_t kWide = 32768;  // 8 MiB of float32
  add("wide.onnx", matmul_model(kRows, kWide, floats(kWide, 2)));
  fs::remove_all(folder());
  dedupe(inputs({"wide.onnx"}), folder(), {});
  Bundle bundle = Bundle::open(folder());
  SessionOptions shared;
  shared.tier = Tier::kShared;
  Session first = bundle.session("wide", shared);
  append(folder(), inputs({"c.onnx"}), {});
  ASSERT_TRUE(bundle.reload());
  Session second = bundle.session("wide", shared);
  EXPECT_TRUE(bundle.report().models.at(0).packed_shared);
  EXPECT_TRUE(matmul_output(*first) == matmul_output(*second));
}

TEST_F(Reload, ForgetsWhatIsGone) {
  Bundle bundle = Bundle::open(folder());
  Session a = bundle.session("a");
  const std::string of_a = matmul_output(*a);
  remove_models(folder(), {"a"}, {});
  EXPECT_TRUE(bundle.reload());
  EXPECT_EQ(code_of([&] { bundle.session("a"); }), 4);
  EXPECT_EQ(code_of([&] { bundle.session("b"); }), 0);
  EXPECT_TRUE(matmul_output(*a) == of_a);
}

TEST_F(Reload, TakesTheBundleThatReplacedTheOldOne) {
  Bundle bundle = Bundle::open(folder());
  Session a = bundle.session("a");
  const std::string of_a = matmul_output(*a);
  DedupeOptions options;
  options.replace = true;
  dedupe(inputs({"c.onnx"}), folder(), options);
  EXPECT_EQ(code_of([&] { bundle.session("a"); }), 3);
  EXPECT_TRUE(bundle.reload());
  EXPECT_EQ(bundle.models(), std::vector<std::string>{"c"});
  Session c = bundle.session("c");
  EXPECT_FALSE(matmul_output(*c) == of_a);
  EXPECT_TRUE(matmul_output(*a) == of_a);
}

TEST_F(Reload, LeavesAllAsItWasWhereThereIsNoBundle) {
  Bundle bundle = Bundle::open(folder());
  fs::rename(folder(), temp_ / "moved");
  EXPECT_EQ(code_of([&] { bundle.reload(); }), 3);
  EXPECT_EQ(code_of([&] { bundle.session("a"); }), 0);
  fs::rename(temp_ / "moved", folder());
  const std::string manifest = read_file(folder() / kManifestName);
  write_file(temp_ / "half", manifest.substr(0, manifest.size() / 2));
  fs::rename(temp_ / "half", folder() / kManifestName);
  EXPECT_EQ(code_of([&] { bundle.reload(); }), 4);
  EXPECT_EQ(bundle.models().size(), 2u);
}

class ReloadedTasks : public TaskSessions {
 protected:
  // The bundle without "translate", whose adapter does not change the base: it comes back.
  void take_translate_away() {
    fs::copy(folder(), temp_ / "whole");
    remove_models(folder(), {"translate"}, {});
  }
  void bring_translate_back() {
    for (const auto& entry : fs::directory_iterator(temp_ / "whole")) {
      const fs::path there = folder() / entry.path().filename();
      if (!fs::exists(there)) fs::copy(entry.path(), there);
    }
    fs::copy(temp_ / "whole" / kManifestName, temp_ / "manifest");
    fs::rename(temp_ / "manifest", folder() / kManifestName);
  }
};

TEST_F(ReloadedTasks, ComeToSessionsThatAreThere) {
  const std::string expected = [&] {
    TaskSession whole = Bundle::open(folder()).task_session("base");
    return run(whole, "translate");
  }();
  take_translate_away();
  Bundle bundle = Bundle::open(folder());
  TaskSession session = bundle.task_session("base");
  const FamilyInputs inputs;
  Ort::IoBinding binding = bind_inputs(session, inputs);
  const std::string of_base = run_bound(session, binding, "");
  const std::string of_summarize = run(session, "summarize");
  EXPECT_EQ(code_of([&] { session.options("translate"); }), 4);
  bring_translate_back();
  ASSERT_TRUE(bundle.reload());
  EXPECT_EQ(session.tasks(), (std::vector<std::string>{"summarize", "translate", "classify"}));
  EXPECT_TRUE(run(session, "translate") == expected);
  EXPECT_TRUE(run_bound(session, binding, "translate") == expected);
  EXPECT_TRUE(run_bound(session, binding, "") == of_base);
  EXPECT_TRUE(run(session, "summarize") == of_summarize);
  remove_models(folder(), {"translate"}, {});
  ASSERT_TRUE(bundle.reload());
  EXPECT_EQ(code_of([&] { run(session, "translate"); }), 4);
  EXPECT_TRUE(run(session, "summarize") == of_summarize);
}

// What has the name of a task may be another one later.
TEST_F(ReloadedTasks, AreNotThoseBeforeUnderTheSameName) {
  Bundle bundle = Bundle::open(folder());
  TaskSession session = bundle.task_session("base");
  const std::string of_summarize = run(session, "summarize");
  const std::string of_translate = run(session, "translate");
  Manifest manifest = load_manifest(folder());
  TaskRecord& summarize = manifest.tasks.at(0);
  TaskRecord& translate = manifest.tasks.at(1);
  std::swap(summarize.adapter, translate.adapter);
  std::swap(summarize.parameters, translate.parameters);
  write_file(temp_ / "manifest", to_json(manifest));
  fs::rename(temp_ / "manifest", folder() / kManifestName);
  ASSERT_TRUE(bundle.reload());
  EXPECT_TRUE(run(session, "summarize") == of_translate);
  EXPECT_TRUE(run(session, "translate") == of_summarize);
}

}  // namespace
}  // namespace wshare::test

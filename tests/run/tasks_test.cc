// `wshare run` on bundles of extract-lora.

#include "run/run_command.h"
#include "wshare/extract_lora.h"

namespace wshare::test {
namespace {

class RunTasks : public RunCommand {
 protected:
  RunTasks() {
    fs::remove_all(temp_ / "bundle");
    ExtractOptions options;
    options.base = (family() / "base.onnx").string();
    extract_lora(resolve_inputs({(family() / "summarize.onnx").string(),
                                 (family() / "classify.onnx").string(), "same=" + copy_of_base()}),
                 temp_ / "bundle", options);
  }
  static fs::path family() { return fs::path(WSHARE_TESTDATA) / "t5-lora"; }

  // The base under another name: a task that changes nothing.
  std::string copy_of_base() {
    fs::create_directories(temp_ / "copy");
    fs::copy_file(family() / "base.onnx", temp_ / "copy/same.onnx");
    return (temp_ / "copy/same.onnx").string();
  }

  std::string against(const std::string& task) {
    return task + "=" + (family() / (task + ".onnx")).string();
  }
};

TEST_F(RunTasks, SharesOneSessionAmongAllTasksAndTheBase) {
  const json report = run_json({});
  EXPECT_EQ(report.at("session_count"), 1);
  std::map<std::string, bool> tasks;
  for (const json& session : report.at("sessions")) {
    EXPECT_EQ(session.at("model"), "base");
    EXPECT_EQ(session.at("shares_session"), true);
    tasks[session.at("task").is_null() ? "" : session.at("task").get<std::string>()] = true;
  }
  EXPECT_EQ(tasks.size(), 4u);
  EXPECT_EQ(run_json({"--task=classify", "--sessions=2"}).at("session_count"), 2);
  EXPECT_EQ(run_json({"--model=base"}).at("sessions")[0].at("shares_session"), false);
}

TEST_F(RunTasks, GivesTheOutputsOfTheOriginals) {
  const json report =
      run_json({"--against", against("base"), "--against", against("summarize"), "--against",
                against("classify"), "--inputs", (family() / "summarize").string()});
  std::map<std::string, json> rows;
  for (const json& row : report.at("parity")) rows[row.at("model")] = row;
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows["base"].at("bit_equal"), true);
  EXPECT_EQ(rows["summarize"].at("bit_equal"), true);  // its scaling is a power of two
  // classify is scaled by 16 / sqrt 8, which rounds B once.
  EXPECT_LT(rows["classify"].at("max_rel_diff"), 1e-5);
  EXPECT_EQ(rows["classify"].contains("noise_abs_diff"), rows["classify"].at("bit_equal") == false);
}

TEST_F(RunTasks, MeasuresPlainSessionsOnRestoredTasks) {
  const json report = run_json({"--task=summarize", "--task=same", "--baseline"});
  EXPECT_EQ(report.at("baseline").at("session_count"), 2);
  EXPECT_EQ(names(report.at("baseline").at("sessions"), "model"), (Names{"summarize", "same"}));
}

TEST_F(RunTasks, RefusesUnknownTasks) {
  expect_refused("unknown", {"--task", "base"}, 4, "hint: it has 'summarize', 'classify', 'same'");
}

}  // namespace
}  // namespace wshare::test

// `wshare run` on bundles of extract-lora.

#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "run/run_command.h"
#include "support/places.h"
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
  static fs::path family() { return fs::path(kTestdata) / "t5-lora"; }

  // The base under another name: a task that changes nothing.
  std::string copy_of_base() {
    fs::create_directories(temp_ / "copy");
    fs::copy_file(family() / "base.onnx", temp_ / "copy/same.onnx",
                  fs::copy_options::overwrite_existing);
    return (temp_ / "copy/same.onnx").string();
  }

  // Makes a bundle where all tasks have models, and "classify" nothing else.
  void add_models() {
    fs::remove_all(temp_ / "bundle");
    ExtractOptions options;
    options.base = (family() / "base.onnx").string();
    options.emit.onnx = true;
    extract_lora(resolve_inputs({(family() / "summarize.onnx").string(),
                                 (family() / "classify.onnx").string(), "same=" + copy_of_base()}),
                 temp_ / "bundle", options);
    Manifest manifest = load_manifest(temp_ / "bundle");
    TaskRecord& classify = manifest.tasks.at(1);
    classify.adapter.reset();
    classify.parameters.clear();
    write_file(temp_ / "bundle/manifest.json", to_json(manifest));
  }

  // "model task shared" of each session; "-" for no task, "own" where it is not shared.
  static Names rows_of(const json& report) {
    Names rows;
    for (const json& session : report.at("sessions")) {
      const json& task = session.at("task");
      rows.push_back(session.at("model").get<std::string>() + " " +
                     (task.is_null() ? "-" : task.get<std::string>()) +
                     (session.at("shares_session") == true ? " shared" : " own"));
    }
    return rows;
  }

  std::string against(const std::string& task) {
    return task + "=" + (family() / (task + ".onnx")).string();
  }
};

TEST_F(RunTasks, RunOnADevice) {
  const Arguments device = {"--ep=TestDevice", std::string("--ep-library=") + kTestDeviceLibrary};
  Arguments arguments = device;
  arguments.insert(arguments.end(), {"--against", against("summarize"), "--max-abs-diff=1e-4"});
  const json report = run_json(arguments);
  EXPECT_EQ(report.at("session_count"), 1);
  EXPECT_EQ(report.at("ok"), true);
  EXPECT_GT(report.at("device_bytes"), report.at("models")[0].at("device").at("own_bytes"));
}

TEST_F(RunTasks, SharesOneSessionAmongAllTasksAndTheBase) {
  const json report = run_json({});
  EXPECT_EQ(report.at("session_count"), 1);
  std::map<std::string, bool> tasks;
  size_t made = 0;
  for (const json& session : report.at("sessions")) {
    EXPECT_EQ(session.at("model"), "base");
    EXPECT_EQ(session.at("shares_session"), true);
    made += session.at("pack_ms").is_null() ? 0 : 1;  // those of a session that is there: none
    tasks[session.at("task").is_null() ? "" : session.at("task").get<std::string>()] = true;
  }
  EXPECT_EQ(tasks.size(), 4u);
  EXPECT_EQ(made, 1u);
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

TEST_F(RunTasks, TakeTheInputsOfTheirBase) {
  fs::create_directories(temp_ / "inputs");
  fs::copy(family() / "base", temp_ / "inputs/base", fs::copy_options::recursive);
  const json report =
      run_json({"--inputs", path("inputs"), "--task=summarize", "--task=classify", "--baseline",
                "--against", against("summarize"), "--max-abs-diff=1e-4"});
  EXPECT_EQ(report.at("ok"), true);
  fs::rename(temp_ / "inputs/base", temp_ / "inputs/bases");
  expect_refused("no folder of either name", {"--inputs", path("inputs"), "--task=summarize"}, 3,
                 "has no input_0.pb or input_0.npy for this model");
}

TEST_F(RunTasks, MeasuresPlainSessionsOnRestoredTasks) {
  const json report = run_json({"--task=summarize", "--task=same", "--baseline"});
  EXPECT_EQ(report.at("baseline").at("session_count"), 2);
  EXPECT_EQ(names(report.at("baseline").at("sessions"), "model"), (Names{"summarize", "same"}));
}

// Tasks that are adapters and have models of their own, and one that only has such a model.
TEST_F(RunTasks, RunsATaskOnceAndAModelOnlyWhereAskedTo) {
  add_models();
  const json all = run_json({});
  EXPECT_EQ(all.at("session_count"), 3);
  EXPECT_EQ(rows_of(all), (Names{"base - shared", "base summarize shared", "classify classify own",
                                 "same same own"}));
  EXPECT_EQ(rows_of(run_json({"--model=summarize", "--task=summarize", "--task=classify"})),
            (Names{"summarize - own", "base summarize shared", "classify classify own"}));
  EXPECT_EQ(rows_of(run_json({"--task=classify", "--task=classify"})),
            (Names{"classify classify own"}));
}

TEST_F(RunTasks, ComparesTasksThatHaveModelsOfTheirOwn) {
  add_models();
  const json report = run_json({"--task=classify", "--against", against("classify")});
  ASSERT_EQ(names(report.at("parity"), "model"), Names{"classify"});
  EXPECT_LT(report.at("parity")[0].at("max_rel_diff"), 1e-5);
}

TEST_F(RunTasks, LeavesAMadeBaseOutOfTheBaseline) {
  fs::remove_all(temp_ / "bundle");
  extract_lora(resolve_inputs(
                   {(family() / "summarize.onnx").string(), (family() / "classify.onnx").string()}),
               temp_ / "bundle", {});
  const json report = run_json({"--baseline"});
  EXPECT_EQ(rows_of(report),
            (Names{"base - shared", "base summarize shared", "base classify shared"}));
  EXPECT_EQ(names(report.at("baseline").at("sessions"), "model"), (Names{"summarize", "classify"}));
  ASSERT_EQ(run({"--baseline"}), 0) << err_;
  EXPECT_NE(out_.find("  summarize (plain)\n"), std::string::npos) << out_;
  EXPECT_EQ(out_.find("base (plain)"), std::string::npos) << out_;
  expect_refused("only the base", {"--baseline", "--model=base"}, 4, "has no original");
}

TEST_F(RunTasks, ShowsTheSharedSessionInTheTable) {
  ASSERT_EQ(run({}), 0) << err_;
  for (const char* text : {"  summarize (over base)\n", "1 shared session of 1 model, 3 tasks"}) {
    EXPECT_NE(out_.find(text), std::string::npos) << text << '\n' << out_;
  }
}

TEST_F(RunTasks, RefusesUnknownTasks) {
  expect_refused("unknown", {"--task", "base"}, 4, "hint: it has 'summarize', 'classify', 'same'");
}

}  // namespace
}  // namespace wshare::test

// `wshare run` as users meet it: exit code, stdout and stderr.

#include <nlohmann/json.hpp>
#include <sstream>

#include "run/run_command.h"
#include "run_report.h"
#include "support/places.h"

namespace wshare::test {
namespace {

TEST_F(RunCommand, PrintsTheJsonOfTheContract) {
  const json report = run_json({"--sessions=2"});
  EXPECT_EQ(err_, "");
  EXPECT_EQ(keys(report),
            (Names{"anonymous_bytes", "baseline", "cut_short", "device_bytes", "ep", "exceeded",
                   "memory", "memory_parts", "models", "ok", "onnxruntime", "parity", "pss_bytes",
                   "schema", "session_count", "sessions", "threads", "tier"}));
  EXPECT_EQ(report.at("schema"), "wshare.run/1");
  EXPECT_EQ(report.at("ep"), "cpu");
  EXPECT_EQ(report.at("tier"), "shared");
  EXPECT_EQ(report.at("onnxruntime").at("version"), OrtGetApiBase()->GetVersionString());
  EXPECT_TRUE(fs::exists(report.at("onnxruntime").at("path").get<std::string>()));
  EXPECT_EQ(names(report.at("sessions"), "model"), (Names{"a", "a", "b", "b"}));
  EXPECT_EQ(
      keys(report.at("sessions")[0]),
      (Names{"create_ms", "first_run_ms", "load_ms", "model", "optimise_ms", "own_bytes", "pack_ms",
             "run_ms_max", "run_ms_median", "run_ms_min", "shares_session", "task"}));
  EXPECT_GT(report.at("pss_bytes"), 1 << 20);
  EXPECT_GT(report.at("anonymous_bytes"), 1 << 20);
  EXPECT_EQ(report.at("device_bytes"), 0);
  EXPECT_TRUE(report.at("baseline").is_null());
  EXPECT_EQ(report.at("parity"), json::array());
  EXPECT_EQ(report.at("ok"), true);
  EXPECT_EQ(report.at("models")[1], json::parse(R"({"name": "b", "shared_tensors": ["weight"],
      "shared_bytes": 131072, "packed_shared": true, "tier": "shared",
      "why": "the bundle has no pack of it", "packed_bytes": 0, "packed_by": null,
      "left": [{"reason": "small", "tensors": 1, "bytes": 2048}]})"));
}

TEST_F(RunCommand, PrintsTables) {
  ASSERT_EQ(run({"--sessions=2", "--baseline", "--against", a_is("in/a.onnx")}), 0) << err_;
  EXPECT_EQ(err_, "");
  const bool has_parts = out_.find("  weights, one copy\n") != out_.npos;  // from 1.23 on
  for (const char* text :
       {"sessions  create ms  load  optimise  pack", " a (plain)\n", "128.0 KiB  shared  a\n",
        "equal  a: y", "4 shared sessions of 2 models", "4 plain sessions of 2 models"}) {
    EXPECT_NE(out_.find(text), std::string::npos) << text << " in\n" << out_;
  }
  EXPECT_EQ(std::count(out_.begin(), out_.end(), '\n'), has_parts ? 28 : 19)
      << out_;  // a row per model, not session
  EXPECT_NE(out_.find("\nnot packed: the bundle has no pack of it\nONNX Runtime 1."), out_.npos)
      << out_;
  const size_t last = out_.rfind('\n', out_.size() - 2) + 1;
  EXPECT_TRUE(out_.substr(last).starts_with("PSS ")) << out_;
  EXPECT_NE(out_.find(" instead of ", last), std::string::npos) << out_;
  ASSERT_EQ(run({"--model=a"}), 0) << err_;
  EXPECT_NE(out_.find("1 shared session of 1 model\n"), std::string::npos) << out_;
  EXPECT_EQ(out_.find("plain"), std::string::npos) << out_;
}

TEST_F(RunCommand, TakesShapesAndValuesOfOneModel) {
  EXPECT_EQ(run({"--shape=b:x=1x" + std::to_string(kRows), "--value=a:x=0.25", "--value=x=1"}), 0)
      << err_;
  EXPECT_EQ(run({"--value=c:x=1"}), 4);
  EXPECT_NE(err_.find("a value is given for 'c:x', which is no input of any model"), err_.npos)
      << err_;
  EXPECT_EQ(run({"--value=x=fast"}), 2);
  EXPECT_NE(err_.find("--value: 'fast' is no number"), err_.npos) << err_;
  EXPECT_EQ(run({"--value=x=1", "--inputs=" + path("in")}), 2);
  EXPECT_NE(err_.find("--value: is for made-up inputs"), err_.npos) << err_;
}

// Whatever free dimension is tried, 231 elements are not what x has.
TEST_F(RunCommand, SaysInALineWhichNodeFailedAndWhatWasTried) {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  set_type(*graph.add_input(), "x", onnx::TensorProto::FLOAT, {"1", "n"});
  set_type(*graph.add_output(), "y", onnx::TensorProto::FLOAT, {"21", "11"});
  *graph.add_initializer() =
      raw("shape", raw_of(std::vector<int64_t>{21, 11}), onnx::TensorProto::INT64, {2});
  add_node(graph, "Reshape", {"x", "shape"}, {"y"}).set_name("to_rows");
  fs::remove_all(temp_ / "in");
  fs::remove_all(temp_ / "bundle");
  write_file(temp_ / "in/a.onnx", model.SerializeAsString());
  make();
  EXPECT_EQ(run({}), 6);
  EXPECT_NE(err_.find("'a': Reshape node 'to_rows': "), err_.npos) << err_;
  EXPECT_EQ(err_.find("Status Message"), err_.npos) << err_;
  EXPECT_EQ(err_.find(".h:"), err_.npos) << err_;
  EXPECT_NE(err_.find("hint: the model may need other inputs than --shape x=1x8: "), err_.npos)
      << err_;
  EXPECT_EQ(run({"--json"}), 6);
  EXPECT_NE(err_.find("Status Message"), err_.npos) << err_;
}

TEST_F(RunCommand, StopsRepeatingWhenTimeIsOver) {
  const Arguments for_ever = {"run", path("bundle"), "--repeat=1000000", "--max-seconds=0.05"};
  Arguments with_baseline = for_ever;
  with_baseline.insert(with_baseline.end(), {"--baseline", "--json"});
  ASSERT_EQ(command(with_baseline), 0) << err_;
  const json report = json::parse(out_);
  EXPECT_EQ(report.at("cut_short"), true);
  EXPECT_EQ(report.at("baseline").at("cut_short"), true);
  ASSERT_EQ(command(for_ever), 0) << err_;
  EXPECT_NE(out_.find("no time for all runs of --repeat"), out_.npos) << out_;
  EXPECT_EQ(run_json({}).at("cut_short"), false);
}

TEST_F(RunCommand, RunsTheModelsThatAreNamed) {
  EXPECT_EQ(names(run_json({"--model", "b"}).at("sessions"), "model"), Names{"b"});
  const json both = run_json({"--model", "b", "--model", "a", "--model", "b"});
  EXPECT_EQ(names(both.at("sessions"), "model"), (Names{"b", "a"}));
  EXPECT_EQ(names(both.at("models"), "name"), (Names{"a", "b"}));  // in the bundle's order
  expect_refused("unknown", {"--model", "c"}, 4, "hint: it has 'a', 'b'");
  fs::rename(temp_ / "in/a.onnx", temp_ / "in/[a, =-b].onnx");  // a name is no list and no option
  fs::remove_all(temp_ / "bundle");
  make();
  EXPECT_EQ(names(run_json({}).at("sessions"), "model"), (Names{"[a, =-b]", "b"}));
}

// Fifty models: the first twenty, and what is to be said of all.
TEST(RunReportText, ShowsTwentyOfManyModels) {
  RunReport report;
  report.tier = "shared";
  for (int m = 100; m < 150; ++m) {
    SessionFigures session;
    session.model = "model" + std::to_string(m);
    session.create_ms = m;
    report.shared.sessions.push_back(session);
    ModelReport model;
    model.model = session.model;
    model.shared_bytes = 1024;
    report.shared.models.push_back(model);
  }
  std::ostringstream out;
  print_report(out, report);
  EXPECT_NE(
      out.str().find("... and 30 more (--json); medians of all: create 124.5 ms, run 0.0 ms\n"),
      std::string::npos)
      << out.str();
  EXPECT_NE(out.str().find("... and 30 more (--json), 50.0 KiB in all\n"), std::string::npos)
      << out.str();
  EXPECT_NE(out.str().find("each session has its own; this"), std::string::npos) << out.str();
  EXPECT_EQ(out.str().find("model120"), std::string::npos) << out.str();
}

TEST_F(RunCommand, SummarisesInThreeLines) {
  const auto lines = [&] {
    Names found;
    std::istringstream text(out_);
    for (std::string line; std::getline(text, line);) found.push_back(line);
    return found;
  };
  ASSERT_EQ(run({"--summary", "--sessions", "2", "--baseline"}), 0) << err_;
  ASSERT_EQ(lines().size(), 3u) << out_;
  EXPECT_TRUE(lines()[0].starts_with("wshare ")) << out_;
  EXPECT_NE(lines()[0].find(" on cpu: 4 shared sessions of 2 models"), std::string::npos) << out_;
  EXPECT_TRUE(lines()[1].starts_with("PSS ")) << out_;
  EXPECT_NE(lines()[1].find(", plain sessions "), std::string::npos) << out_;
  EXPECT_TRUE(lines()[2].starts_with("create ")) << out_;
  EXPECT_NE(lines()[2].find(" (plain "), std::string::npos) << out_;
  EXPECT_TRUE(lines()[2].ends_with("; outputs not compared (--against)")) << out_;
  ASSERT_EQ(command({"pack", path("bundle"), "--summary"}), 0) << err_;
  ASSERT_EQ(lines().size(), 3u) << out_;
  EXPECT_NE(lines()[0].find(": 2 of 2 models packed"), std::string::npos) << out_;
  EXPECT_TRUE(lines()[1].starts_with("in memory ")) << out_;
  EXPECT_NE(lines()[2].find(" on disk, "), std::string::npos) << out_;
}

TEST_F(RunCommand, OpensEachTier) {
  for (const auto& [tier, opened] : std::map<std::string, std::string>{
           {"auto", "shared"}, {"shared", "shared"}, {"compact", "compact"}}) {
    SCOPED_TRACE(tier);
    const json report = run_json({"--tier", tier, "--ep=cpu"});
    EXPECT_EQ(report.at("tier"), opened);
    EXPECT_EQ(report.at("models")[0].at("packed_shared"), tier != "compact");
    ASSERT_EQ(run({"--tier", tier}), 0) << err_;
    EXPECT_EQ(out_.find("packed forms"), std::string::npos) << out_;
  }
  expect_refused("packed", {"--tier=packed"}, 5, "hint: 'wshare pack' makes packs");
  ASSERT_EQ(command({"pack", path("bundle")}), 0) << err_;
  for (const char* tier : {"auto", "packed"}) {
    const json report = run_json({"--tier", tier, "--sessions=2", "--against", a_is("in/a.onnx")});
    EXPECT_EQ(report.at("tier"), "packed");
    EXPECT_GE(report.at("models")[0].at("packed_bytes"), 131072);
    EXPECT_TRUE(report.at("models")[0].at("why").is_null());
    EXPECT_TRUE(report.at("parity")[0].at("bit_equal"));
  }
  EXPECT_EQ(run_json({"--tier=shared"}).at("tier"), "shared");
}

// What optimisers make of a weight is each session's own.
TEST_F(RunCommand, AdvisesToPackWhereSessionsHoldMuchOfTheirOwn) {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  set_type(*graph.add_input(), "x", onnx::TensorProto::FLOAT, {"1", "1024"});
  set_type(*graph.add_output(), "y", onnx::TensorProto::FLOAT, {"1", "4096"});
  *graph.add_initializer() =
      raw("weight", floats(4096 * 1024, 1), onnx::TensorProto::FLOAT, {4096, 1024});
  add_node(graph, "Transpose", {"weight"}, {"turned"});
  add_node(graph, "MatMul", {"x", "turned"}, {"y"});
  fs::remove_all(temp_ / "in");
  fs::remove_all(temp_ / "bundle");
  write_file(temp_ / "in/a.onnx", model.SerializeAsString());
  make();
  const std::string advice = "over a pack ('wshare pack'): ";
  const std::pair<const char*, const char*> cases[] = {
      {"--sessions=1", "one copy, also for further sessions"}, {"--sessions=3", "about "}};
  for (const auto& [sessions, gain] : cases) {
    ASSERT_EQ(run({sessions}), 0) << err_;
    EXPECT_NE(out_.find(advice + gain), std::string::npos) << sessions << '\n' << out_;
    EXPECT_EQ(out_.find(advice), out_.rfind(advice)) << out_;
  }
  ASSERT_EQ(command({"pack", path("bundle")}), 0) << err_;
  ASSERT_EQ(run({"--sessions=3"}), 0) << err_;
  EXPECT_EQ(out_.find(advice), std::string::npos) << out_;
}

TEST_F(RunCommand, RefusesMistakesOnTheCommandLine) {
  struct Case {
    const char* name;
    Arguments arguments;
    const char* text;
  };
  for (const Case& c :
       {Case{"unknown tier", {"--tier=best"}, "--tier"}, Case{"unknown ep", {"--ep=tpu"}, "--ep"},
        Case{"no sessions", {"--sessions=0"}, "--sessions"},
        Case{"no runs", {"--repeat=0"}, "--repeat"},
        Case{"shape without name", {"--shape=1x2"}, "--shape"},
        Case{"shape of letters", {"--shape=x=1xtwo"}, "--shape"},
        Case{"negative shape", {"--shape=x=-1"}, "--shape"},
        Case{"open shape", {"--shape=x=1x"}, "--shape"},
        Case{"original without name", {"--against=a.onnx"}, "NAME=original.onnx"},
        Case{"original twice", {"--against=a=x", "--against=a=y"}, "twice"},
        Case{"size", {"--max-pss=much"}, "'much'"},
        Case{"other size", {"--max-anonymous=-5"}, "'-5'"},
        Case{"time", {"--max-create-ms=soon"}, "--max-create-ms"},
        Case{"negative time", {"--max-create-ms=-1"}, "--max-create-ms"},
        Case{"no difference", {"--max-abs-diff=nan", "--against=a=x"}, "--max-abs-diff"},
        Case{"any difference", {"--max-abs-diff=inf", "--against=a=x"}, "--max-abs-diff"},
        Case{"nothing to compare", {"--max-abs-diff=1"}, "--against"}}) {
    expect_refused(c.name, c.arguments, 2, c.text);
  }
}

TEST_F(RunCommand, TakesShapes) {
  EXPECT_EQ(run({"--shape", "x=1x64"}), 0) << err_;
  expect_refused("contradicts", {"--shape=x=2x64"}, 4, "is 2x64, the model's is 1x64");
  expect_refused("no such input", {"--shape=z=2x64"}, 4, "hint: the inputs are 'x'");
}

TEST_F(RunCommand, TakesInputsFromFiles) {
  const auto write_input = [&](const std::string& name, int64_t rows) {
    write_file(temp_ / name,
               raw("x", floats(static_cast<size_t>(rows), 5), onnx::TensorProto::FLOAT, {1, rows})
                   .SerializeAsString());
  };
  expect_refused("no folder", {"--inputs", path("data")}, 3, "input_0");
  write_input("data/a/input_0.pb", kRows);
  expect_refused("one model only", {"--inputs", path("data")}, 3, "'b'");
  EXPECT_EQ(run({"--inputs", path("data"), "--model=a"}), 0) << err_;
  write_input("data/b/test_data_set_0/input_0.pb", kRows);
  EXPECT_EQ(run({"--inputs", path("data")}), 0) << err_;
  write_input("data/b/test_data_set_0/input_0.pb", kRows - 1);
  expect_refused("does not fit", {"--inputs", path("data")}, 4, "is 1x63, the model's is 1x64");
}

TEST_F(RunCommand, ComparesWithOriginals) {
  const json equal = run_json(
      {"--against", a_is("in/a.onnx"), "--against", "b=" + path("in/b.onnx"), "--max-abs-diff=0"});
  EXPECT_EQ(equal.at("parity"), json::parse(R"([
      {"model": "a", "output": "y", "bit_equal": true, "max_abs_diff": 0.0, "max_rel_diff": 0.0},
      {"model": "b", "output": "y", "bit_equal": true, "max_abs_diff": 0.0, "max_rel_diff": 0.0}])"));

  std::string bias = floats(kColumns, 2);
  bias.replace(0, 4, raw_of<float>({8}));
  write_file(temp_ / "changed.onnx", matmul_model(kRows, kColumns, bias).SerializeAsString());
  const json changed = run_json({"--against", a_is("changed.onnx")});
  EXPECT_EQ(changed.at("ok"), true);  // a finding, no limit
  EXPECT_EQ(changed.at("parity")[0].at("bit_equal"), false);
  EXPECT_GT(changed.at("parity")[0].at("max_abs_diff"), 7);
  EXPECT_EQ(run({"--against", a_is("changed.onnx"), "--max-abs-diff=9"}), 0) << err_;
  EXPECT_NE(out_.find("differ  a: y"), std::string::npos) << out_;
  EXPECT_EQ(run({"--against", a_is("changed.onnx"), "--max-abs-diff=0.5"}), 1);
  EXPECT_TRUE(err_.starts_with("wshare: 'a': output 'y' differs by ")) << err_;
  EXPECT_NE(err_.find("the limit is 0.5"), std::string::npos) << err_;

  expect_refused("not run", {"--against", a_is("in/a.onnx"), "--model=b"}, 4, "'a'");
  expect_refused("no file", {"--against", a_is("none.onnx")}, 3, "none.onnx");
}

TEST_F(RunCommand, LetsNoNanPass) {
  std::string bias = floats(kColumns, 2);
  bias.replace(0, 4, raw_of<float>({std::numeric_limits<float>::quiet_NaN()}));
  write_file(temp_ / "nan.onnx", matmul_model(kRows, kColumns, bias).SerializeAsString());
  const json report = run_json({"--against", a_is("nan.onnx"), "--max-abs-diff=1e300"}, 1);
  EXPECT_TRUE(report.at("parity")[0].at("max_abs_diff").is_null());
  EXPECT_EQ(report.at("ok"), false);
  EXPECT_EQ(report.at("exceeded").size(), 1u);
  EXPECT_EQ(run({"--against", a_is("nan.onnx"), "--max-abs-diff=1e300"}), 1);
  EXPECT_NE(out_.find("no number"), std::string::npos) << out_;
  EXPECT_NE(out_.find("differ  a: y"), std::string::npos) << out_;
}

TEST_F(RunCommand, AnswersOneWhenALimitIsPassed) {
  struct Case {
    const char* option;
    const char* low;
    const char* high;
    const char* low_text;  // how the message gives the limit back
    size_t lines;
  };
  for (const Case& c : {Case{"--max-pss", "1M", "100G", "the limit is 1.0 MiB", 1},
                        Case{"--max-anonymous", "4K", "100G", "the limit is 4.0 KiB", 1},
                        Case{"--max-create-ms", "0.001", "600000", "the limit is 0.001 ms", 2}}) {
    SCOPED_TRACE(c.option);
    EXPECT_EQ(run({c.option, c.low}), 1);
    EXPECT_EQ(std::count(err_.begin(), err_.end(), '\n'), static_cast<long>(c.lines)) << err_;
    EXPECT_NE(err_.find(c.low_text), std::string::npos) << err_;
    EXPECT_NE(out_.find("sessions of 2 models"), std::string::npos) << out_;
    EXPECT_EQ(run_json({c.option, c.low}, 1).at("exceeded").size(), c.lines);
    EXPECT_EQ(run_json({c.option, c.high}).at("ok"), true);
    EXPECT_EQ(err_, "");
  }
}

TEST_F(RunCommand, TakesTheTestDataOfAFamily) {
  const fs::path family = fs::path(kTestdata) / "t5-seq2seq";
  if (!fs::is_directory(family)) GTEST_SKIP() << "THERE IS NO " << family;
  fs::remove_all(temp_ / "bundle");
  dedupe(resolve_inputs({family.string()}), temp_ / "bundle", {});
  Arguments arguments = {"--inputs", family.string(), "--max-abs-diff=0"};
  for (const char* name : {"encoder", "decoder", "decoder_with_past"})
    arguments.push_back("--against=" + std::string(name) + "=" +
                        (family / (std::string(name) + ".onnx")).string());
  const json report = run_json(arguments);
  EXPECT_GE(report.at("parity").size(), 3u);
  for (const json& row : report.at("parity")) EXPECT_EQ(row.at("bit_equal"), true) << row;
}

// Each side is a child process, and has one environment.
TEST_F(RunCommand, SharesThreadsAndMemory) {
  const json own = run_json({"--sessions=4", "--baseline"});
  const json shared =
      run_json({"--sessions=4", "--baseline", "--shared-threads=3", "--shared-arena"});
  // Two models: eight plain sessions with two threads each beside the one that runs them.
  const auto threads = [](const json& side) { return side.at("threads").get<int>(); };
  EXPECT_EQ(threads(own), threads(own.at("baseline")));
  EXPECT_EQ(threads(shared), threads(own) + 2);
  EXPECT_EQ(threads(shared.at("baseline")), threads(own) + 8 * 2);
  const json compared = run_json(
      {"--shared-threads=3", "--shared-arena", "--max-abs-diff=0", "--against", a_is("in/a.onnx")});
  EXPECT_EQ(compared.at("parity").at(0).at("bit_equal"), true);
  EXPECT_EQ(run({"--shared-threads=0"}), 2);
}

TEST(RunHelp, ShowsOptionsAndNoHiddenCommand) {
  const auto help = [](const Arguments& arguments) {
    std::ostringstream out, err;
    EXPECT_EQ(run_cli(arguments, out, err), 0);
    EXPECT_EQ(err.str(), "");
    return out.str();
  };
  for (const char* option :
       {"--model", "--sessions", "--ep", "--tier", "--inputs", "--shape", "--repeat", "--against",
        "--baseline", "--shared-threads", "--shared-arena", "--max-pss", "--max-anonymous",
        "--max-create-ms", "--max-abs-diff"})
    EXPECT_NE(help({"run", "--help"}).find(option), std::string::npos) << option;
  EXPECT_EQ(help({"--help"}).find("child"), std::string::npos);
  std::ostringstream out, err;
  EXPECT_EQ(run_cli({"chil"}, out, err), 2);
  EXPECT_EQ(err.str().find("child"), std::string::npos) << err.str();
}

}  // namespace
}  // namespace wshare::test

// The two sides of `wshare run`: what each measures, and how each may fail.

#include "run_side.h"

#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "run/child.h"
#include "run/run_command.h"
#include "run_report.h"

namespace wshare::test {
namespace {

TEST_F(RunCommand, MeasuresPlainSessionsBeside) {
  const json report = run_json({"--baseline", "--sessions=2", "--model=b"});
  EXPECT_EQ(keys(report.at("baseline")), (Names{"anonymous_bytes", "device_bytes", "pss_bytes",
                                                "session_count", "sessions", "threads"}));
  EXPECT_EQ(names(report.at("baseline").at("sessions"), "model"), (Names{"b", "b"}));
  EXPECT_EQ(err_, "");
  // Originals that are given are not restored: damage that only restore reads does no harm.
  std::string record = read_file(temp_ / "bundle/restore.bin");
  std::fill(record.begin(), record.end(), '\0');
  write_file(temp_ / "bundle/restore.bin", record);
  EXPECT_EQ(run({"--baseline", "--model=a"}), 4);
  EXPECT_EQ(run({"--baseline", "--model=a", "--against", a_is("in/a.onnx")}), 0) << err_;
}

// Four sessions over a weight of 32 MiB: shared, it is packed once. That is large beside the pages
// of libraries, whose share in the PSS (18 MiB) shrinks as other processes map them.
TEST_F(RunCommand, ShowsThatSharedSessionsTakeLess) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "AddressSanitizer keeps freed memory, so figures say nothing";
#endif
  // Without it, glibc keeps none to three of the packed copies that sessions free at once.
  setenv("MALLOC_MMAP_THRESHOLD_", "131072", 1);
  fs::remove_all(temp_ / "in");
  fs::remove_all(temp_ / "bundle");
  add("large.onnx", matmul_model(1024, 8192, floats(8192, 2)));
  make();
  const json report = run_json({"--baseline", "--sessions=4"});
  const int64_t weight = 32 << 20;
  for (const char* key : {"anonymous_bytes", "pss_bytes"}) {
    SCOPED_TRACE(key);
    EXPECT_LT(report.at(key).get<int64_t>() + 2 * weight,
              report.at("baseline").at(key).get<int64_t>());
  }
  // The figure of the shared side does not depend on what else is measured.
  const double alone = run_json({"--sessions=4"}).at("anonymous_bytes");
  EXPECT_NEAR(report.at("anonymous_bytes").get<double>(), alone, 0.5 * weight);
  unsetenv("MALLOC_MMAP_THRESHOLD_");
}

TEST_F(RunCommand, GivesTheChildsOwnErrorToTheUser) {
  std::string bytes = read_file(temp_ / "bundle/a.onnx");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_file(temp_ / "bundle/a.onnx", bytes);
  expect_refused("changed model", {}, 4, "a.onnx': its bytes are not the ones of the manifest");
  EXPECT_NE(err_.find("hint: 'wshare verify'"), std::string::npos) << err_;
  write_file(temp_ / "no.onnx", "no model");
  expect_refused("no original", {"--baseline", "--model=b", "--against=b=" + path("no.onnx")}, 6,
                 "no.onnx'");
}

TEST(MeasurementFrom, GivesBackWhatWasWritten) {
  Measurement measurement;
  measurement.sessions = {
      {"a", 1, 2, 3, "", true, 4096, 2.5, 3.5}, {"a", 4, 5, 6, "task", true, 0}, {"b", 7, 8, 9}};
  ModelReport report{"a", Tier::kPacked, "why", {"w"}, 65536, {}, 131072, true};
  for (const LeftReason reason :
       {LeftReason::kSmall, LeftReason::kFolded, LeftReason::kAmbiguousName, LeftReason::kFunction,
        LeftReason::kDtype}) {
    report.left.push_back({reason, 1, 2});
  }
  measurement.models = {report};
  measurement.memory = {10, 11};
  measurement.session_count = 2;
  const auto json = to_json(measurement);
  EXPECT_EQ(to_json(measurement_from(json)), json);
  EXPECT_EQ(json.at("models")[0].at("left").size(), 5u);
}

TEST_F(RunCommand, SaysHowAChildEnded) {
  const auto script = [&](const std::string& text) {
    write_file(temp_ / "script", "#!/bin/sh\n" + text + "\n");
    fs::permissions(temp_ / "script", fs::perms::owner_all);
    return temp_ / "script";
  };
  EXPECT_EQ(run({}, script("kill -KILL $$")), 6);
  EXPECT_NE(err_.find("was ended by signal 9 (Killed)\nhint: "), std::string::npos) << err_;
  EXPECT_EQ(run({}, script("echo 'wshare: full' >&2; exit 3")), 3);
  EXPECT_EQ(err_, "wshare: full\n");
  EXPECT_EQ(run({}, script("exit 1")), 70);
  EXPECT_TRUE(err_.starts_with(
      "wshare: bug: the child process that measures ended with exit code 1\nhint: please report"))
      << err_;
  EXPECT_EQ(run({}, script("echo nonsense")), 70);
  EXPECT_EQ(run({}, temp_ / "none"), 6);
  EXPECT_EQ(out_, "");
}

TEST_F(RunCommand, ShowsOnATerminalWhatTheChildDoes) {
  write_file(temp_ / "script",
             "#!/bin/sh\nprintf '\\037opening session 3 of 8\\n' >&2; sleep 1.6; exit 3\n");
  fs::permissions(temp_ / "script", fs::perms::owner_all);
  std::ostringstream out, err;
  Console terminal;
  terminal.is_terminal = true;
  EXPECT_EQ(run_cli({"run", path("bundle")}, out, err, temp_ / "script", terminal), 3);
  EXPECT_NE(err.str().find("shared sessions: opening session 3 of 8"), std::string::npos)
      << err.str();
  EXPECT_EQ(err.str().find(kProgressMark), std::string::npos) << err.str();

  std::ostringstream side_out, side_err;
  const Arguments side = {
      "run-side", "--bundle=" + path("bundle"),      "--progress",  "--sessions=2",
      "--name=a", "--file=" + path("bundle/a.onnx"), "--task-of==", "--base=="};
  ASSERT_EQ(run_cli(side, side_out, side_err), 0) << side_err.str();
  EXPECT_EQ(side_err.str(),
            "\x1fopening session 1 of 2\n\x1fopening session 2 of 2\n"
            "\x1f"
            "first run of session 1 of 2\n\x1f"
            "first run of session 2 of 2\n");
}

// ONNX Runtime's telemetry writes into the user's cache and into TMPDIR.
TEST_F(RunCommand, LeavesNothingBehind) {
  std::map<std::string, std::optional<std::string>> before;
  for (const char* name : {"HOME", "TMPDIR", "XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY"}) {
    const char* value = getenv(name);
    before[name] = value == nullptr ? std::nullopt : std::optional<std::string>(value);
    unsetenv(name);
  }
  for (const char* name : {"HOME", "TMPDIR"}) {
    fs::create_directory(temp_ / name);
    setenv(name, path(name).c_str(), 1);
  }
  const ChildResult child =
      run_child(WSHARE_PROGRAM, {"run", path("bundle"), "--repeat=1", "--baseline"});
  for (const auto& [name, value] : before)
    value ? setenv(name.c_str(), value->c_str(), 1) : unsetenv(name.c_str());
  EXPECT_EQ(child.exit_code, 0) << child.err;
  EXPECT_EQ(names_in(temp_ / "HOME"), Names{});
  EXPECT_EQ(names_in(temp_ / "TMPDIR"), Names{});
}

TEST_F(RunCommand, SaysWhatCannotBeShared) {
  fs::remove_all(temp_ / "in");
  fs::remove_all(temp_ / "bundle");
  onnx::ModelProto model = empty_model();  // whose packed forms ONNX Runtime cannot share
  onnx::GraphProto& graph = *model.mutable_graph();
  set_type(*graph.add_input(), "x", onnx::TensorProto::FLOAT16, {"1", "40000"});
  set_type(*graph.add_output(), "y", onnx::TensorProto::FLOAT16, {"1", "40000"});
  for (const char* name : {"scale", "offset"})
    *graph.add_initializer() =
        raw(name, std::string(80000, '\0'), onnx::TensorProto::FLOAT16, {40000});
  add_node(graph, "LayerNormalization", {"x", "scale", "offset"}, {"y"});
  add("half.onnx", model);
  make();
  ASSERT_EQ(run({}), 0) << err_;
  EXPECT_NE(out_.find("156.2 KiB  shared  half   packed forms (it cannot share them)"),
            std::string::npos)
      << out_;
  EXPECT_EQ(run_json({}).at("models")[0].at("packed_shared"), false);
  expect_refused("without fallback", {"--tier=shared"}, 6, "'half'");
}

}  // namespace
}  // namespace wshare::test

// The two sides of `wshare run`: what each measures, and how each may fail.

#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "run/child.h"
#include "run/job_json.h"
#include "run/run_command.h"
#include "support/places.h"

namespace wshare::test {
namespace {

TEST_F(RunCommand, MeasuresPlainSessionsBeside) {
  const json report = run_json({"--baseline", "--sessions=2", "--model=b"});
  EXPECT_EQ(keys(report.at("baseline")),
            (Names{"anonymous_bytes", "cut_short", "device_bytes", "pss_bytes", "session_count",
                   "sessions", "threads"}));
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
  expect_refused("changed model", {}, 4, "a.onnx': is damaged: it is not the file of the manifest");
  EXPECT_NE(err_.find("hint: 'wshare verify'"), std::string::npos) << err_;
  write_file(temp_ / "no.onnx", "no model");
  expect_refused("no original", {"--baseline", "--model=b", "--against=b=" + path("no.onnx")}, 6,
                 "no.onnx'");
}

TEST(AnswerFrom, GivesBackWhatWasWritten) {
  RunAnswer answer;
  answer.measurement.sessions = {
      {"a", 1, 2, 3, "", true, 4096, 2.5, 3.5}, {"a", 4, 5, 6, "task", true, 0}, {"b", 7, 8, 9}};
  answer.measurement.sessions[0].stages = CreationStages{1, 2, 3};
  ModelReport report{"a", Tier::kPacked, "why", {"w"}, 65536, {}, 131072, "1.2", true};
  for (const LeftReason reason :
       {LeftReason::kSmall, LeftReason::kFolded, LeftReason::kAmbiguousName, LeftReason::kFunction,
        LeftReason::kDtype}) {
    report.left.push_back({reason, 1, 2});
  }
  ModelReport on_device;
  on_device.model = "b";
  on_device.device = DeviceReport{"provider", 1, 2, 3, true, true, DeviceProof::kFreeMemory};
  answer.measurement.models = {report, on_device};
  answer.measurement.memory = {10, 11, 12};
  answer.measurement.session_count = 2;
  answer.measurement.threads = 3;
  const double infinite = std::numeric_limits<double>::infinity();
  answer.parity = {{"a", "y", true}, {"b", "z", false, infinite, 0.5, 0.25}};
  const auto json = to_json(answer);
  const RunAnswer back = answer_from(nlohmann::ordered_json::parse(json.dump()));
  EXPECT_EQ(to_json(back).dump(), json.dump());
  EXPECT_EQ(back.measurement.sessions[0].stages, answer.measurement.sessions[0].stages);
  EXPECT_EQ(back.measurement.sessions[1].stages, std::nullopt);
  EXPECT_EQ(back.measurement.models[0].left.size(), 5u);
  EXPECT_EQ(back.measurement.models[0].tier, Tier::kPacked);
  EXPECT_TRUE(back.measurement.models[1].device->may_pack);
  EXPECT_EQ(back.measurement.models[1].device->proof, DeviceProof::kFreeMemory);
  EXPECT_EQ(back.parity[1].max_abs_diff, infinite);
  EXPECT_EQ(back.parity[1].noise_abs_diff, 0.25);
  EXPECT_EQ(back.parity[0].noise_abs_diff, std::nullopt);
  EXPECT_EQ(code_of([] { answer_from({{"parity", 1}}); }), 6);
}

TEST(JobFrom, GivesBackWhatWasWritten) {
  RunJob job;
  job.bundle = "b";
  job.tier = Tier::kCompact;
  job.device = {"ep", "library.so", 3, DeviceCopies::kKeep, {{"key", "value"}}};
  job.models = {{"a", "a.onnx"}, {"t", "t.onnx", "a", true, "base"}};
  job.sessions = 7;
  job.repeat = 8;
  job.shared_threads = 9;
  job.shared_arena = true;
  job.inputs.folder = "in";
  job.inputs.shapes = {{"x", {1, 2}}, {"y", {}}};
  job.inputs.values = {{"a:x", "0.5"}};
  job.against = {{"a", "original.onnx"}};
  const auto json = to_json(job);
  const RunJob back = job_from(nlohmann::ordered_json::parse(json.dump()));
  EXPECT_EQ(to_json(back).dump(), json.dump());
  EXPECT_EQ(back.tier, Tier::kCompact);
  EXPECT_EQ(back.device.copies, DeviceCopies::kKeep);
  EXPECT_EQ(back.device.options, job.device.options);
  EXPECT_EQ(back.models[1].base, "base");
  EXPECT_TRUE(back.models[1].shares_session);
  EXPECT_EQ(back.inputs.shapes, job.inputs.shapes);
  EXPECT_EQ(back.inputs.values, job.inputs.values);
  EXPECT_EQ(back.against, job.against);
}

TEST_F(RunCommand, SaysHowAChildEnded) {
  const auto script = [&](const std::string& text) {
    write_file(temp_ / "script", "#!/bin/sh\n" + text + "\n");
    fs::permissions(temp_ / "script", fs::perms::owner_all);
    return temp_ / "script";
  };
  struct Case {
    const char* script;
    int code;
    const char* err;  // in which SCRIPT stands for its path
  };
  for (const Case& c :
       {Case{"kill -KILL $$", 6,
             "wshare: the child process SCRIPT was ended by signal 9 (Killed)\n"
             "hint: the system ends processes so when memory runs out\n"},
        Case{"kill -SEGV $$", 6,
             "wshare: the child process SCRIPT was ended by signal 11 (Segmentation fault)\n"},
        Case{"echo words >&2; exit 1", 6,
             "words\nwshare: the child process SCRIPT ended with exit code 1 and no answer\n"},
        Case{"exit 0", 6, "wshare: the child process SCRIPT gave an answer that cannot be read: "},
        Case{"echo nonsense", 6,
             "wshare: the child process SCRIPT gave an answer that cannot be read: "},
        Case{"echo '{}'", 6, "wshare: what a child process was told or says cannot be read: "},
        Case{"echo '[1]'", 6, "wshare: what a child process was told or says cannot be read: "},
        Case{"echo '{\"error\": 1}'", 6,
             "wshare: the child process SCRIPT gave an answer that cannot be read: "},
        Case{"echo '{\"error\": {\"code\": 3, \"message\": \"full\", \"hint\": \"less\"}}'", 3,
             "wshare: full\nhint: less\n"},
        Case{"echo '{\"error\": {\"code\": 70, \"message\": \"odd\", \"hint\": \"\"}}'", 70,
             "wshare: bug: odd\nhint: please report"}}) {
    SCOPED_TRACE(c.script);
    EXPECT_EQ(run({}, script(c.script)), c.code);
    std::string expected = c.err;
    if (const size_t at = expected.find("SCRIPT"); at != expected.npos)
      expected.replace(at, 6, "'" + path("script") + "'");
    EXPECT_TRUE(err_.starts_with(expected)) << err_;
    EXPECT_EQ(out_, "");
  }
  EXPECT_EQ(run({}, temp_ / "none"), 6);
  EXPECT_EQ(out_, "");
}

TEST_F(RunCommand, BeginsAnewWhereTheBundleHasChanged) {
  write_file(temp_ / "script", std::string("#!/bin/sh\nif [ -e '") + path("begun") +
                                   "' ]; then exec " + kProgram + " \"$@\"; fi\ntouch '" +
                                   path("begun") + "'\n" + kProgram + " remove -q '" +
                                   path("bundle") + "' b >&2\nexit 1\n");
  fs::permissions(temp_ / "script", fs::perms::owner_all);
  ASSERT_EQ(run({"--json"}, temp_ / "script"), 0) << err_;
  EXPECT_EQ(names(json::parse(out_).at("models"), "name"), Names{"a"});
}

// A library in the child may write to its stdout, and paths may be any bytes.
TEST_F(RunCommand, TakesTheLastLineAsTheAnswer) {
  write_file(temp_ / "script",
             std::string("#!/bin/sh\necho hello\nexec ") + kProgram + " \"$@\"\n");
  fs::permissions(temp_ / "script", fs::perms::owner_all);
  fs::copy_file(temp_ / "in/a.onnx", temp_ / "\xff\xc3\xa4\x80.onnx");
  EXPECT_EQ(run({"--against", a_is("\xff\xc3\xa4\x80.onnx"), "--max-abs-diff=0"}, temp_ / "script"),
            0)
      << err_;
  EXPECT_NE(out_.find("equal  a: y"), std::string::npos) << out_;
}

TEST_F(RunCommand, ShowsOnATerminalWhatTheChildDoes) {
  write_file(temp_ / "script",
             "#!/bin/sh\nprintf '\\037opening session 3 of 8\\n' >&2; sleep 1.6; exit 3\n");
  fs::permissions(temp_ / "script", fs::perms::owner_all);
  std::ostringstream out, err;
  Console terminal;
  terminal.is_terminal = true;
  EXPECT_EQ(run_cli({"run", path("bundle")}, out, err, temp_ / "script", terminal), 6);
  EXPECT_NE(err.str().find("shared sessions: opening session 3 of 8"), std::string::npos)
      << err.str();
  EXPECT_EQ(err.str().find(kProgressMark), std::string::npos) << err.str();

  RunJob job;
  job.bundle = path("bundle");
  job.models = {{"a", temp_ / "bundle/a.onnx"}};
  job.sessions = 2;
  Names told;
  const ChildResult side = run_child(kProgram, {"child"}, to_json(job).dump(),
                                     [&](const std::string& what) { told.push_back(what); });
  EXPECT_EQ(side.exit_code, 0);
  EXPECT_EQ(side.err, "");
  EXPECT_EQ(told, (Names{"opening session 1 of 2", "opening session 2 of 2",
                         "first run of session 1 of 2", "first run of session 2 of 2",
                         "finding out where the memory is"}));
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
      run_child(kProgram, {"run", path("bundle"), "--repeat=1", "--baseline"});
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
  EXPECT_NE(out_.find("156.2 KiB  shared  half\n"
                      "packed forms of weights: each session has its own; this ONNX Runtime cannot "
                      "share them\n"),
            std::string::npos)
      << out_;
  EXPECT_EQ(run_json({}).at("models")[0].at("packed_shared"), false);
  expect_refused("without fallback", {"--tier=shared"}, 6, "'half'");
}

}  // namespace
}  // namespace wshare::test

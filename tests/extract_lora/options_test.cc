// The options of extract-lora, and inputs that say little or too much.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "extract_lora/extract_test.h"
#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "support/json_schema.h"
#include "support/places.h"
#include "wshare/inspect.h"

namespace wshare::test {
namespace {

using nlohmann::json;

class ExtractOption : public ExtractTest {
 protected:
  uint64_t bundle_bytes() const {
    uint64_t bytes = 0;
    for (const auto& [name, text] : files_in(temp_ / "bundle")) bytes += text.size();
    return bytes;
  }

  json run_json(std::vector<std::string> arguments) {
    arguments.push_back("--json");
    EXPECT_EQ(run(arguments), 0) << err_;
    json result = json::parse(out_);
    result.erase("seconds");
    return result;
  }

  // The real exports of testdata, as inputs.
  void add_t5() {
    fs::copy(fs::path(kTestdata) / "t5-lora", temp_ / "in",
             fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  }
};

TEST_F(ExtractOption, RankFixesTheRank) {
  add_merged({"0.q", "1.up"}, 4);
  for (const int64_t rank : {2, 4, 7}) {
    SCOPED_TRACE(rank);
    forget();
    const ExtractReport report =
        extract({"task.onnx"}, "base.onnx", [&](ExtractOptions& o) { o.rank = rank; });
    ASSERT_EQ(report.tasks[0].tensors.size(), 2u);
    for (const ExtractedTensor& tensor : report.tasks[0].tensors) {
      EXPECT_EQ(tensor.rank, rank);
      EXPECT_EQ(tensor.relative_error < 1e-5, rank >= 4);
    }
    expect_whole({"base.onnx", "task.onnx"});
  }
}

TEST_F(ExtractOption, MaxRankAndToleranceStoreTheRestWhole) {
  add_merged({"0.q", "1.up"}, 4);
  using Set = std::function<void(ExtractOptions&)>;
  for (const Set& set : {Set([](ExtractOptions& o) { o.max_rank = 3; }),
                         Set([](ExtractOptions& o) { o.tolerance = 1e-12; })}) {
    forget();
    const ExtractReport report = extract({"task.onnx"}, "base.onnx", set);
    const ExtractedTask& task = report.tasks[0];
    EXPECT_EQ(task.adapter, "");
    EXPECT_EQ(task.reasons.size(), 2u);
    for (const ExtractedTensor& tensor : task.tensors) {
      EXPECT_EQ(tensor.tensor_class, TensorClass::kReplaced);
      EXPECT_EQ(tensor.stored_bytes, tensor.bytes);
    }
    expect_whole({"base.onnx", "task.onnx"});
  }
}

TEST_F(ExtractOption, ToleranceAllowsASmallerRank) {
  add_merged({"0.q"}, 4);
  const ExtractReport report =
      extract({"task.onnx"}, "base.onnx", [](ExtractOptions& o) { o.tolerance = 0.9; });
  EXPECT_LT(report.tasks[0].tensors.at(0).rank, 4);
  EXPECT_LE(report.tasks[0].tensors.at(0).relative_error, 0.9);
  expect_whole({"base.onnx", "task.onnx"});
}

TEST_F(ExtractOption, MinBytesKeepsTensorsInTheirModels) {
  add_merged({"0.q"}, 3);
  for (const uint64_t min_bytes : {uint64_t{0}, uint64_t{1} << 14, uint64_t{1} << 40}) {
    SCOPED_TRACE(min_bytes);
    for (const Emit emit : {Emit{true, false}, Emit{false, true}}) {
      forget();
      const ExtractReport report = extract({"task.onnx"}, "base.onnx", [&](ExtractOptions& o) {
        o.min_bytes = min_bytes;
        o.emit = emit;
      });
      EXPECT_EQ(report.bytes_out, bundle_bytes());
      expect_whole({"base.onnx", "task.onnx"});
    }
  }
}

TEST_F(ExtractOption, ADryRunSaysWhatARealRunSaysAndWritesNothing) {
  add_t5();
  const std::vector<std::vector<std::string>> options = {{},
                                                         {"--exact"},
                                                         {"--no-residual"},
                                                         {"--emit", "onnx"},
                                                         {"--emit", "adapter,onnx"},
                                                         {"--min-bytes", "20000"}};
  for (const std::vector<std::string>& extra : options) {
    SCOPED_TRACE(extra.empty() ? "" : extra.back());
    forget();
    std::vector<std::string> arguments = {
        "extract-lora",           "--base", path("in/base.onnx"), path("in/summarize.onnx"),
        path("in/classify.onnx"), "-o",     path("bundle")};
    arguments.insert(arguments.end(), extra.begin(), extra.end());
    std::vector<std::string> dry = arguments;
    dry.push_back("--dry-run");
    const auto before = everything();
    const json said = run_json(dry);
    EXPECT_TRUE(everything() == before);
    EXPECT_EQ(said, run_json(arguments));
    EXPECT_EQ(said.at("bytes_out"), bundle_bytes());
  }
}

TEST_F(ExtractOption, NoResidualMakesRestoreApproximateAndSaysSo) {
  add_merged({"0.q"}, 3);
  const uint64_t whole = extract({"task.onnx"}, "base.onnx").bytes_out;
  forget();
  const ExtractReport report =
      extract({"task.onnx"}, "base.onnx", [](ExtractOptions& o) { o.residual = false; });
  EXPECT_LT(report.bytes_out, whole);
  EXPECT_TRUE(verify(temp_ / "bundle", {1}).empty());
  const json restored = run_json({"restore", path("bundle"), "-o", path("back")}).at("models");
  EXPECT_EQ(restored[0].at("identical"), true);  // the base
  EXPECT_EQ(restored[1].at("identical"), false);
  EXPECT_EQ(restored[1].at("approximate"), true);
  fs::remove_all(temp_ / "back");
  EXPECT_EQ(run({"restore", path("bundle"), "-o", path("back")}), 0);
  EXPECT_NE(out_.find("approximate"), std::string::npos) << out_;
  EXPECT_EQ(run_json({"inspect", path("bundle")}).at("tasks")[0].at("restorable"), false);
}

// B of these is a power of two times the stored one.
TEST_F(ExtractOption, NoResidualLeavesUnmergedTasksExact) {
  add_t5();
  extract({"summarize.onnx"}, "base.onnx", [](ExtractOptions& o) { o.residual = false; });
  expect_whole({"summarize.onnx"});
}

TEST_F(ExtractOption, WithoutAdapterOnlyTheTasksBaseIsAsItWas) {
  add_merged({"0.q"}, 3);
  extract({"task.onnx"}, "base.onnx", [](ExtractOptions& o) { o.emit = {false, true}; });
  EXPECT_EQ(load("base.onnx").graph().input_size(), 1);
  EXPECT_FALSE(fs::exists(temp_ / "bundle/task.onnx_adapter"));
  forget();
  extract({"task.onnx"}, "base.onnx", [](ExtractOptions& o) { o.emit = {true, true}; });
  EXPECT_EQ(load("base.onnx").graph().input_size(), 3);
  EXPECT_TRUE(fs::exists(temp_ / "bundle/task.onnx_adapter"));
  EXPECT_TRUE(fs::exists(temp_ / "bundle/task.onnx"));
  expect_whole({"base.onnx", "task.onnx"});
}

TEST_F(ExtractOption, ForceReplacesABundleAsAWhole) {
  add_merged({"0.q"}, 3);
  const std::vector<std::string> arguments = {"extract-lora",       "--base", path("in/base.onnx"),
                                              path("in/task.onnx"), "-o",     path("bundle")};
  ASSERT_EQ(run(arguments), 0) << err_;
  expect_refused(arguments, 3, {"bundle", "--force"});
  std::vector<std::string> forced = arguments;
  forced.insert(forced.end(), {"--force", "--exact"});
  ASSERT_EQ(run(forced), 0) << err_;
  EXPECT_FALSE(fs::exists(temp_ / "bundle/task.onnx_adapter"));
  expect_whole({"base.onnx", "task.onnx"});
  write_file(temp_ / "bundle/other", "x");
  expect_refused(forced, 3, {"other", "no part of the bundle"});
}

TEST_F(ExtractOption, SaysWhichTasksAreTheSame) {
  add_merged({"0.q"}, 3);
  fs::copy_file(temp_ / "in/task.onnx", temp_ / "in/again.onnx");
  fs::copy_file(temp_ / "in/base.onnx", temp_ / "in/equal.onnx");
  ASSERT_EQ(run({"extract-lora", "--base", path("in/base.onnx"), path("in/task.onnx"),
                 path("in/again.onnx"), path("in/equal.onnx"), "-o", path("bundle")}),
            0)
      << err_;
  EXPECT_NE(out_.find("'again': 1 low_rank, rank 3; the same as 'task'"), std::string::npos)
      << out_;
  EXPECT_NE(out_.find("'equal': nothing changed; the same as 'base'"), std::string::npos) << out_;
  const Manifest manifest = load_manifest(temp_ / "bundle");
  EXPECT_FALSE(manifest.tasks[2].adapter);
  EXPECT_EQ(manifest.tasks[2].model, "");
  expect_whole({"base.onnx", "task.onnx", "again.onnx", "equal.onnx"});
}

TEST_F(ExtractOption, RankAboveTheLargestIsAUsageError) {
  add_merged({"0.q"}, 3);
  expect_refused({"extract-lora", "--base", path("in/base.onnx"), path("in/task.onnx"), "-o",
                  path("bundle"), "--rank", "9", "--max-rank", "8"},
                 2, {"--rank: 9 is above --max-rank, 8"});
}

TEST_F(ExtractOption, SaysThatAFloat16BaseMayLoseBits) {
  const fs::path family = fs::path(kTestdata) / "t5-lora-merged";
  for (const auto& [base, task] : {std::pair("base-half.onnx", "classify-half.onnx"),
                                   std::pair("base.onnx", "translate.onnx")}) {
    const json report = run_json({"extract-lora", "--base", (family / base).string(),
                                  (family / task).string(), "-o", path("bundle"), "--force"});
    EXPECT_EQ(report.at("base_note").is_null(), std::string(base) == "base.onnx") << base;
  }
}

TEST_F(ExtractOption, SkipsTheBaseAmongTheTasks) {
  add_merged({"0.q"}, 3);
  const json report =
      run_json({"extract-lora", "--base", path("in/base.onnx"), path("in"), "-o", path("bundle")});
  ASSERT_EQ(report.at("tasks").size(), 1u);
  EXPECT_EQ(report.at("tasks")[0].at("name"), "task");
}

TEST_F(ExtractOption, RefusesBadInputAndLeavesNothing) {
  add_merged({"0.q"}, 3);
  const std::string base = path("in/base.onnx"), task = path("in/task.onnx");
  const std::string bytes = read_file(task);
  write_file(temp_ / "bad/cut.onnx", bytes.substr(0, bytes.size() / 2));
  write_file(temp_ / "bad/none.onnx", "");
  fs::create_directories(temp_ / "empty");
  struct Case {
    std::vector<std::string> inputs;
    int code;
    std::string text;
  };
  for (const Case& c :
       {Case{{"--base", base, task, task}, 4, "is given twice"},
        Case{{"--base", base, path("empty")}, 4, "holds no .onnx file"},
        Case{{"--base", base, path("bad/cut.onnx")}, 4, "'" + path("bad/cut.onnx") + "'"},
        Case{{"--base", path("bad/cut.onnx"), task}, 4, "no valid ONNX file"},
        Case{{"--base", base, path("missing.onnx")}, 3, "missing.onnx"},
        Case{{"--base", base, "x=" + task, "x=" + base}, 4, "x"}}) {
    SCOPED_TRACE(c.text);
    std::vector<std::string> arguments = {"extract-lora", "-o", path("bundle")};
    arguments.insert(arguments.end(), c.inputs.begin(), c.inputs.end());
    expect_refused(arguments, c.code, {c.text});
  }
}

TEST_F(ExtractOption, GivesTasksOfOneFileNameTheNamesOfTheirFolders) {
  add_merged({"0.q"}, 3);
  for (const char* folder : {"one", "two"}) {
    write_file(temp_ / folder / "model.onnx", read_file(temp_ / "in/task.onnx"));
  }
  const json report =
      run_json({"extract-lora", "--base", path("in/base.onnx"), path("one/model.onnx"),
                path("two/model.onnx"), "-o", path("bundle")});
  EXPECT_EQ(report.at("tasks")[0].at("name"), "one");
  EXPECT_EQ(report.at("tasks")[1].at("name"), "two");
  restore(temp_ / "bundle", {}, temp_ / "back", {});
  for (const char* folder : {"one", "two"}) {
    EXPECT_TRUE(read_file(temp_ / "back" / folder / "model.onnx") ==
                read_file(temp_ / "in/task.onnx"));
  }
}

TEST_F(ExtractOption, WritesAManifestAndAnInspectionOfTheirSchemas) {
  add_t5();
  add("merged.onnx", read_file(temp_ / "in/base.onnx"));
  extract({"summarize.onnx", "classify.onnx", "merged.onnx"}, "base.onnx", [](ExtractOptions& o) {
    o.emit = {true, true};
  });
  const fs::path docs = kDocs;
  const auto problems = [&](const char* schema, const json& value) {
    return Schema(json::parse(read_file(docs / schema))).problems(value);
  };
  using Problems = std::vector<std::string>;
  json manifest = json::parse(read_file(temp_ / "bundle/manifest.json"));
  EXPECT_EQ(manifest.at("version"), 2);
  EXPECT_EQ(problems("manifest.schema.json", manifest), Problems{});
  manifest["tasks"][0]["parameters"][0]["shape"][0] = -1;
  EXPECT_EQ(problems("manifest.schema.json", manifest).size(), 1u);
  const json inspection = run_json({"inspect", path("bundle")});
  EXPECT_EQ(problems("inspect.schema.json", inspection), Problems{});
  EXPECT_EQ(inspection.at("tasks").size(), 3u);
  EXPECT_EQ(inspection.at("predicted_bundle_bytes"), bundle_bytes());
  ASSERT_EQ(run({"inspect", path("bundle")}), 0);
  EXPECT_NE(out_.find("summarize.onnx_adapter"), std::string::npos) << out_;
  forget();
  make();
  manifest = json::parse(read_file(temp_ / "bundle/manifest.json"));
  EXPECT_EQ(manifest.at("version"), 1);
  EXPECT_EQ(problems("manifest.schema.json", manifest), Problems{});
}

}  // namespace
}  // namespace wshare::test

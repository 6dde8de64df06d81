#include "support/cli_test.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace wshare {
namespace {

using nlohmann::json;
using test::files_in;
using test::names_in;
using test::noise;
using test::raw;
using test::write_file;

using Arguments = std::vector<std::string>;
using Names = std::vector<std::string>;

class Cli : public test::CliTest {
 protected:
  void add_two() {
    add("a.onnx",
        {raw("trunk", noise(128 << 10, 1)), raw("head", noise(2000, 2)), raw("bias", "abc")});
    add("b.onnx", {raw("trunk", noise(128 << 10, 1)), raw("head", noise(3000, 3))});
  }

  // The one object that stdout must hold.
  json object() const {
    EXPECT_EQ(std::count(out_.begin(), out_.end(), '\n'), 1);
    return json::parse(out_);
  }

  static Names keys(const json& object) {
    Names result;
    for (const auto& [key, value] : object.items()) result.push_back(key);
    return result;  // sorted
  }
};

TEST_F(Cli, AnswersMistakesWithTheExitCodesOfTheContract) {
  add_two();
  add("none/readme.txt", std::string("no models here"));
  write_file(temp_ / "no.onnx", "no model");
  write_file(temp_ / "empty.onnx", "");
  struct Case {
    const char* name;
    Arguments arguments;
    int code;
    const char* text;
  };
  for (const Case& c :
       {Case{"nothing", {}, 2, "--help"},
        Case{"mistyped command", {"dedup"}, 2, "did you mean 'dedupe'"},
        Case{"mistyped verify", {"verfy", "x"}, 2, "did you mean 'verify'"},
        Case{"far from any", {"frobnicate"}, 2, "--help"},
        Case{"unknown option", {"dedupe", "x", "-o", "y", "--fast"}, 2, "--fast"},
        Case{"unknown global option", {"--fast"}, 2, "--help"},
        Case{"no models", {"dedupe", "-o", path("o")}, 2, "MODEL"},
        Case{"no output", {"dedupe", "x"}, 2, "--output"},
        Case{"option without value", {"dedupe", "x", "-o"}, 2, "--output"},
        Case{"min-bytes is text",
             {"dedupe", "x", "-o", "y", "--min-bytes", "big"},
             2,
             "--min-bytes"},
        Case{"min-bytes negative",
             {"dedupe", "x", "-o", "y", "--min-bytes", "-5"},
             2,
             "--min-bytes"},
        Case{"no threads", {"verify", "x", "-j", "0"}, 2, "--threads"},
        Case{"verify without bundle", {"verify"}, 2, "BUNDLE"},
        Case{"verify of two", {"verify", "x", "y"}, 2, "y"},
        Case{"restore without output", {"restore", "x"}, 2, "--output"},
        Case{"missing file", {"dedupe", path("in/none.onnx"), "-o", path("o")}, 3, "none.onnx"},
        Case{"no bundle", {"verify", path("in")}, 3, "'"},
        Case{"no such bundle", {"verify", path("x")}, 3, "x"},
        Case{"restore of no bundle", {"restore", path("in"), "-o", path("o")}, 3, "in"},
        Case{"no model", {"dedupe", path("no.onnx"), "-o", path("o")}, 4, "no.onnx"},
        Case{"empty model", {"dedupe", path("empty.onnx"), "-o", path("o")}, 4, "empty.onnx"},
        Case{"folder without models", {"dedupe", path("in/none"), "-o", path("o")}, 4, "none"},
        Case{"same model twice",
             {"dedupe", path("in/a.onnx"), "z=" + path("in/a.onnx"), "-o", path("o")},
             4,
             "twice"},
        Case{"output holds inputs", {"dedupe", path("in/a.onnx"), "-o", path("in")}, 3, "in"}}) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(run(c.arguments), c.code) << err_;
    EXPECT_TRUE(err_.starts_with("wshare: ")) << err_;
    EXPECT_NE(err_.find(c.text), std::string::npos) << err_;
    EXPECT_LE(std::count(err_.begin(), err_.end(), '\n'), 2) << err_;
    EXPECT_EQ(out_, "");
    EXPECT_FALSE(test::fs::exists(path("o")));
  }
}

TEST_F(Cli, ShowsHelpForEachCommand) {
  EXPECT_EQ(run({"--help"}), 0);
  EXPECT_EQ(err_, "");
  for (const char* command : {"dedupe", "diff", "restore", "verify"})
    EXPECT_NE(out_.find(command), std::string::npos);
  for (const auto& [command, options] : std::map<std::string, Names>{
           {"dedupe",
            {"--output", "--min-bytes", "--dry-run", "--force", "--explain", "--json", "--quiet",
             "--threads"}},
           {"diff",
            {"--tensors", "--top", "--no-svd", "--max-rank", "--min-bytes", "--json", "--quiet",
             "--threads"}},
           {"restore", {"--output", "--dry-run", "--force", "--json", "--quiet", "--threads"}},
           {"verify", {"--json", "--quiet", "--threads"}}}) {
    EXPECT_EQ(run({command, "--help"}), 0);
    EXPECT_EQ(err_, "");
    for (const std::string& option : options)
      EXPECT_NE(out_.find(option), std::string::npos) << command << ' ' << option;
  }
  EXPECT_EQ(run({"--version"}), 0);
  EXPECT_TRUE(out_.starts_with("wshare ")) << out_;
}

TEST_F(Cli, DedupePrintsATableAndTheSavedBytes) {
  add_two();
  ASSERT_EQ(run({"dedupe", path("in"), "-o", path("bundle")}), 0) << err_;
  for (const char* text : {"before", "own", "shared", "tensors", "saved", "128.0 KiB"}) {
    EXPECT_NE(out_.find(text), std::string::npos) << text << " in\n" << out_;
  }
  EXPECT_EQ(err_, "");
}

TEST_F(Cli, DedupeShowsFiftyOfManyModels) {
  for (int m = 100; m < 160; ++m) {
    add("copy" + std::to_string(m) + ".onnx",
        test::model_of({test::raw("w", std::string(2048, 'w'))}));
  }
  ASSERT_EQ(run({"dedupe", path("in"), "-o", path("bundle")}), 0) << err_;
  EXPECT_NE(out_.find("copy149\n... and 10 more (--json)\n"), std::string::npos) << out_;
  EXPECT_EQ(std::count(out_.begin(), out_.end(), '\n'), 54) << out_;  // head, 50, more, same, total
  EXPECT_NE(out_.find("59 models, such as 'copy101': same file as 'copy100'\n"), std::string::npos)
      << out_;
}

TEST_F(Cli, DedupeExplainNamesEachTensor) {
  add_two();
  ASSERT_EQ(run({"dedupe", path("in"), "-n", "--explain"}), 0) << err_;
  for (const char* text :
       {"trunk", "head", "also in b", "no other model has these bytes", "would be"}) {
    EXPECT_NE(out_.find(text), std::string::npos) << text << " in\n" << out_;
  }
}

TEST_F(Cli, PrintsNoControlBytesOfNames) {
  add("a.onnx", {test::raw("w\x1b[31m\nred", test::noise(2000, 1))});
  ASSERT_EQ(run({"dedupe", path("in"), "-n", "--explain"}), 0) << err_;
  EXPECT_NE(out_.find("w\\x1b[31m\\x0ared"), std::string::npos) << out_;
  EXPECT_EQ(out_.find('\x1b'), std::string::npos);
}

TEST_F(Cli, DedupePrintsTheJsonOfTheContract) {
  add_two();
  ASSERT_EQ(run({"dedupe", path("in"), "-o", path("bundle"), "--json"}), 0) << err_;
  const json report = object();
  EXPECT_EQ(keys(report),
            (Names{"bundle", "bytes_in", "bytes_out", "distinct_tensors", "left_inline",
                   "like_bytes", "models", "schema", "seconds", "tensors"}));
  EXPECT_EQ(report.at("schema"), "wshare.dedupe/1");
  EXPECT_EQ(report.at("bundle"), path("bundle"));
  EXPECT_EQ(report.at("tensors"), 4);
  EXPECT_EQ(report.at("distinct_tensors"), 3);
  ASSERT_EQ(report.at("models").size(), 2u);
  EXPECT_EQ(keys(report.at("models")[0]),
            (Names{"archived", "bytes_in", "distinct", "model_bytes", "name", "own_bytes",
                   "renames", "same_as", "saved_bytes", "shared_bytes", "source", "tensors"}));
  ASSERT_EQ(report.at("left_inline").size(), 1u);
  EXPECT_EQ(keys(report.at("left_inline")[0]),
            (Names{"bytes", "model", "reason", "scope", "tensor"}));
  EXPECT_EQ(report.at("left_inline")[0].at("tensor"), "bias");
  EXPECT_EQ(report.at("left_inline")[0].at("bytes"), 3);
  EXPECT_EQ(err_, "");
}

TEST_F(Cli, DryRunWritesNothing) {
  add_two();
  ASSERT_EQ(run({"dedupe", path("in"), "-o", path("bundle"), "--dry-run", "--json"}), 0) << err_;
  const json dry = object();
  EXPECT_EQ(names_in(temp_.path()), Names{"in"});
  ASSERT_EQ(run({"dedupe", path("in"), "-o", path("bundle"), "--json"}), 0) << err_;
  const json real = object();
  for (const char* key : {"bytes_in", "tensors", "distinct_tensors", "left_inline"})
    EXPECT_EQ(dry.at(key), real.at(key)) << key;
  ASSERT_EQ(run({"restore", path("bundle"), "-o", path("back"), "--dry-run"}), 0) << err_;
  EXPECT_EQ(names_in(temp_.path()), (Names{"bundle", "in"}));
}

TEST_F(Cli, VerifyAnswersOneWhenTheBundleIsDamaged) {
  add_two();
  ASSERT_EQ(run({"dedupe", path("in"), "-o", path("bundle")}), 0) << err_;
  ASSERT_EQ(run({"verify", path("bundle"), "--json"}), 0) << err_;
  EXPECT_EQ(object(), json::parse(R"({"schema": "wshare.verify/1", "ok": true, "findings": []})"));
  ASSERT_EQ(run({"verify", path("bundle")}), 0) << err_;
  EXPECT_NE(out_.find("bundle"), std::string::npos);
  write_file(temp_ / "bundle/a.onnx", "gone");
  EXPECT_EQ(run({"verify", path("bundle"), "--json"}), 1);
  const json report = object();
  EXPECT_EQ(report.at("ok"), false);
  ASSERT_EQ(report.at("findings").size(), 1u);
  EXPECT_EQ(keys(report.at("findings")[0]), (Names{"file", "kind", "message", "tensor"}));
  EXPECT_EQ(report.at("findings")[0].at("file"), "a.onnx");
  EXPECT_EQ(run({"verify", path("bundle")}), 1);
  EXPECT_NE(out_.find("a.onnx"), std::string::npos) << out_;
  EXPECT_EQ(err_, "");
}

TEST_F(Cli, RestoreSaysForEachFileWhetherItIsIdentical) {
  add_two();
  ASSERT_EQ(run({"dedupe", path("in"), "-o", path("bundle")}), 0) << err_;
  ASSERT_EQ(run({"restore", path("bundle"), "-o", path("back"), "--json"}), 0) << err_;
  const json report = object();
  EXPECT_EQ(report.at("schema"), "wshare.restore/1");
  ASSERT_EQ(report.at("models").size(), 2u);
  EXPECT_EQ(
      report.at("models")[0],
      json::parse(R"({"name": "a", "path": "a.onnx", "identical": true, "approximate": false})"));
  EXPECT_EQ(files_in(temp_ / "back"), files_in(temp_ / "in"));
  EXPECT_EQ(run({"restore", path("bundle"), "-o", path("back")}), 3);
  EXPECT_NE(err_.find("hint: --force"), std::string::npos) << err_;
  EXPECT_EQ(run({"restore", path("bundle"), "b", "-o", path("back"), "--force"}), 0) << err_;
  EXPECT_NE(out_.find("identical"), std::string::npos) << out_;
  EXPECT_EQ(run({"restore", path("bundle"), "zebra", "-o", path("other")}), 4);
  EXPECT_NE(err_.find("zebra"), std::string::npos) << err_;
}

}  // namespace
}  // namespace wshare

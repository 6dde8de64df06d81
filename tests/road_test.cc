// The road end to end: models in, a bundle out, the same files back.

#include <nlohmann/json.hpp>

#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "support/cli_test.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

using nlohmann::json;
using test::files_in;
using test::noise;
using test::raw;
using test::read_file;
using test::write_file;

// A model that gives each of `tensors` to an Identity node, the last one as a Constant node.
onnx::ModelProto model(const std::vector<onnx::TensorProto>& tensors) {
  onnx::ModelProto proto = test::model_of({tensors.begin(), tensors.end() - 1});
  test::add_constant(*proto.mutable_graph(), tensors.back());
  return proto;
}

class Road : public test::CliTest {
 protected:
  std::map<std::string, std::string> files(const std::string& name) const {
    return files_in(temp_ / name);
  }

  void add_two_models() {
    const std::string trunk = noise(128 << 10, 1);
    add("a.onnx",
        model({raw("trunk", trunk), raw("head", noise(2000, 2)), raw("constant", noise(5000, 3))}));
    add("b.onnx", model({raw("renamed", trunk), raw("head", noise(2000, 4)),
                         raw("constant", noise(5000, 3))}));
  }
};

TEST_F(Road, StoresEqualBytesOnceAndGivesTheFilesBack) {
  add_two_models();
  ASSERT_EQ(run({"dedupe", path("in"), "-o", path("bundle"), "--json"}), 0) << err_;
  const json report = json::parse(out_);
  EXPECT_EQ(report.at("schema"), "wshare.dedupe/1");
  EXPECT_EQ(report.at("tensors"), 6);
  EXPECT_EQ(report.at("distinct_tensors"), 4);
  EXPECT_LT(fs::file_size(path("bundle/shared.bin")), (128u << 10) + 5000 + 64);
  EXPECT_GE(fs::file_size(path("bundle/shared.bin")), (128u << 10) + 5000);
  onnx::ModelProto rewritten;
  ASSERT_TRUE(rewritten.ParseFromString(read_file(path("bundle/a.onnx"))));
  EXPECT_EQ(rewritten.graph().node_size(), 3);  // the Constant became an initializer
  EXPECT_EQ(rewritten.graph().initializer(2).name(), "constant");
  EXPECT_EQ(run({"verify", path("bundle")}), 0) << out_;
  ASSERT_EQ(run({"restore", path("bundle"), "-o", path("back")}), 0) << err_;
  EXPECT_EQ(files("back"), files("in"));
}

TEST_F(Road, WritesTheSameBytesForAnyNumberOfThreads) {
  add_two_models();
  ASSERT_EQ(run({"dedupe", path("in"), "-o", path("one"), "-j", "1"}), 0) << err_;
  ASSERT_EQ(run({"dedupe", path("in"), "-o", path("four"), "-j", "4"}), 0) << err_;
  EXPECT_EQ(files("one"), files("four"));
}

TEST_F(Road, SharesATypedFieldWithRawBytesAndRestoresBoth) {
  std::vector<float> values(1024, 0.0F);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) * 0.5F;
  onnx::TensorProto typed = raw("w", "", onnx::TensorProto::FLOAT, {1024});
  onnx::TensorProto of_bytes = typed;
  typed.clear_raw_data();
  for (const float value : values) typed.add_float_data(value);
  of_bytes.set_raw_data(values.data(), values.size() * sizeof(float));
  onnx::TensorProto whole = raw("n", "", onnx::TensorProto::INT32, {512});
  whole.clear_raw_data();
  for (int i = 0; i < 512; ++i) whole.add_int32_data(i - 256);
  add("typed.onnx", model({typed, whole, raw("c", "x")}));
  add("raw.onnx", model({of_bytes, raw("c", "x")}));
  ASSERT_EQ(run({"dedupe", path("in"), "-o", path("bundle"), "--json"}), 0) << err_;
  const json report = json::parse(out_);
  EXPECT_EQ(report.at("tensors"), 3);
  EXPECT_EQ(report.at("distinct_tensors"), 2);
  ASSERT_EQ(run({"restore", path("bundle"), "-o", path("back")}), 0) << err_;
  EXPECT_EQ(files("back"), files("in"));
}

TEST_F(Road, RestoresExternalFilesWithWhatLiesBetweenTensors) {
  std::string data = noise(100, 1) + std::string(200, '\0') + noise(4000, 2) + noise(77, 3);
  write_file(temp_ / "in/weights/all.data", data);
  const onnx::TensorProto external = test::external(
      "w", 4000, {{"location", "weights/all.data"}, {"offset", "300"}, {"length", "4000"}});
  add("m.onnx", model({external, raw("c", "x")}));
  ASSERT_EQ(run({"dedupe", path("in/m.onnx"), "-o", path("bundle")}), 0) << err_;
  ASSERT_EQ(run({"verify", path("bundle")}), 0) << out_;
  ASSERT_EQ(run({"restore", path("bundle"), "-o", path("back"), "--json"}), 0) << err_;
  EXPECT_EQ(json::parse(out_).at("models").at(0).at("identical"), true);
  EXPECT_EQ(files("back"), files("in"));
}

TEST_F(Road, FindsEverySingleBitChangeOfABundle) {
  add("a.onnx",
      model({raw("trunk", noise(300, 1)), raw("head", noise(100, 2)), raw("c", noise(70, 3))}));
  add("b.onnx",
      model({raw("trunk", noise(300, 1)), raw("head", noise(90, 4)), raw("c", noise(70, 3))}));
  ASSERT_EQ(run({"dedupe", path("in"), "-o", path("bundle"), "--min-bytes", "64"}), 0) << err_;
  ASSERT_EQ(run({"verify", path("bundle")}), 0) << out_;
  for (const auto& [name, bytes] : files("bundle")) {
    for (size_t at = 0; at < bytes.size(); ++at) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(changed[at] ^ (1 << (at % 8)));
      write_file(temp_ / ("bundle/" + name), changed);
      ASSERT_NE(run({"verify", path("bundle")}), 0) << name << " byte " << at;
    }
    write_file(temp_ / ("bundle/" + name), bytes);
  }
  EXPECT_EQ(run({"verify", path("bundle")}), 0) << out_;
}

TEST_F(Road, RefusesTruncatedModelsWithoutACrashAndLeavesNothing) {
  const std::string whole =
      model({raw("w", noise(300, 1)), raw("c", noise(70, 3))}).SerializeAsString();
  size_t refused = 0;
  for (size_t size = 0; size < whole.size(); ++size) {
    write_file(temp_ / "in/cut.onnx", whole.substr(0, size));
    const int code = run({"dedupe", path("in/cut.onnx"), "-o", path("bundle")});
    ASSERT_TRUE(code == 0 || code == 4) << size << ": " << err_;
    refused += code == 4 ? 1 : 0;
    fs::remove_all(temp_ / "bundle");
  }
  EXPECT_GT(refused,
            whole.size() * 9 / 10);  // a cut between two fields of the model is a valid message
  EXPECT_EQ(std::distance(fs::directory_iterator(temp_.path()), {}), 1);  // only "in"
}

TEST_F(Road, RefusesAnExistingBundleUnlessForced) {
  add_two_models();
  ASSERT_EQ(run({"dedupe", path("in"), "-o", path("bundle")}), 0) << err_;
  EXPECT_EQ(run({"dedupe", path("in/a.onnx"), "-o", path("bundle")}), 3);
  EXPECT_NE(err_.find("hint: --force"), std::string::npos);
  EXPECT_EQ(run({"dedupe", path("in/a.onnx"), "-o", path("bundle"), "--force"}), 0) << err_;
  EXPECT_EQ(load_manifest(path("bundle")).models.size(), 1u);
  write_file(temp_ / "bundle/tokenizer.json", "{}");
  EXPECT_EQ(run({"dedupe", path("in"), "-o", path("bundle"), "--force"}), 3);  // not ours to delete
  EXPECT_TRUE(fs::exists(path("bundle/tokenizer.json")));
}

TEST_F(Road, AnswersBadInputWithOneClearErrorAndTheExitCodeOfTheContract) {
  add_two_models();
  write_file(temp_ / "in/no.onnx", "this is no model");
  struct Case {
    const char* name;
    std::vector<std::string> arguments;
    int code;
    const char* text;
  };
  for (const Case& c :
       {Case{"mistyped command", {"dedup"}, 2, "did you mean 'dedupe'"},
        Case{"unknown option", {"dedupe", "x", "-o", "y", "--fast"}, 2, "--fast"},
        Case{"no output", {"dedupe", "x"}, 2, "--output"},
        Case{"missing file", {"dedupe", path("in/none.onnx"), "-o", path("o")}, 3, "no such file"},
        Case{"no model",
             {"dedupe", path("in/no.onnx"), "-o", path("o")},
             4,
             "is a text, no ONNX model"},
        Case{"same model twice",
             {"dedupe", path("in/a.onnx"), "z=" + path("in/a.onnx"), "-o", path("o")},
             4,
             "is given twice"},
        Case{"output holds inputs",
             {"dedupe", path("in/a.onnx"), "-o", path("in")},
             3,
             "holds the input"},
        Case{"no bundle", {"verify", path("in")}, 3, "is no bundle"}}) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(run(c.arguments), c.code);
    EXPECT_NE(err_.find(c.text), std::string::npos) << err_;
    EXPECT_EQ(out_, "");
    EXPECT_FALSE(fs::exists(path("o")));
  }
}

// Debian's libonnx-testdata, installed by tools/setup.sh: models that nobody here made.
TEST_F(Road, TakesTheModelsOfTheOnnxProject) {
  const fs::path root = "/usr/share/libonnx-testdata/data/node";
  if (!fs::exists(root)) GTEST_SKIP() << "libonnx-testdata is not installed";
  std::vector<std::string> arguments = {"dedupe", "--min-bytes", "1", "-o", path("bundle")};
  std::map<std::string, std::string> originals;
  for (const fs::directory_entry& entry : fs::directory_iterator(root)) {
    const fs::path file = entry.path() / "model.onnx";
    if (!fs::exists(file)) continue;
    arguments.push_back(file.string());
    originals[entry.path().filename().string() + "/model.onnx"] = read_file(file);
  }
  ASSERT_GT(originals.size(), 500u);
  ASSERT_EQ(run(arguments), 0) << err_;
  EXPECT_EQ(run({"verify", path("bundle")}), 0) << out_;
  ASSERT_EQ(run({"restore", path("bundle"), "-o", path("back")}), 0) << err_;
  EXPECT_EQ(files("back"), originals);
}

}  // namespace
}  // namespace wshare

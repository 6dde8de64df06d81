// The road end to end: models in, a bundle out, the same files back.

#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli.h"
#include "format/manifest.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void write_file(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

// `size` bytes that depend on `seed`.
std::string noise(size_t size, uint32_t seed) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>((seed = seed * 1664525 + 1013904223) >> 24);
  return bytes;
}

onnx::TensorProto tensor(const std::string& name, const std::string& raw) {
  onnx::TensorProto proto;
  proto.set_name(name);
  proto.set_data_type(onnx::TensorProto::UINT8);
  proto.add_dims(static_cast<int64_t>(raw.size()));
  proto.set_raw_data(raw);
  return proto;
}

// A model that gives each of `tensors` to an Identity node, the last one as a Constant node.
onnx::ModelProto model(const std::vector<onnx::TensorProto>& tensors) {
  onnx::ModelProto proto;
  proto.set_ir_version(8);
  proto.add_opset_import()->set_version(17);
  onnx::GraphProto& graph = *proto.mutable_graph();
  graph.set_name("g");
  for (const onnx::TensorProto& each : tensors) {
    if (&each == &tensors.back()) {
      onnx::NodeProto& constant = *graph.add_node();
      constant.set_op_type("Constant");
      constant.add_output(each.name());
      onnx::AttributeProto& value = *constant.add_attribute();
      value.set_name("value");
      value.set_type(onnx::AttributeProto::TENSOR);
      *value.mutable_t() = each;
    } else {
      *graph.add_initializer() = each;
    }
    onnx::NodeProto& node = *graph.add_node();
    node.set_op_type("Identity");
    node.add_input(each.name());
    node.add_output(each.name() + "_out");
    graph.add_output()->set_name(each.name() + "_out");
  }
  return proto;
}

class Road : public testing::Test {
 protected:
  Road() {
    folder_ =
        fs::temp_directory_path() / ("wshare-road-" + std::to_string(getpid()) + "-" +
                                     testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "in");
  }
  ~Road() override { fs::remove_all(folder_); }

  void add(const std::string& name, const onnx::ModelProto& proto) {
    write_file(folder_ / "in" / name, proto.SerializeAsString());
  }

  int run(std::vector<std::string> arguments) {
    out_.str("");
    err_.str("");
    return run_cli(arguments, out_, err_);
  }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  std::map<std::string, std::string> files(const std::string& name) const {
    std::map<std::string, std::string> result;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder_ / name)) {
      if (entry.is_regular_file())
        result[fs::relative(entry.path(), folder_ / name).string()] = read_file(entry.path());
    }
    return result;
  }

  void add_two_models() {
    const std::string trunk = noise(128 << 10, 1);
    add("a.onnx", model({tensor("trunk", trunk), tensor("head", noise(2000, 2)),
                         tensor("constant", noise(5000, 3))}));
    add("b.onnx", model({tensor("renamed", trunk), tensor("head", noise(2000, 4)),
                         tensor("constant", noise(5000, 3))}));
  }

  fs::path folder_;
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(Road, StoresEqualBytesOnceAndGivesTheFilesBack) {
  add_two_models();
  ASSERT_EQ(run({"dedupe", path("in"), "-o", path("bundle"), "--json"}), 0) << err_.str();
  const auto json = nlohmann::json::parse(out_.str());
  EXPECT_EQ(json.at("schema"), "wshare.dedupe/1");
  EXPECT_EQ(json.at("tensors"), 6);
  EXPECT_EQ(json.at("distinct_tensors"), 4);
  EXPECT_LT(fs::file_size(path("bundle/shared.bin")), (128u << 10) + 5000 + 64);
  EXPECT_GE(fs::file_size(path("bundle/shared.bin")), (128u << 10) + 5000);
  onnx::ModelProto rewritten;
  ASSERT_TRUE(rewritten.ParseFromString(read_file(path("bundle/a.onnx"))));
  EXPECT_EQ(rewritten.graph().node_size(), 3);  // the Constant became an initializer
  EXPECT_EQ(rewritten.graph().initializer(2).name(), "constant");
  EXPECT_EQ(run({"verify", path("bundle")}), 0) << out_.str();
  ASSERT_EQ(run({"restore", path("bundle"), "-o", path("back")}), 0) << err_.str();
  EXPECT_EQ(files("back"), files("in"));
}

TEST_F(Road, WritesTheSameBytesForAnyNumberOfThreads) {
  add_two_models();
  ASSERT_EQ(run({"dedupe", path("in"), "-o", path("one"), "-j", "1"}), 0) << err_.str();
  ASSERT_EQ(run({"dedupe", path("in"), "-o", path("four"), "-j", "4"}), 0) << err_.str();
  EXPECT_EQ(files("one"), files("four"));
}

TEST_F(Road, SharesATypedFieldWithRawBytesAndRestoresBoth) {
  std::vector<float> values(1024, 0.0F);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) * 0.5F;
  onnx::TensorProto typed = tensor("w", "");
  typed.clear_raw_data();
  typed.set_data_type(onnx::TensorProto::FLOAT);
  typed.set_dims(0, 1024);
  onnx::TensorProto raw = typed;
  for (const float value : values) typed.add_float_data(value);
  raw.set_raw_data(values.data(), values.size() * sizeof(float));
  onnx::TensorProto whole = tensor("n", "");
  whole.clear_raw_data();
  whole.set_data_type(onnx::TensorProto::INT32);
  whole.set_dims(0, 512);
  for (int i = 0; i < 512; ++i) whole.add_int32_data(i - 256);
  add("typed.onnx", model({typed, whole, tensor("c", "x")}));
  add("raw.onnx", model({raw, tensor("c", "x")}));
  ASSERT_EQ(run({"dedupe", path("in"), "-o", path("bundle"), "--json"}), 0) << err_.str();
  const auto json = nlohmann::json::parse(out_.str());
  EXPECT_EQ(json.at("tensors"), 3);
  EXPECT_EQ(json.at("distinct_tensors"), 2);
  ASSERT_EQ(run({"restore", path("bundle"), "-o", path("back")}), 0) << err_.str();
  EXPECT_EQ(files("back"), files("in"));
}

TEST_F(Road, RestoresExternalFilesWithWhatLiesBetweenTensors) {
  std::string data = noise(100, 1) + std::string(200, '\0') + noise(4000, 2) + noise(77, 3);
  fs::create_directories(folder_ / "in" / "weights");
  write_file(folder_ / "in" / "weights" / "all.data", data);
  onnx::TensorProto external = tensor("w", "");
  external.clear_raw_data();
  external.set_dims(0, 4000);
  external.set_data_location(onnx::TensorProto::EXTERNAL);
  for (const auto& [key, value] :
       {std::pair("location", "weights/all.data"), {"offset", "300"}, {"length", "4000"}}) {
    onnx::StringStringEntryProto& entry = *external.add_external_data();
    entry.set_key(key);
    entry.set_value(value);
  }
  add("m.onnx", model({external, tensor("c", "x")}));
  ASSERT_EQ(run({"dedupe", path("in/m.onnx"), "-o", path("bundle")}), 0) << err_.str();
  ASSERT_EQ(run({"verify", path("bundle")}), 0) << out_.str();
  ASSERT_EQ(run({"restore", path("bundle"), "-o", path("back"), "--json"}), 0) << err_.str();
  EXPECT_EQ(nlohmann::json::parse(out_.str()).at("models").at(0).at("identical"), true);
  EXPECT_EQ(files("back"), files("in"));
}

TEST_F(Road, FindsEverySingleBitChangeOfABundle) {
  add("a.onnx", model({tensor("trunk", noise(300, 1)), tensor("head", noise(100, 2)),
                       tensor("c", noise(70, 3))}));
  add("b.onnx", model({tensor("trunk", noise(300, 1)), tensor("head", noise(90, 4)),
                       tensor("c", noise(70, 3))}));
  ASSERT_EQ(run({"dedupe", path("in"), "-o", path("bundle"), "--min-bytes", "64"}), 0)
      << err_.str();
  ASSERT_EQ(run({"verify", path("bundle")}), 0) << out_.str();
  for (const auto& [name, bytes] : files("bundle")) {
    for (size_t at = 0; at < bytes.size(); ++at) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(changed[at] ^ (1 << (at % 8)));
      write_file(folder_ / "bundle" / name, changed);
      ASSERT_NE(run({"verify", path("bundle")}), 0) << name << " byte " << at;
    }
    write_file(folder_ / "bundle" / name, bytes);
  }
  EXPECT_EQ(run({"verify", path("bundle")}), 0) << out_.str();
}

TEST_F(Road, RefusesTruncatedModelsWithoutACrashAndLeavesNothing) {
  const std::string whole =
      model({tensor("w", noise(300, 1)), tensor("c", noise(70, 3))}).SerializeAsString();
  size_t refused = 0;
  for (size_t size = 0; size < whole.size(); ++size) {
    write_file(folder_ / "in" / "cut.onnx", whole.substr(0, size));
    const int code = run({"dedupe", path("in/cut.onnx"), "-o", path("bundle")});
    ASSERT_TRUE(code == 0 || code == 4) << size << ": " << err_.str();
    refused += code == 4 ? 1 : 0;
    fs::remove_all(folder_ / "bundle");
  }
  EXPECT_GT(refused,
            whole.size() * 9 / 10);  // a cut between two fields of the model is a valid message
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1);  // only "in"
}

TEST_F(Road, RefusesAnExistingBundleUnlessForced) {
  add_two_models();
  ASSERT_EQ(run({"dedupe", path("in"), "-o", path("bundle")}), 0) << err_.str();
  EXPECT_EQ(run({"dedupe", path("in/a.onnx"), "-o", path("bundle")}), 3);
  EXPECT_NE(err_.str().find("hint: --force"), std::string::npos);
  EXPECT_EQ(run({"dedupe", path("in/a.onnx"), "-o", path("bundle"), "--force"}), 0) << err_.str();
  EXPECT_EQ(load_manifest(path("bundle")).models.size(), 1u);
  write_file(folder_ / "bundle" / "tokenizer.json", "{}");
  EXPECT_EQ(run({"dedupe", path("in"), "-o", path("bundle"), "--force"}), 3);  // not ours to delete
  EXPECT_TRUE(fs::exists(path("bundle/tokenizer.json")));
}

TEST_F(Road, AnswersBadInputWithOneClearErrorAndTheExitCodeOfTheContract) {
  add_two_models();
  write_file(folder_ / "in" / "no.onnx", "this is no model");
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
        Case{"no model", {"dedupe", path("in/no.onnx"), "-o", path("o")}, 4, "no valid ONNX file"},
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
    EXPECT_NE(err_.str().find(c.text), std::string::npos) << err_.str();
    EXPECT_EQ(out_.str(), "");
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
  ASSERT_EQ(run(arguments), 0) << err_.str();
  EXPECT_EQ(run({"verify", path("bundle")}), 0) << out_.str();
  ASSERT_EQ(run({"restore", path("bundle"), "-o", path("back")}), 0) << err_.str();
  EXPECT_EQ(files("back"), originals);
}

}  // namespace
}  // namespace wshare

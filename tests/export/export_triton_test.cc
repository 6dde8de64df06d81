// Model repositories of Triton: a config from the model itself, links that lead into the bundle.

#include <nlohmann/json.hpp>

#include "export/triton_config.h"
#include "format/manifest/text.h"
#include "support/cli_test.h"
#include "support/places.h"
#include "wshare/export.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

using test::names_in;
using test::noise;
using test::raw;
using test::read_file;
using test::write_file;
using Names = std::vector<std::string>;

void add_value(onnx::ValueInfoProto& value, const std::string& name, int32_t type,
               const std::vector<int64_t>& dims) {
  value.set_name(name);
  auto* tensor = value.mutable_type()->mutable_tensor_type();
  tensor->set_elem_type(type);
  tensor->mutable_shape();
  for (const int64_t dim : dims) {
    auto* each = tensor->mutable_shape()->add_dim();
    dim < 0 ? each->set_dim_param("n") : each->set_dim_value(dim);
  }
}

TEST(TritonConfig, HasAllInputsAndOutputsOfTheModel) {
  onnx::GraphProto graph;
  add_value(*graph.add_input(), "ids", onnx::TensorProto::INT64, {-1, 7});
  add_value(*graph.add_input(), "a \"b\"\n", onnx::TensorProto::FLOAT16, {});
  add_value(*graph.add_input(), "w", onnx::TensorProto::FLOAT, {3});
  add_value(*graph.add_input(), "factor", onnx::TensorProto::FLOAT, {3});
  graph.add_initializer()->set_name("w");
  add_value(*graph.add_output(), "w", onnx::TensorProto::FLOAT, {3});
  TritonConfig config{"m", "wshare"};
  config.instances = 2;
  config.parameters = {{"model", "base"}};
  config.not_inputs = {"factor"};
  EXPECT_EQ(to_pbtxt(config, graph), R"(name: "m"
backend: "wshare"
max_batch_size: 0
input [
  {
    name: "ids"
    data_type: TYPE_INT64
    dims: [ -1, 7 ]
  },
  {
    name: "a \"b\"\012"
    data_type: TYPE_FP16
    dims: [ 1 ]
    reshape { shape: [ ] }
  }
]
output [
  {
    name: "w"
    data_type: TYPE_FP32
    dims: [ 3 ]
  }
]
instance_group [ { kind: KIND_CPU count: 2 } ]
parameters { key: "model" value: { string_value: "base" } }
)");
}

TEST(TritonConfig, RefusesWhatTritonDoesNotKnow) {
  const auto refused = [](const std::function<void(onnx::ValueInfoProto&)>& change) {
    onnx::GraphProto graph;
    add_value(*graph.add_output(), "y", onnx::TensorProto::FLOAT, {3});
    change(*graph.mutable_output(0));
    return test::code_of([&] { to_pbtxt({"m", "wshare"}, graph); });
  };
  EXPECT_EQ(refused([](auto&) {}), 0);
  EXPECT_EQ(
      refused([](auto& value) {
        value.mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto::COMPLEX64);
      }),
      5);
  EXPECT_EQ(
      refused([](auto& value) { value.mutable_type()->mutable_tensor_type()->clear_shape(); }), 5);
  EXPECT_EQ(refused([](auto& value) { value.mutable_type()->mutable_sequence_type(); }), 5);
}

class ExportTriton : public test::CliTest {
 protected:
  void SetUp() override {
    ASSERT_EQ(run({"dedupe", std::string(test::kTestdata) + "/t5-seq2seq", "-o", path("bundle")}),
              0)
        << err_;
  }

  int send(Names more) {
    more.insert(more.begin(), {"export", "triton", path("bundle"), path("repository")});
    return run(more);
  }

  // Each model's .onnx is the bundle's.
  void expect_leads_to_the_bundle() {
    EXPECT_EQ(names_in(temp_ / "repository"), (Names{"decoder", "decoder_with_past", "encoder"}));
    for (const std::string& name : names_in(temp_ / "repository")) {
      const fs::path version = temp_ / ("repository/" + name + "/1");
      EXPECT_TRUE(fs::equivalent(version / (name + ".onnx"), temp_ / ("bundle/" + name + ".onnx")));
      EXPECT_TRUE(fs::equivalent(version / "shared.bin", temp_ / "bundle/shared.bin"));
    }
  }
};

TEST_F(ExportTriton, LeadsToTheFilesOfTheBundle) {
  ASSERT_EQ(send({}), 0) << err_;
  expect_leads_to_the_bundle();
  EXPECT_EQ(names_in(temp_ / "repository/encoder/1"),
            (Names{"encoder.bin", "encoder.onnx", "shared.bin"}));
  EXPECT_EQ(fs::read_symlink(temp_ / "repository/encoder/1/shared.bin"),
            "../../../bundle/shared.bin");
  const std::string config = read_file(temp_ / "repository/encoder/config.pbtxt");
  EXPECT_NE(config.find("name: \"input_ids\"\n    data_type: TYPE_INT64\n    dims: [ -1, -1 ]"),
            std::string::npos)
      << config;
  EXPECT_NE(config.find("backend: \"wshare\""), std::string::npos);
}

TEST_F(ExportTriton, LeadsToTheFolderOrHasHardLinks) {
  ASSERT_EQ(send({"--links", "folder"}), 0) << err_;
  expect_leads_to_the_bundle();
  EXPECT_EQ(fs::read_symlink(temp_ / "repository/encoder/1"), "../../bundle");
  fs::remove_all(temp_ / "repository");
  ASSERT_EQ(send({"--links", "hard"}), 0) << err_;
  expect_leads_to_the_bundle();
  EXPECT_EQ(names_in(temp_ / "repository/encoder/1"),
            (Names{"encoder.bin", "encoder.onnx", "manifest.json", "shared.bin"}));
  EXPECT_FALSE(fs::is_symlink(temp_ / "repository/encoder/1/shared.bin"));
}

TEST_F(ExportTriton, NamesTheFileForTheServersOwnRuntime) {
  ASSERT_EQ(send({"--backend", "onnxruntime", "--instances", "3", "--json"}), 0) << err_;
  const auto json = nlohmann::json::parse(out_);
  EXPECT_EQ(json["repository"], path("repository"));
  ASSERT_EQ(json["models"].size(), 3u);
  EXPECT_EQ(json["models"][2]["name"], "encoder");
  EXPECT_EQ(json["models"][2]["model_file"], "encoder.onnx");
  const std::string config = read_file(temp_ / "repository/encoder/config.pbtxt");
  EXPECT_NE(config.find("default_model_filename: \"encoder.onnx\""), std::string::npos) << config;
  EXPECT_NE(config.find("count: 3"), std::string::npos) << config;
}

TEST_F(ExportTriton, MakesAModelOfEachTask) {
  const std::string tasks = std::string(test::kTestdata) + "/t5-lora";
  ASSERT_EQ(run({"extract-lora", "--base", tasks + "/base.onnx", tasks + "/summarize.onnx",
                 tasks + "/translate.onnx", "-o", path("bundle"), "--force"}),
            0)
      << err_;
  ASSERT_EQ(send({}), 0) << err_;
  EXPECT_EQ(names_in(temp_ / "repository"), (Names{"base", "summarize", "translate"}));
  const std::string config = read_file(temp_ / "repository/summarize/config.pbtxt");
  EXPECT_NE(config.find("key: \"model\" value: { string_value: \"base\" }"), std::string::npos);
  EXPECT_NE(config.find("key: \"task\" value: { string_value: \"summarize\" }"), std::string::npos);
  EXPECT_EQ(config.find("lora"), std::string::npos) << config;  // what the adapter gives
  fs::remove_all(temp_ / "repository");
  ASSERT_EQ(send({"--backend", "onnxruntime"}), 0) << err_;
  EXPECT_EQ(names_in(temp_ / "repository"), (Names{"base"}));
  EXPECT_NE(out_.find("left out: 2 tasks"), std::string::npos) << out_;
}

TEST_F(ExportTriton, GoesBesideModelsThatAreThereButOverNone) {
  write_file(temp_ / "repository/other/config.pbtxt", "name: \"other\"\n");
  ASSERT_EQ(send({"-n"}), 0) << err_;
  EXPECT_EQ(names_in(temp_ / "repository"), Names{"other"});
  ASSERT_EQ(send({}), 0) << err_;
  EXPECT_EQ(names_in(temp_ / "repository").size(), 4u);
  fs::remove_all(temp_ / "repository/decoder");
  expect_refused({"export", "triton", path("bundle"), path("repository")}, 3,
                 {"decoder_with_past'", "exists already"});
}

TEST_F(ExportTriton, RefusesOptionsOfOtherKinds) {
  const std::string bundle = path("bundle"), to = path("repository");
  expect_refused({"export", "triton", bundle, to, "--as", "car"}, 2, {"--as"});
  expect_refused({"export", "triton", bundle, to, "--links", "copy"}, 2, {"--links", "'copy'"});
  expect_refused({"export", "oci", bundle, to, "--packed"}, 2, {"--packed"});
  expect_refused({"export", "triton", bundle, to, "--packed"}, 4,
                 {"'decoder'", "no pack", "hint:"});
  expect_refused({"export", "triton", bundle, path("bundle/r")}, 3, {"lies in it"});
}

}  // namespace
}  // namespace wshare

// Folders for hubs: names that their clients look for, files of the bundle, the list for browsers.

#include <onnx/onnx_pb.h>

#include <nlohmann/json.hpp>

#include "export/hf_names.h"
#include "format/manifest/text.h"
#include "support/cli_test.h"
#include "support/places.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

using test::names_in;
using test::noise;
using test::raw;
using test::read_file;
using test::write_file;
using Names = std::vector<std::string>;

TEST(HubNames, AreThoseThatClientsLookFor) {
  struct Case {
    const char* what;
    std::vector<HubModel> models;
    Names names;
  };
  for (const Case& c : std::vector<Case>{
           {"the only model", {{"minilm", ""}}, {"model"}},
           {"its weights say the dtype", {{"minilm", "_fp16"}}, {"model_fp16"}},
           {"variants",
            {{"minilm", ""}, {"minilm-fp16", ""}, {"minilm_q8", ""}},
            {"model", "model_fp16", "model_quantized"}},
           {"a name says more than the weights", {{"model_q4", "_quantized"}}, {"model_q4"}},
           {"a whole name stays", {{"model", "_fp16"}}, {"model"}},
           {"short names",
            {{"encoder", ""}, {"decoder-with-past", ""}, {"decoder_merged", "_fp16"}},
            {"encoder_model", "decoder_with_past_model", "decoder_model_merged_fp16"}},
           {"a part of a name is no dtype",
            {{"q4", ""}, {"my_fp16_net", ""}},
            {"q4", "my_fp16_net"}},
           {"several others keep their names",
            {{"task0", ""}, {"task1", "_q4f16"}},
            {"task0", "task1_q4f16"}},
           {"beside a known one", {{"vision_encoder", ""}, {"x/y", ""}}, {"vision_encoder", "x_y"}},
       }) {
    SCOPED_TRACE(c.what);
    EXPECT_EQ(hub_names(c.models), c.names);
  }
}

TEST(HubNames, SayHowWeightsAreStored) {
  const auto suffix = [](const char* op, int64_t bits, int32_t dtype) {
    onnx::ModelProto model;
    onnx::NodeProto& node = *model.mutable_graph()->add_node();
    node.set_op_type(op);
    if (bits > 0) {
      node.add_attribute()->set_name("bits");
      node.mutable_attribute(0)->set_i(bits);
    }
    ModelRecord record;
    record.tensors.emplace_back();
    record.tensors[0].dtype = dtype;
    record.tensors[0].extent.size = 8;
    return dtype_suffix(model, record);
  };
  EXPECT_EQ(suffix("MatMul", 0, onnx::TensorProto::FLOAT), "");
  EXPECT_EQ(suffix("MatMul", 0, onnx::TensorProto::FLOAT16), "_fp16");
  EXPECT_EQ(suffix("DequantizeLinear", 0, onnx::TensorProto::INT8), "_quantized");
  EXPECT_EQ(suffix("MatMulNBits", 0, onnx::TensorProto::UINT8), "_q4");
  EXPECT_EQ(suffix("MatMulNBits", 8, onnx::TensorProto::UINT8), "_quantized");
  EXPECT_EQ(suffix("MatMulNBits", 4, onnx::TensorProto::FLOAT16), "_q4f16");
  EXPECT_EQ(suffix("MatMulNBits", 3, onnx::TensorProto::FLOAT), "");
  EXPECT_EQ(suffix("MatMulBnb4", 0, onnx::TensorProto::UINT8), "_bnb4");
}

class ExportHf : public test::CliTest {
 protected:
  void SetUp() override {
    ASSERT_EQ(run({"dedupe", std::string(test::kTestdata) + "/t5-seq2seq", "-o", path("bundle")}),
              0)
        << err_;
  }

  int send(Names more) {
    more.insert(more.begin(), {"export", "hf", path("bundle"), path("repo")});
    return run(more);
  }

  nlohmann::json list() const {
    return nlohmann::json::parse(read_file(temp_ / "repo/onnx/external_data.json"));
  }
};

TEST_F(ExportHf, HasTheBundlesFilesUnderNamesOfTheHub) {
  ASSERT_EQ(send({}), 0) << err_;
  EXPECT_EQ(names_in(temp_ / "repo/onnx"),
            (Names{"decoder.bin", "decoder_model.onnx", "decoder_with_past_model.onnx",
                   "encoder.bin", "encoder_model.onnx", "external_data.json", "shared.bin"}));
  EXPECT_TRUE(
      fs::equivalent(temp_ / "repo/onnx/encoder_model.onnx", temp_ / "bundle/encoder.onnx"));
  EXPECT_TRUE(fs::equivalent(temp_ / "repo/onnx/shared.bin", temp_ / "bundle/shared.bin"));
  const nlohmann::json list = this->list();
  EXPECT_EQ(list["externalData"].size(), 3u) << list;
  EXPECT_EQ(list["models"]["encoder_model.onnx"],
            nlohmann::json::parse(R"([{"path": "encoder.bin", "data": "onnx/encoder.bin"},
                                      {"path": "shared.bin", "data": "onnx/shared.bin"}])"));
  EXPECT_FALSE(list.contains("use_external_data_format"));
  EXPECT_NE(out_.find(R"("externalData": [{"path":"decoder.bin")"), std::string::npos) << out_;
}

TEST_F(ExportHf, GivesEachModelNamesOfItsOwn) {
  ASSERT_EQ(send({"--data", "own"}), 0) << err_;
  const std::string file = (temp_ / "repo/onnx/encoder_model.onnx").string();
  onnx::ModelProto model;
  ASSERT_TRUE(model.ParseFromString(read_file(file)));
  std::set<std::string> locations;
  for (const onnx::TensorProto& tensor : model.graph().initializer()) {
    for (const auto& entry : tensor.external_data())
      if (entry.key() == "location") locations.insert(entry.value());
  }
  EXPECT_EQ(locations,
            (std::set<std::string>{"encoder_model.onnx_data", "encoder_model.onnx_data_1"}));
  // One file on the disk, whatever its names.
  const Manifest manifest = load_manifest(temp_ / "bundle");
  EXPECT_TRUE(fs::equivalent(file + "_data", temp_ / "bundle" / manifest.blobs[0].file));
  EXPECT_TRUE(fs::equivalent(temp_ / "repo/onnx/decoder_model.onnx_data", file + "_data"));
  EXPECT_EQ(list()["use_external_data_format"]["encoder_model.onnx"], 2);
  EXPECT_NE(out_.find("use_external_data_format"), std::string::npos) << out_;
}

TEST_F(ExportHf, GoesIntoAFolderOfTheUsersOverNothing) {
  write_file(temp_ / "repo/config.json", "{}");
  ASSERT_EQ(send({"-n", "--json"}), 0) << err_;
  EXPECT_EQ(names_in(temp_ / "repo"), Names{"config.json"});
  const auto tried = nlohmann::json::parse(out_);
  ASSERT_EQ(send({"--json"}), 0) << err_;
  EXPECT_EQ(names_in(temp_ / "repo"), (Names{"config.json", "onnx"}));
  auto done = nlohmann::json::parse(out_);
  done["seconds"] = tried["seconds"];
  EXPECT_EQ(done, tried);
  EXPECT_EQ(done["models"][0]["file"], "decoder_model.onnx");
  EXPECT_GT(done["linked_bytes"], 0);
  expect_refused({"export", "hf", path("bundle"), path("repo")}, 3,
                 {"onnx': exists already", "hint:"});
}

TEST_F(ExportHf, CopiesWhereAskedAndTakesOneModelUnderItsName) {
  ASSERT_EQ(send({"--links", "copy", "--model", "encoder", "--name", "encoder=model_fp16"}), 0)
      << err_;
  EXPECT_EQ(names_in(temp_ / "repo/onnx"),
            (Names{"encoder.bin", "external_data.json", "model_fp16.onnx", "shared.bin"}));
  EXPECT_EQ(fs::hard_link_count(temp_ / "repo/onnx/shared.bin"), 1u);
  EXPECT_EQ(read_file(temp_ / "repo/onnx/shared.bin"), read_file(temp_ / "bundle/shared.bin"));
}

TEST_F(ExportHf, LeavesTasksOut) {
  const std::string tasks = std::string(test::kTestdata) + "/t5-lora";
  ASSERT_EQ(run({"extract-lora", "--base", tasks + "/base.onnx", tasks + "/summarize.onnx", "-o",
                 path("bundle"), "--force"}),
            0)
      << err_;
  ASSERT_EQ(send({}), 0) << err_;
  EXPECT_TRUE(fs::exists(temp_ / "repo/onnx/model.onnx"));
  EXPECT_NE(out_.find("left out: 1 task"), std::string::npos) << out_;
}

TEST_F(ExportHf, RefusesWhatCannotBe) {
  const Names command{"export", "hf", path("bundle"), path("repo")};
  const auto refused = [&](const Names& more, int code, const Names& texts) {
    Names all = command;
    all.insert(all.end(), more.begin(), more.end());
    expect_refused(all, code, texts);
  };
  refused({"--name", "encoder=decoder_model"}, 4,
          {"'decoder' and 'encoder'", "'decoder_model.onnx'", "hint: --name"});
  refused({"--name", "encoder=../x"}, 4, {"'../x.onnx'", "no name for a file"});
  refused({"--name", "other=x"}, 4, {"'other'"});
  refused({"--name", "encoder"}, 2, {"--name", "MODEL=FILE"});
  refused({"--model", "other"}, 4, {"'other'"});
  refused({"--packed"}, 2, {"--packed", "export hf"});
  refused({"--links", "files"}, 2, {"--links", "'files'"});
  expect_refused({"export", "hf", path("bundle"), path("bundle/x")}, 3, {"lies in it"});
  expect_refused({"export", "hf", path("none"), path("repo")}, 3, {"none"});
  write_file(temp_ / "repo", "");
  refused({}, 3, {"is no folder"});
}

TEST_F(ExportHf, LeavesNothingWhereAFileIsMissing) {
  fs::remove(temp_ / "bundle/shared.bin");
  expect_refused({"export", "hf", path("bundle"), path("repo")}, 3, {"shared.bin"});
}

}  // namespace
}  // namespace wshare

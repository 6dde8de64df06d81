// import-adapter: weights and biases that PEFT saved whole.

#include <nlohmann/json.hpp>

#include "import_adapter/fixture.h"

namespace wshare::test {
namespace {

const std::string kPrefix = "base_model.model.model.";

std::string classifier_bytes() { return nonzero_floats(18, 8); }
std::string bias_bytes() { return nonzero_floats(3, 9); }

// small_model() with a classifier of three labels behind it, as PyTorch stores it or turned.
onnx::ModelProto classifier(bool in_out) {
  onnx::ModelProto model = small_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  std::string weight_bytes;
  for (size_t i = 0; i < 6; ++i) {
    for (size_t label = 0; label < 3; ++label)
      weight_bytes += classifier_bytes().substr((label * 6 + i) * 4, 4);
  }
  *graph.add_initializer() =
      in_out ? raw("model.classifier.weight", weight_bytes, Proto::FLOAT, {6, 3})
             : raw("model.classifier.weight", classifier_bytes(), Proto::FLOAT, {3, 6});
  *graph.add_initializer() = raw("model.classifier.bias", bias_bytes(), Proto::FLOAT, {3});
  if (in_out) {
    add_layer(graph, "MatMul", "", {"y", "model.classifier.weight"}, "z0");
    add_layer(graph, "Add", "", {"z0", "model.classifier.bias"}, "z");
  } else {
    add_layer(graph, "Gemm", "", {"y", "model.classifier.weight", "model.classifier.bias"}, "z");
    *graph.mutable_node(graph.node_size() - 1)->add_attribute() = integer("transB", 1);
  }
  declare(*graph.mutable_output(0), "z", Proto::FLOAT, {-1, 3});
  return model;
}

std::vector<float> values_in(const std::string& bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

class WholeTensors : public ImportTest {
 protected:
  void make_of(const onnx::ModelProto& model) {
    fs::remove_all(temp_ / "bundle");
    add("base.onnx", model);
    make_bundle();
  }

  std::string peft(const std::vector<Given>& whole) {
    return add_peft("labels", pair("model.l.0.q", 6, 8, 2) + whole);
  }
};

TEST_F(WholeTensors, AreAPairOfFullRankAndAVector) {
  const std::string trained = nonzero_floats(18, 70), bias = nonzero_floats(3, 71);
  const std::vector<float> before = values_in(classifier_bytes()), after = values_in(trained);
  for (const bool in_out : {false, true}) {
    SCOPED_TRACE(in_out);
    make_of(classifier(in_out));
    const nlohmann::json json =
        import_json(peft({{kPrefix + "classifier.weight", {3, 6}, trained},
                          {kPrefix + "classifier.modules_to_save.default.bias", {3}, bias}}));
    EXPECT_EQ(json["new_model"], true);
    ASSERT_EQ(json["mapping"].size(), 3u);
    EXPECT_EQ(json["mapping"][1].dump(),
              R"({"module":"model.classifier.weight","rank":0,"scaling":1.0,)"
              R"("tensor":"model.classifier.weight"})");
    EXPECT_EQ(json["mapping"][2]["tensor"], "model.classifier.bias");
    std::map<std::string, Given> got = parameters("labels.onnx_adapter");
    ASSERT_EQ(got.size(), 5u);
    EXPECT_EQ(got.at("model.classifier.bias").bytes, bias);
    const Given &a = got.at("model.classifier.lora_A.weight"),
                &b = got.at("model.classifier.lora_B.weight");
    ASSERT_EQ(a.dims, (Dims{6, 3}));
    ASSERT_EQ(b.dims, (Dims{3, 3}));
    const std::vector<float> difference = values_in(a.bytes), identity = values_in(b.bytes);
    for (size_t i = 0; i < 6; ++i) {
      for (size_t label = 0; label < 3; ++label) {
        EXPECT_EQ(difference[i * 3 + label], after[label * 6 + i] - before[label * 6 + i]);
      }
    }
    EXPECT_EQ(identity, (std::vector<float>{1, 0, 0, 0, 1, 0, 0, 0, 1}));
    expect_whole();
    // A second one finds the inputs there.
    const nlohmann::json again = import_json(add_peft(
        "more",
        pair("model.l.0.q", 6, 8, 2) +
            std::vector<Given>{{kPrefix + "classifier.weight", {3, 6}, nonzero_floats(18, 72)},
                               {kPrefix + "classifier.bias", {3}, nonzero_floats(3, 73)}}));
    EXPECT_EQ(again["new_model"], false);
    EXPECT_EQ(parameters("more.onnx_adapter").size(), 5u);
    expect_whole();
  }
}

TEST_F(WholeTensors, ThatAreTheBasesAreNotStored) {
  make_of(classifier(true));
  const std::string adapter = peft({{kPrefix + "classifier.weight", {3, 6}, classifier_bytes()},
                                    {kPrefix + "classifier.bias", {3}, bias_bytes()}});
  const nlohmann::json json = import_json(adapter);
  EXPECT_EQ(json["same"].dump(), R"(["model.classifier.weight","model.classifier.bias"])");
  EXPECT_EQ(json["mapping"].size(), 1u);
  EXPECT_EQ(parameters("labels.onnx_adapter").size(), 2u);
  ASSERT_EQ(run({"import-adapter", bundle(), adapter, "--name", "x", "-n"}), 0) << err_;
  EXPECT_NE(out_.find("'model.classifier.weight' is the base's, and not stored\n"),
            std::string::npos)
      << out_;
}

TEST_F(WholeTensors, AreRefusedWhereTheyHaveNoPlace) {
  make_of(classifier(true));
  const auto refuse = [&](const std::vector<Given>& whole, int code, const std::string& text) {
    expect_refused({"import-adapter", bundle(), peft(whole)}, code, {text});
  };
  refuse({{kPrefix + "embed.weight", {14, 6}, nonzero_floats(84, 1)}}, 4,
         "'model.embed.weight': the adapter has it whole as [14,6], the base's "
         "'model.embed.weight' has [12,6]: a vocabulary that has grown");
  refuse({{kPrefix + "classifier.weight", {4, 6}, nonzero_floats(24, 1)}}, 4,
         "or a head of other labels");
  refuse({{kPrefix + "score.weight", {3, 6}, nonzero_floats(18, 1)}}, 4,
         "module 'model.score': the base has no weight of this path");
  refuse({{kPrefix + "l.0.q.weight", {8, 6}, nonzero_floats(48, 7)}}, 4,
         "the adapter has it whole, and a LoRA of module 'model.l.0.q'");
  std::string infinite = nonzero_floats(18, 1);
  infinite.replace(0, 4, std::string("\0\0\x80\x7f", 4));
  refuse({{kPrefix + "classifier.weight", {3, 6}, infinite}}, 4, "no finite float32");
  // A bias that is read as more than a bias.
  onnx::ModelProto model = classifier(true);
  add_layer(*model.mutable_graph(), "Relu", "", {"model.classifier.bias"}, "r");
  declare(*model.mutable_graph()->add_output(), "r", Proto::FLOAT, {3});
  make_of(model);
  refuse({{kPrefix + "classifier.bias", {3}, nonzero_floats(3, 1)}}, 5,
         "was trained, and the base's 'model.classifier.bias' may be no input of it");
}

}  // namespace
}  // namespace wshare::test

// import-adapter: what it refuses, before anything is written.

#include "bundle/edit.h"
#include "import_adapter/fixture.h"

namespace wshare::test {
namespace {

class Refusals : public ImportTest {
 protected:
  Refusals() {
    add("base.onnx", small_model());
    make_bundle();
  }

  void expect_adapter_refused(const std::vector<Given>& tensors, int code,
                              const std::vector<std::string>& texts) {
    expect_refused({"import-adapter", bundle(), add_peft("news", tensors)}, code, texts);
  }

  // Makes the bundle of `model` alone.
  void make_of(const onnx::ModelProto& model) {
    fs::remove_all(temp_ / "bundle");
    add("base.onnx", model);
    make_bundle();
  }
};

TEST_F(Refusals, AModuleThatTheBaseDoesNotHave) {
  expect_adapter_refused(
      pair("model.l.1.q", 6, 8, 2) + pair("model.l.0.q", 6, 8, 2) + pair("model.l.1.k", 8, 6, 2), 4,
      {"module 'model.l.1.k': the base has no weight of this path (nor of 1 others)",
       "hint: the nearest paths are 'model.l.0.k', "});
}

TEST_F(Refusals, OneNameInFrontOfAnotherIsNoEndOfIt) {
  expect_adapter_refused(pair("other_l.0.q", 6, 8, 2), 4, {"no weight of this path"});
  expect_adapter_refused(pair("0.q.x", 6, 8, 2), 4, {"no weight of this path"});
  // The end of the path of two modules is no module in common.
  expect_adapter_refused(pair("encoder.l.0.q", 6, 8, 2), 4, {"no weight of this path"});
}

TEST_F(Refusals, FactorsOfAnotherShape) {
  expect_adapter_refused(pair("model.l.0.q", 8, 6, 2), 4,
                         {"module 'model.l.0.q': has factors [8,2] and [2,6], weight "
                          "'onnx::MatMul_7' needs [6,r] and [r,8]"});
  expect_adapter_refused(pair("model.embed", 12, 6, 2), 4,
                         {"'model.embed.weight'", "of an embedding"});
}

TEST_F(Refusals, TwoModulesOfOneWeight) {
  expect_adapter_refused(pair("model.l.0.q", 6, 8, 2) + pair("l.0.q", 6, 8, 2), 4,
                         {"'l.0.q' and 'model.l.0.q' have one weight, 'onnx::MatMul_7'"});
}

TEST_F(Refusals, AModuleThatMayBeTwoWeights) {
  onnx::ModelProto model = small_model();
  *model.mutable_graph()->add_initializer() = weight("other.l.0.q.weight", {6, 8}, 5);
  add_layer(*model.mutable_graph(), "MatMul", "", {"e", "other.l.0.q.weight"}, "z");
  declare(*model.mutable_graph()->add_output(), "z", Proto::FLOAT, {-1, 8});
  make_of(model);
  expect_adapter_refused(pair("l.0.q", 6, 8, 2), 4,
                         {"may be any of 2 weights: 'model.l.0.q', 'other.l.0.q'"});
  // The whole path decides, and so do shapes.
  EXPECT_EQ(import_json(add_peft("a", pair("other.l.0.q", 6, 8, 2)))["mapping"][0]["tensor"],
            "other.l.0.q.weight");
  model.mutable_graph()->mutable_initializer(3)->set_dims(0, 3);
  model.mutable_graph()->mutable_initializer(3)->set_dims(1, 16);
  make_of(model);
  EXPECT_EQ(import_json(add_peft("a", pair("l.0.q", 6, 8, 2)))["mapping"][0]["tensor"],
            "onnx::MatMul_7");
}

TEST_F(Refusals, AWeightOfTwoModulesButNotAModuleThatIsUsedTwice) {
  for (const bool same_module : {false, true}) {
    SCOPED_TRACE(same_module);
    onnx::ModelProto model = small_model();
    add_layer(*model.mutable_graph(), "MatMul",
              same_module ? "/model/l.0/q/MatMul_1" : "/model/l.1/q/MatMul",
              {"y", "onnx::MatMul_7"}, "z");
    declare(*model.mutable_graph()->add_output(), "z", Proto::FLOAT, {-1, 8});
    make_of(model);
    if (same_module) {
      import_json(add_peft("a", pair("model.l.0.q", 6, 8, 2)));
      expect_whole();
      EXPECT_EQ(import_json(add_peft("b", pair("model.l.0.q", 6, 8, 2)))["new_model"], false);
    } else {
      expect_adapter_refused(pair("model.l.0.q", 6, 8, 2), 5,
                             {"'onnx::MatMul_7' is read by 2 layers that are not known to be one"});
    }
  }
}

TEST_F(Refusals, ATiedEmbedding) {
  onnx::ModelProto model = small_model();
  add_node(*model.mutable_graph(), "Transpose", {"model.embed.weight"}, {"turned"});
  add_layer(*model.mutable_graph(), "MatMul", "/lm_head/MatMul", {"y", "turned"}, "z");
  declare(*model.mutable_graph()->add_output(), "z", Proto::FLOAT, {-1, 12});
  make_of(model);
  expect_adapter_refused(pair("model.embed", 12, 6, 2, true), 5,
                         {"its weight 'model.embed.weight' is read by 2 layers"});
}

TEST_F(Refusals, AQuantizedWeight) {
  onnx::ModelProto model = small_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  *graph.add_initializer() = raw("model.l.2.q.weight_quantized", noise(48, 1), Proto::INT8, {6, 8});
  add_layer(graph, "MatMulInteger", "/model/l.2/q/MatMul_quant",
            {"e", "model.l.2.q.weight_quantized"}, "z");
  declare(*graph.add_output(), "z", Proto::INT32, {-1, 8});
  make_of(model);
  expect_adapter_refused(pair("l.2.q", 6, 8, 2), 5,
                         {"module 'l.2.q': its weight 'model.l.2.q.weight_quantized' is quantized: "
                          "it is read by MatMulInteger '/model/l.2/q/MatMul_quant'"});
}

TEST_F(Refusals, AWeightOfFourBitsWhoseBiasIsFused) {
  for (const int64_t level : {0, 4}) {
    SCOPED_TRACE(level);
    onnx::ModelProto model = four_bit_model(level);
    onnx::GraphProto& graph = *model.mutable_graph();
    *graph.add_initializer() = weight("bias", {8}, 3);
    add_layer(graph, "Add", "", {"y", "bias"}, "z");
    declare(*graph.mutable_output(0), "z", Proto::FLOAT, {-1, 8});
    make_of(model);
    if (level == 0) {
      EXPECT_EQ(import_json(add_peft("a", pair("l.0.q", 32, 8, 2)))["new_model"], true);
      expect_whole();
      EXPECT_EQ(import_json(add_peft("b", pair("l.0.q", 32, 8, 2)))["new_model"], false);
      // A whole weight cannot take its place.
      const std::vector<Given> whole = {
          {"base_model.model.model.l.0.q.weight", {8, 32}, nonzero_floats(256, 1)}};
      expect_adapter_refused(pair("l.0.q", 32, 8, 2) + whole, 5,
                             {"'onnx::MatMul_7_Q4' is quantized: a whole weight cannot take"});
    } else {
      expect_adapter_refused(pair("model.l.0.q", 32, 8, 2), 5,
                             {"'onnx::MatMul_7_Q4' is quantized: it is read by MatMulNBits"});
    }
  }
}

TEST_F(Refusals, AWeightThatCanHaveNoBranch) {
  onnx::ModelProto model = small_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  *graph.add_initializer() = weight("model.l.2.q.weight", {6, 8}, 3);
  add_layer(graph, "Mul", "", {"q", "model.l.2.q.weight"}, "z");
  declare(*graph.add_output(), "z", Proto::FLOAT, {-1, 8});
  make_of(model);
  expect_adapter_refused(pair("model.l.2.q", 6, 8, 2), 5,
                         {"its weight 'model.l.2.q.weight' is read by Mul"});
}

TEST_F(Refusals, NamesThatAreTakenOrNone) {
  const std::string adapter = add_peft("base", pair("model.l.0.q", 6, 8, 2));
  expect_refused({"import-adapter", bundle(), adapter}, 4,
                 {"'base': the bundle has a model of this name", "hint: ", "--name TASK"});
  expect_refused({"import-adapter", bundle(), adapter, "--name", "a/b"}, 4, {"'a/b'"});
  expect_refused({"import-adapter", bundle(), adapter, "--name", std::string(241, 'n')}, 4,
                 {"cannot be the name of a task"});
  import_json(adapter, {"--name", "x"});
  expect_refused({"import-adapter", bundle(), adapter, "--name", "x"}, 4,
                 {"'x': the bundle has a task of this name"});
}

TEST_F(Refusals, ABundleOfSeveralModelsWithoutBase) {
  add("other.onnx", {raw("w", noise(300, 1))});
  fs::remove_all(temp_ / "bundle");
  make_bundle();
  const std::string adapter = add_peft("news", pair("model.l.0.q", 6, 8, 2));
  expect_refused({"import-adapter", bundle(), adapter}, 4,
                 {"2 models that the adapter may be for: 'base', 'other'", "--base NAME"});
  expect_refused({"import-adapter", bundle(), adapter, "--base", "none"}, 4, {"'none'"});
  import_json(adapter, {"--base", "base"});
  // From now on the base is known.
  EXPECT_EQ(import_json(adapter, {"--name", "more"})["base"], "base");
}

TEST_F(Refusals, AnOnnxAdapterForAnotherModel) {
  const auto refuse = [&](const std::vector<Given>& tensors, const std::string& text) {
    expect_refused({"import-adapter", bundle(), add_onnx_adapter("a.onnx_adapter", tensors)}, 4,
                   {text});
  };
  refuse({{"scale", {2}, nonzero_floats(2, 1)}}, "parameter 'scale': the base has no such input");
  refuse({{"l.0.q.lora_A.weight", {6, 2}, nonzero_floats(12, 1)}}, "'l.0.q': lacks factor B");
  refuse({{"l.0.q.lora_A.weight", {6, 2}, nonzero_floats(12, 1)},
          {"l.0.q.lora_B.weight", {3, 8}, nonzero_floats(24, 1)}},
         "'l.0.q': A and B are no factors of one weight");
  import_json(add_peft("news", pair("model.l.0.q", 6, 8, 2)));
  const std::vector<Given> inputs = {{"model.l.0.q.lora_A.weight", {7, 2}, nonzero_floats(14, 1)}};
  expect_refused({"import-adapter", bundle(), add_onnx_adapter("b.onnx_adapter", inputs)}, 4,
                 {"parameter 'model.l.0.q.lora_A.weight': has another element type or shape"});
  refuse({{"model.l.0.q.lora_B.weight", {2, 8}, nonzero_floats(16, 1)}},
         "'model.l.0.q.lora_B.weight': comes without 'model.l.0.q.lora_A.weight'");
  refuse({{"model.l.0.q.lora_A.weight", {6, 2}, nonzero_floats(12, 1)},
          {"model.l.0.q.lora_B.weight", {3, 8}, nonzero_floats(24, 1)}},
         "have ranks 2 and 3");
}

TEST_F(Refusals, FilesThatAreMissingOrDamaged) {
  expect_refused({"import-adapter", bundle(), path("none")}, 3, {"none"});
  expect_refused({"import-adapter", path("in"), path("in")}, 3, {"is no bundle"});
  const std::string adapter = add_peft("news", pair("model.l.0.q", 6, 8, 2));
  write_file(adapter + "/adapter_model.safetensors", noise(100, 1));
  expect_refused({"import-adapter", bundle(), adapter}, 4, {"adapter_model.safetensors"});
  add_peft("news", pair("model.l.0.q", 6, 8, 2));
  write_file(temp_ / "bundle/base.onnx", read_file(temp_ / "in/base.onnx"));
  expect_refused({"import-adapter", bundle(), adapter}, 4, {"base.onnx", "'wshare verify'"});
}

TEST_F(Refusals, ABundleThatIsBeingChanged) {
  const std::string adapter = add_peft("news", pair("model.l.0.q", 6, 8, 2));
  const BundleEdit edit(bundle(), "append", std::chrono::milliseconds(0));
  expect_refused({"import-adapter", bundle(), adapter, "--wait", "0"}, 3,
                 {"is being changed by", "wshare append"});
}

}  // namespace
}  // namespace wshare::test

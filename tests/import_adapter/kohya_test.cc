// import-adapter of what kohya's sd-scripts, LyCORIS and diffusers save: which weight of an export
// a module is, which base a part is for, and what is refused.

#include "import_adapter/kohya_fixture.h"

namespace wshare::test {
namespace {

using nlohmann::json;

class KohyaImport : public KohyaTest {
 protected:
  KohyaImport() {
    add("unet.onnx", unet());
    add("text_encoder.onnx", text_encoder(6));
    make_bundle();
  }

  static std::map<std::string, std::string> tensors_of(const json& report) {
    std::map<std::string, std::string> tensors;
    for (const json& each : report.at("mapping")) tensors[each.at("module")] = each.at("tensor");
    return tensors;
  }
};

const std::vector<std::string> kUnet = {"--base", "unet"};

TEST_F(KohyaImport, FindsTheWeightsOfFlatNames) {
  const json report =
      import_json(add_kohya("style.safetensors",
                            lora("lora_unet_down_blocks_0_resnets_0_conv1", {4, 3, 3}, 6) +
                                lora("lora_unet_down_blocks_0_attentions_0_proj_in", {6, 1, 1}, 6) +
                                lora("lora_unet_mid_block_attentions_0_attn1_to_out_0", {12}, 8)),
                  kUnet);
  EXPECT_EQ(report["task"], "style");
  EXPECT_EQ(tensors_of(report),
            (std::map<std::string, std::string>{
                {"down_blocks.0.resnets.0.conv1", "down_blocks.0.resnets.0.conv1.weight"},
                {"down_blocks.0.attentions.0.proj_in", "down_blocks.0.attentions.0.proj_in.weight"},
                {"mid_block.attentions.0.attn1.to_out.0", "onnx::MatMul_9"}}));
  EXPECT_EQ(report["mapping"][0]["rank"], 2);
  EXPECT_EQ(report["mapping"][0]["scaling"], 0.25);
  expect_whole();
}

TEST_F(KohyaImport, FindsThoseOfDiffusersAndOfStabilitysUNet) {
  const json diffusers = import_json(
      add_kohya("a/pytorch_lora_weights.safetensors",
                lora("unet.mid_block.attentions.0.attn1.to_out.0", {12}, 8, ".lora_A", ".lora_B")),
      kUnet);
  EXPECT_EQ(diffusers["task"], "a");
  EXPECT_EQ(diffusers["mapping"][0]["tensor"], "onnx::MatMul_9");
  const json own = import_json(
      add_kohya("b.safetensors", lora("lora_unet_middle_block_1_attn1_to_out_0", {12}, 8) +
                                     lora("lora_unet_input_blocks_1_0_in_layers_2", {4, 3, 3}, 6)),
      kUnet);
  EXPECT_EQ(tensors_of(own),
            (std::map<std::string, std::string>{
                {"down_blocks.0.resnets.0.conv1", "down_blocks.0.resnets.0.conv1.weight"},
                {"mid_block.attentions.0.attn1.to_out.0", "onnx::MatMul_9"}}));
  // The folder, where it has no adapter_config.json.
  EXPECT_EQ(import_json(path("a"), {"--base", "unet", "--name", "c"})["mapping"],
            diffusers["mapping"]);
}

TEST_F(KohyaImport, TakesPairsOfOneByOneConvolutionsForLinearLayersAndBack) {
  const json report =
      import_json(add_kohya("x.safetensors",
                            lora("lora_unet_mid_block_attentions_0_attn1_to_out_0", {12, 1, 1}, 8) +
                                lora("lora_unet_down_blocks_0_attentions_0_proj_in", {6}, 6)),
                  kUnet);
  const auto got = parameters(report["adapter"]);
  EXPECT_EQ(got.at("mid_block.attentions.0.attn1.to_out.0.lora_A.weight").dims, (Dims{12, 2}));
  EXPECT_EQ(got.at("down_blocks.0.attentions.0.proj_in.lora_A.weight").dims, (Dims{2, 6, 1, 1}));
  EXPECT_EQ(got.at("down_blocks.0.attentions.0.proj_in.lora_B.weight").dims, (Dims{6, 2, 1, 1}));
}

TEST_F(KohyaImport, GivesEachPartToTheBaseThatHasIt) {
  const KohyaTensors both = lora("lora_unet_mid_block_attentions_0_attn1_to_out_0", {12}, 8) +
                            lora("lora_te_text_model_encoder_layers_0_self_attn_q_proj", {6}, 6);
  const std::string file = add_kohya("x.safetensors", both);
  const json tasks = import_json(file, {"--base", "text_encoder", "--base", "unet"}).at("tasks");
  ASSERT_EQ(tasks.size(), 2u);
  EXPECT_EQ(tensors_of(tasks[0]), (std::map<std::string, std::string>{
                                      {"text_model.encoder.layers.0.self_attn.q_proj", "w_q"}}));
  EXPECT_EQ(tensors_of(tasks[1]).size(), 1u);
  const json only = import_json(file, {"--base", "unet", "--part", "unet", "--name", "only"});
  EXPECT_EQ(tensors_of(only), tensors_of(tasks[1]));
  expect_refused({"import-adapter", bundle(), file, "--base", "unet", "--name", "y"}, 4,
                 {"its 'text_encoder': module 'text_model_encoder_layers_0_self_attn_q_proj': the "
                  "base has no weight of this path",
                  "hint: --base NAME adds the model that has it, --part NAME takes other parts"});
  expect_refused({"import-adapter", bundle(), file, "--base", "unet", "--part", "vae"}, 4,
                 {"the adapter has no part 'vae', only 'text_encoder', 'unet'"});
}

// Text encoders of SDXL have the same names; their sizes tell them apart, or the bases' names.
TEST_F(KohyaImport, TellsTextEncodersApart) {
  const std::string q = "text_model_encoder_layers_0_self_attn_q_proj";
  const std::vector<std::string> bases = {"--base", "text_encoder", "--base", "text_encoder_2"};
  for (const int64_t width : {10, 6}) {
    SCOPED_TRACE(width);
    fs::remove_all(temp_ / "bundle");
    add("text_encoder_2.onnx", text_encoder(width));
    make_bundle();
    const std::string file = add_kohya(
        "x.safetensors", lora("lora_te1_" + q, {6}, 6) + lora("lora_te2_" + q, {width}, width));
    const json tasks = import_json(file, bases).at("tasks");
    ASSERT_EQ(tasks.size(), 2u);
    for (const json& task : tasks) EXPECT_EQ(task["mapping"].size(), 1u);
    const Dims a = parameters(tasks[1]["adapter"])
                       .at("text_model.encoder.layers.0.self_attn.q_proj.lora_A.weight")
                       .dims;
    EXPECT_EQ(a, (Dims{width, 2}));
  }
  const std::string file = add_kohya("z.safetensors", lora("lora_te3_" + q, {6}, 6));
  expect_refused(
      {"import-adapter", bundle(), file, "--base", "text_encoder", "--base", "text_encoder_2"}, 4,
      {"its 'text_encoder_3' may be for 'text_encoder' or 'text_encoder_2'"});
}

TEST_F(KohyaImport, RefusesWhatHasNoPlaceOrTwo) {
  const auto refuse = [&](const KohyaTensors& tensors, const std::vector<std::string>& texts) {
    expect_refused(
        {"import-adapter", bundle(), add_kohya("x.safetensors", tensors), "--base", "unet"}, 4,
        texts);
  };
  refuse(lora("lora_unet_mid_block_attentions_0_attn1_to_out_1", {12}, 8),
         {"'mid_block_attentions_0_attn1_to_out_1': the base has no weight of this path",
          "the nearest paths are 'mid_block.attentions.0.attn1.to_out.0'"});
  refuse(lora("lora_unet_mid_block_attentions_0_attn1_to_out_0", {10}, 8),
         {"has factors [10,2] and [2,8], weight 'onnx::MatMul_9' needs [12,r] and [r,8]"});
  refuse(lora("lora_unet_down_blocks_0_resnets_0_conv1", {4, 9, 1}, 6),
         {"has factors [2,4,9,1]", "needs [r,4,3,3]"});
  // Two weights that are one without dots.
  onnx::ModelProto model = unet();
  *model.mutable_graph()->add_initializer() =
      weight("mid.block.attentions.0.attn1.to_out.0.weight", {12, 8}, 9);
  add_layer(*model.mutable_graph(), "MatMul", "",
            {"h", "mid.block.attentions.0.attn1.to_out.0.weight"}, "other");
  declare(*model.mutable_graph()->add_output(), "other", Proto::FLOAT, {-1, 8});
  fs::remove_all(temp_ / "bundle");
  add("unet.onnx", model);
  make_bundle();
  refuse(lora("lora_unet_mid_block_attentions_0_attn1_to_out_0", {12}, 8),
         {"may be any of 'mid.block.attentions.0.attn1.to_out.0', "
          "'mid_block.attentions.0.attn1.to_out.0'"});
}

TEST_F(KohyaImport, RefusesAFileOfPeftWithoutItsConfiguration) {
  expect_refused(
      {"import-adapter", bundle(),
       add_kohya("x.safetensors", lora("base_model.model.x", {12}, 8, ".lora_A", ".lora_B")),
       "--base", "unet"},
      4, {"no adapter_config.json lies beside it", "hint: put the one there"});
}

}  // namespace
}  // namespace wshare::test

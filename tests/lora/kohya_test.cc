// Adapters of kohya's sd-scripts, LyCORIS and diffusers: names, alpha, and the low rank that their
// factors make, against what they make of every element.

#include "lora/kohya.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "format/matrix.h"
#include "lora/kohya_keys.h"
#include "lora/sgm_names.h"
#include "support/errors.h"
#include "support/kohya_tensors.h"

namespace wshare::test {
namespace {

SafetensorsFile file_of(const KohyaTensors& tensors, const std::string& config = "") {
  SafetensorsFile file;
  for (const auto& [name, tensor] : tensors)
    file.tensors.push_back({name, 1, tensor.dims, std::as_bytes(std::span(tensor.values))});
  if (!config.empty()) file.metadata["lora_adapter_metadata"] = config;
  return file;
}

KohyaModule only_module(const KohyaTensors& tensors, const std::string& config = "") {
  const std::vector<KohyaModule> modules = read_kohya_modules(file_of(tensors, config));
  EXPECT_EQ(modules.size(), 1u);
  return modules.at(0);
}

std::vector<double> values_of(const NamedTensor& tensor) {
  std::vector<double> values(tensor.bytes.size() / sizeof(double));
  read_values(tensor.bytes, tensor.dtype, values.data());
  return values;
}

// That the factors of `tensors` have rank `rank` and give `delta`.
void expect_delta(const KohyaTensors& tensors, uint64_t rank, const Dense& delta) {
  const KohyaModule module = only_module(tensors);
  const LowRankSize size = size_of(module.delta);
  EXPECT_EQ(size.rows, delta.rows);
  EXPECT_EQ(size.cols, delta.cols);
  ASSERT_EQ(size.rank, rank);
  Scratch scratch;
  const ProductFactors factors = factors_of(module.delta, scratch);
  const std::vector<double> up = values_of(factors.up), down = values_of(factors.down);
  double largest = 0, off = 0;
  for (size_t i = 0; i < delta.rows; ++i) {
    for (size_t j = 0; j < delta.cols; ++j) {
      double sum = 0;
      for (size_t r = 0; r < rank; ++r) sum += up[i * rank + r] * down[r * delta.cols + j];
      largest = std::max(largest, std::abs(delta.at(i, j)));
      off = std::max(off, std::abs(sum - delta.at(i, j)));
    }
  }
  EXPECT_GT(largest, 0.5);
  EXPECT_LT(off, 1e-13 * largest);
}

TEST(KohyaKeys, NameThePartTheModuleAndTheRole) {
  struct Case {
    const char *name, *part, *path, *role;
    bool flat;
  };
  for (const Case& c : {
           Case{"lora_unet_down_blocks_0_attentions_1_proj_in.lora_down.weight", "unet",
                "down_blocks_0_attentions_1_proj_in", "down", true},
           Case{"lora_te_text_model_encoder_layers_0_mlp_fc1.alpha", "text_encoder",
                "text_model_encoder_layers_0_mlp_fc1", "alpha", true},
           Case{"lora_te1_x.lora_up.weight", "text_encoder", "x", "up", true},
           Case{"lora_te2_x.hada_w2_b", "text_encoder_2", "x", "hada_w2_b", true},
           Case{"lycoris_x_y.lokr_w2_a", "", "x_y", "lokr_w2_a", true},
           Case{"unet.mid_block.a.to_out.0.lora_A.weight", "unet", "mid_block.a.to_out.0", "down",
                false},
           Case{"unet.a.attn1.processor.to_q_lora.down.weight", "unet", "a.attn1.to_q", "down",
                false},
           Case{"unet.a.attn1.processor.to_out_lora.up.weight", "unet", "a.attn1.to_out.0", "up",
                false},
           Case{"text_encoder.l.0.self_attn.to_out_lora.up.weight", "text_encoder",
                "l.0.self_attn.out_proj", "up", false},
           Case{"text_encoder_2.l.q_proj.lora_linear_layer.down.weight", "text_encoder_2",
                "l.q_proj", "down", false},
           Case{"unet.a.to_k.lora.up.weight", "unet", "a.to_k", "up", false},
           Case{"lora_unet_input_blocks_4_1_proj_in.lora_down.weight", "unet",
                "down_blocks_1_attentions_0_proj_in", "down", true},
           Case{"diffusion_model.middle_block.1.proj_in.lora_A.weight", "unet",
                "mid_block_attentions_0_proj_in", "down", true},
       }) {
    SCOPED_TRACE(c.name);
    const std::optional<KohyaKey> key = parse_kohya_key(c.name);
    ASSERT_TRUE(key);
    EXPECT_EQ(key->part, c.part);
    EXPECT_EQ(key->path, c.path);
    EXPECT_EQ(key->role, c.role);
    EXPECT_EQ(key->flat, c.flat);
  }
  for (const char* name : {"x", "lora_unet_.alpha", ".lora_down.weight", "x.dora_scale"})
    EXPECT_FALSE(parse_kohya_key(name)) << name;
}

TEST(SgmNames, AreThoseOfDiffusers) {
  for (const auto& [own, diffusers] : {
           std::pair{"input_blocks_0_0", "conv_in"},
           {"input_blocks_1_0_in_layers_2", "down_blocks_0_resnets_0_conv1"},
           {"input_blocks_3_0_op", "down_blocks_0_downsamplers_0_conv"},
           {"input_blocks_8_1_transformer_blocks_9_attn2_to_k",
            "down_blocks_2_attentions_1_transformer_blocks_9_attn2_to_k"},
           {"middle_block_2_out_layers_3", "mid_block_resnets_1_conv2"},
           {"output_blocks_2_1_conv", "up_blocks_0_upsamplers_0_conv"},
           {"output_blocks_5_2_conv", "up_blocks_1_upsamplers_0_conv"},
           {"output_blocks_5_1_proj_out", "up_blocks_1_attentions_2_proj_out"},
           {"output_blocks_8_0_skip_connection", "up_blocks_2_resnets_2_conv_shortcut"},
           {"output_blocks_0_0_emb_layers_1", "up_blocks_0_resnets_0_time_emb_proj"},
           {"time_embed_2", "time_embedding_linear_2"},
           {"label_emb_0_0", "add_embedding_linear_1"},
           {"out_2", "conv_out"},
       }) {
    EXPECT_EQ(diffusers_name(own), diffusers) << own;
  }
  for (const char* name :
       {"down_blocks_0_x", "input_blocks_x_0_op", "input_blocks_0_1_x", "out_3", "middle_block_3_x",
        "input_blocks_4_0_attn", "output_blocks_99999999999_1_x"})
    EXPECT_FALSE(diffusers_name(name)) << name;
}

TEST(KohyaModules, HaveTheRankOfTheirPair) {
  KohyaTensors linear{{"m.lora_down.weight", kohya_tensor({4, 12}, 1)},
                      {"m.lora_up.weight", kohya_tensor({10, 4}, 2)}};
  expect_delta(linear, 4, dense_product(linear["m.lora_up.weight"], linear["m.lora_down.weight"]));
  KohyaTensors conv{{"m.lora_down.weight", kohya_tensor({4, 5, 3, 3}, 3)},
                    {"m.lora_up.weight", kohya_tensor({10, 4, 1, 1}, 4)}};
  expect_delta(conv, 4, dense_product(conv["m.lora_up.weight"], conv["m.lora_down.weight"]));
  KohyaTensors mid{{"m.lora_down.weight", kohya_tensor({4, 5, 1, 1}, 5)},
                   {"m.lora_mid.weight", kohya_tensor({4, 4, 3, 3}, 6)},
                   {"m.lora_up.weight", kohya_tensor({10, 4, 1, 1}, 7)}};
  expect_delta(mid, 4,
               dense_tucker(mid["m.lora_mid.weight"], mid["m.lora_up.weight"],
                            mid["m.lora_down.weight"], true));
}

TEST(KohyaModules, OfLoHaHaveTheProductOfTheRanks) {
  KohyaTensors t{{"m.hada_w1_a", kohya_tensor({30, 3}, 1)},
                 {"m.hada_w1_b", kohya_tensor({3, 40}, 2)},
                 {"m.hada_w2_a", kohya_tensor({30, 4}, 3)},
                 {"m.hada_w2_b", kohya_tensor({4, 40}, 4)}};
  expect_delta(t, 12,
               hadamard(dense_product(t["m.hada_w1_a"], t["m.hada_w1_b"]),
                        dense_product(t["m.hada_w2_a"], t["m.hada_w2_b"])));
  KohyaTensors c{
      {"m.hada_w1_a", kohya_tensor({3, 30}, 1)},    {"m.hada_w1_b", kohya_tensor({3, 5}, 2)},
      {"m.hada_w2_a", kohya_tensor({3, 30}, 3)},    {"m.hada_w2_b", kohya_tensor({3, 5}, 4)},
      {"m.hada_t1", kohya_tensor({3, 3, 3, 2}, 5)}, {"m.hada_t2", kohya_tensor({3, 3, 3, 2}, 6)}};
  expect_delta(c, 9,
               hadamard(dense_tucker(c["m.hada_t1"], c["m.hada_w1_a"], c["m.hada_w1_b"], false),
                        dense_tucker(c["m.hada_t2"], c["m.hada_w2_a"], c["m.hada_w2_b"], false)));
}

TEST(KohyaModules, OfLoKrHaveTheProductOfTheRanks) {
  const KohyaTensor w1 = kohya_tensor({2, 3}, 1);
  const KohyaTensor a = kohya_tensor({15, 4}, 2), b = kohya_tensor({4, 14}, 3);
  expect_delta({{"m.lokr_w1", w1}, {"m.lokr_w2_a", a}, {"m.lokr_w2_b", b}}, 8,
               kronecker(dense_of(w1), dense_product(a, b)));
  const KohyaTensor w1_a = kohya_tensor({6, 2}, 4), w1_b = kohya_tensor({2, 5}, 5);
  const KohyaTensor w2 = kohya_tensor({4, 2, 3, 3}, 6);
  expect_delta({{"m.lokr_w1_a", w1_a}, {"m.lokr_w1_b", w1_b}, {"m.lokr_w2", w2}}, 8,
               kronecker(dense_product(w1_a, w1_b), dense_of(w2)));
  const KohyaTensor core = kohya_tensor({3, 3, 3, 3}, 7);
  const KohyaTensor up = kohya_tensor({3, 8}, 8), down = kohya_tensor({3, 5}, 9);
  expect_delta({{"m.lokr_w1", w1}, {"m.lokr_w2_a", up}, {"m.lokr_w2_b", down}, {"m.lokr_t2", core}},
               6, kronecker(dense_of(w1), dense_tucker(core, up, down, false)));
  // More rows than columns: the whole one is U, not D.
  const KohyaTensor high = kohya_tensor({5, 2}, 10);
  expect_delta({{"m.lokr_w1", high}, {"m.lokr_w2_a", a}, {"m.lokr_w2_b", b}}, 8,
               kronecker(dense_of(high), dense_product(a, b)));
}

// As of a head: the matrix itself and an identity.
TEST(KohyaModules, OfFullRankArePairsOfTheShorterSide) {
  const KohyaTensor w1 = kohya_tensor({4, 4}, 1), w2 = kohya_tensor({6, 3, 3, 3}, 2);
  expect_delta({{"m.lokr_w1", w1}, {"m.lokr_w2", w2}}, 24, kronecker(dense_of(w1), dense_of(w2)));
  const KohyaTensor high = kohya_tensor({9, 2}, 3);
  expect_delta({{"m.lokr_w1", w1}, {"m.lokr_w2", high}}, 8,
               kronecker(dense_of(w1), dense_of(high)));
  for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{9, 20}, {20, 9}}) {
    KohyaTensors t{{"m.hada_w1_a", kohya_tensor({rows, 3}, 1)},
                   {"m.hada_w1_b", kohya_tensor({3, cols}, 2)},
                   {"m.hada_w2_a", kohya_tensor({rows, 3}, 3)},
                   {"m.hada_w2_b", kohya_tensor({3, cols}, 4)}};
    expect_delta(t, 9,
                 hadamard(dense_product(t["m.hada_w1_a"], t["m.hada_w1_b"]),
                          dense_product(t["m.hada_w2_a"], t["m.hada_w2_b"])));
  }
}

TEST(KohyaModules, AreScaledByAlphaOverTheRankOfTheStoredFactors) {
  const KohyaTensor down = kohya_tensor({4, 12}, 1), up = kohya_tensor({10, 4}, 2);
  KohyaTensors lora{{"lora_unet_m.lora_down.weight", down}, {"lora_unet_m.lora_up.weight", up}};
  EXPECT_EQ(only_module(lora).scaling, 1);
  lora["lora_unet_m.alpha"] = alpha_tensor(1);
  EXPECT_EQ(only_module(lora).scaling, 0.25);
  KohyaTensors loha{{"m.hada_w1_a", kohya_tensor({30, 3}, 1)},
                    {"m.hada_w1_b", kohya_tensor({3, 40}, 2)},
                    {"m.hada_w2_a", kohya_tensor({30, 3}, 3)},
                    {"m.hada_w2_b", kohya_tensor({3, 40}, 4)},
                    {"m.alpha", alpha_tensor(1.5)}};
  EXPECT_EQ(only_module(loha).scaling, 0.5);
  KohyaTensors lokr{{"m.lokr_w1", kohya_tensor({2, 3}, 1)},
                    {"m.lokr_w2_a", kohya_tensor({15, 4}, 2)},
                    {"m.lokr_w2_b", kohya_tensor({4, 14}, 3)},
                    {"m.alpha", alpha_tensor(1)}};
  EXPECT_EQ(only_module(lokr).scaling, 0.25);
  // Of whole factors alpha is what it happens to be: LyCORIS sets the scale to 1.
  const KohyaTensors whole{{"m.lokr_w1", kohya_tensor({1, 3}, 1)},
                           {"m.lokr_w2", kohya_tensor({9, 4}, 2)},
                           {"m.alpha", alpha_tensor(1e10f)}};
  EXPECT_EQ(only_module(whole).scaling, 1);
}

TEST(KohyaModules, AreScaledAsTheMetadataOfDiffusersSays) {
  const KohyaTensors tensors{{"unet.a.to_q.lora_A.weight", kohya_tensor({4, 12}, 1)},
                             {"unet.a.to_q.lora_B.weight", kohya_tensor({10, 4}, 2)}};
  EXPECT_EQ(only_module(tensors).scaling, 1);
  EXPECT_EQ(only_module(tensors, R"({"unet.r": 4, "unet.lora_alpha": 8})").scaling, 2);
  EXPECT_EQ(only_module(tensors, R"({"unet.r": 8, "unet.lora_alpha": 8, "unet.use_rslora": true,)"
                                 R"("unet.rank_pattern": {"to_q": 4}})")
                .scaling,
            4);
  EXPECT_EQ(only_module(tensors, R"({"text_encoder.r": 2, "text_encoder.lora_alpha": 8})").scaling,
            1);
  const auto read = [&](const char* config) {
    return message_of([&, config] { read_kohya_modules(file_of(tensors, config)); });
  };
  EXPECT_NE(read(R"({"unet.r": 2, "unet.lora_alpha": 8})").find("factors of rank 4"),
            std::string::npos);
  EXPECT_NE(read(R"({"unet.r": 4, "unet.lora_alpha": 8, "unet.use_dora": true})").find("use_dora"),
            std::string::npos);
  EXPECT_NE(
      read(R"({"unet.r": 4})").find("no valid lora_adapter_metadata: has no rank or no alpha"),
      std::string::npos);
  EXPECT_NE(read("[").find("no valid lora_adapter_metadata"), std::string::npos);
}

TEST(KohyaModules, AreRefusedWithTheReason) {
  const KohyaTensor down = kohya_tensor({4, 12}, 1), up = kohya_tensor({10, 4}, 2);
  const KohyaTensors pair{{"lora_unet_m.lora_down.weight", down},
                          {"lora_unet_m.lora_up.weight", up}};
  const auto with = [&](const std::string& name, const KohyaTensor& tensor) {
    KohyaTensors tensors = pair;
    tensors[name] = tensor;
    return tensors;
  };
  KohyaTensors no_up = pair;
  no_up.erase("lora_unet_m.lora_up.weight");
  struct Case {
    KohyaTensors tensors;
    ErrorCode code;
    const char* text;
  };
  const std::vector<Case> cases = {
      {with("lora_unet_m.dora_scale", up), ErrorCode::kUnsupported, "is a magnitude of DoRA"},
      {with("lora_unet_n.oft_blocks", up), ErrorCode::kUnsupported, "is of OFT"},
      {with("lora_unet_n.diff", up), ErrorCode::kUnsupported, "is a whole difference"},
      {with("lora_unet_n.a1.weight", up), ErrorCode::kUnsupported, "is of GLoRA"},
      {with("x", up), ErrorCode::kUnsupported, "'x': is no factor that is known"},
      {no_up, ErrorCode::kInvalid, "module 'unet: m': lacks factor 'up'"},
      {with("lora_unet_m.alpha", kohya_tensor({2}, 1)), ErrorCode::kInvalid,
       "no number to scale by"},
      {with("lora_unet_m.alpha", alpha_tensor(0)), ErrorCode::kInvalid, "no number to scale by"},
      {with("lora_unet_m.alpha", alpha_tensor(std::numeric_limits<float>::infinity())),
       ErrorCode::kInvalid, "no number to scale by"},
      {with("lora_unet_m.lora_up.weight", kohya_tensor({10, 3}, 2)), ErrorCode::kInvalid,
       "does not fit what it is a factor of"},
      {with("lora_unet_m.lora_up.weight", kohya_tensor({10, 4, 3, 3}, 2)), ErrorCode::kInvalid,
       "does not fit what it is a factor of"},
      {with("lora_unet_m.lora_up.weight", kohya_tensor({10}, 2)), ErrorCode::kInvalid,
       "is no matrix of floats"},
      {with("lora_unet_m.lora_mid.weight", kohya_tensor({4, 3, 3, 3}, 2)), ErrorCode::kInvalid,
       "does not fit what it is a factor of"},
      {with("lora_unet_m.lokr_w2", up), ErrorCode::kInvalid,
       "does not belong to the other factors"},
      {with("unet.m.lora_A.weight", up), ErrorCode::kInvalid, "has a second factor"},
      {with("base_model.model.m.lora_A.weight", up), ErrorCode::kInvalid, "has factors of PEFT"},
      {{{"m.lora_A.weight", down}, {"m.lora_B.weight", up}},
       ErrorCode::kInvalid,
       "module 'm': nothing says its alpha"},
      {{}, ErrorCode::kInvalid, "has no tensor"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.text);
    try {
      read_kohya_modules(file_of(c.tensors));
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), c.code);
      EXPECT_NE(std::string(error.what()).find(c.text), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace wshare::test

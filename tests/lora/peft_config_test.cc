#include "lora/peft_config.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>

#include "support/errors.h"
#include "wshare/error.h"

namespace wshare::test {
namespace {

PeftConfig config_with(const std::string& fields) {
  return parse_peft_config(R"({"peft_type":"LORA","r":8,"lora_alpha":16)" +
                           (fields.empty() ? "" : "," + fields) + "}");
}

PeftScale scale_of(const std::string& fields, const std::string& path) {
  return scales_of(config_with(fields), {path}).at(0);
}

TEST(PeftConfig, ScalesByRankOrItsRoot) {
  EXPECT_EQ(scale_of("", "x").rank, 8);
  EXPECT_EQ(scale_of("", "x").scaling, 2);
  EXPECT_EQ(scale_of(R"("use_rslora":true)", "x").scaling, 16 / std::sqrt(8.0));
  EXPECT_EQ(scale_of(R"("rank_pattern":{"x":32},"use_rslora":true)", "x").scaling,
            16 / std::sqrt(32.0));
  EXPECT_EQ(scale_of(R"("alpha_pattern":{"x":0.5})", "x").scaling, 0.0625);
}

// Expected values: re.match(rf"(.*\.)?({pattern})$", path) in Python.
TEST(PeftConfig, MatchesPatternsAsPeftDoes) {
  struct Case {
    const char* name;
    const char* pattern;
    const char* path;
    bool fits;
  };
  for (const Case& c : {
           Case{"the whole path", "a.b", "a.b", true},
           Case{"the end", "q", "layers.0.q", true},
           Case{"several names at the end", "0.q", "layers.0.q", true},
           Case{"not inside a name", "q", "layers.0.seq", false},
           Case{"not before the end", "layers", "layers.0.q", false},
           Case{"a dot fits any character", "a.b", "a_b", true},
           Case{"a dot is no more than one", "a.b", "a.c.b", false},
           Case{"longer than the path", "x.a.b", "a.b", false},
           Case{"an expression", R"(layers\.[01]\.q)", "model.layers.1.q", true},
           Case{"an expression that does not fit", R"(layers\.[01]\.q)", "model.layers.2.q", false},
           Case{"alternatives", "q|k", "layers.0.k", true},
           Case{"alternatives end with the path", "q|k", "layers.k.0", false},
           Case{"anything", ".*", "layers.0.q", true},
           Case{"anchored at the start", "^a.q", "a.q", true},
           Case{"anchored elsewhere", "^a.q", "b.a.q", false},
           Case{"escaped digits", R"(\d+\.q)", "layers.10.q", true},
           Case{"empty", "", "layers.0.q", false},
       }) {
    SCOPED_TRACE(c.name);
    PeftConfig config = config_with("");
    config.rank_pattern = {{c.pattern, 3}};
    EXPECT_EQ(scales_of(config, {c.path}).at(0).rank, c.fits ? 3 : 8);
  }
}

TEST(PeftConfig, TakesTheFirstPatternThatFits) {
  const std::string patterns = R"({"0.q":2,"q":4,".*":1})";
  const std::vector<PeftScale> scales =
      scales_of(config_with(R"("rank_pattern":)" + patterns + R"(,"alpha_pattern":)" + patterns),
                {"l.0.q", "l.1.q", "l.1.k"});
  EXPECT_EQ(scales[0].rank, 2);
  EXPECT_EQ(scales[1].rank, 4);
  EXPECT_EQ(scales[2].rank, 1);
  for (const PeftScale& scale : scales) EXPECT_EQ(scale.scaling, 1);
}

TEST(PeftConfig, RefusesWhatIsNotPlainLora) {
  struct Case {
    const char* fields;
    const char* message;
  };
  for (const Case& c : {
           Case{R"("use_dora":true)", "'use_dora' is set: only plain LoRA is read"},
           Case{R"("use_qalora":true)", "'use_qalora' is set"},
           Case{R"("layer_replication":[[0,4],[2,6]])", "'layer_replication' is set"},
           Case{R"("alora_invocation_tokens":[1])", "'alora_invocation_tokens' is set"},
           Case{R"("target_parameters":["experts.w"])", "'target_parameters' is set"},
           Case{R"("trainable_token_indices":[5])", "'trainable_token_indices' is set"},
           Case{R"("init_lora_weights":"pissa_niter_4")", "init_lora_weights is 'pissa_niter_4'"},
           Case{R"("init_lora_weights":"olora")", "init_lora_weights is 'olora'"},
       }) {
    SCOPED_TRACE(c.fields);
    EXPECT_EQ(message_of([&] { config_with(c.fields); }).find(c.message), 0u)
        << message_of([&] { config_with(c.fields); });
  }
  EXPECT_EQ(message_of([&] { parse_peft_config(R"({"peft_type":"LOHA"})"); }),
            "peft_type is 'LOHA': only plain LoRA is read");
}

TEST(PeftConfig, ReadsOptionsThatAreThereButNotUsed) {
  const PeftConfig config = config_with(
      R"("use_dora":false,"layer_replication":null,"target_parameters":[],"arrow_config":{},)"
      R"("init_lora_weights":"gaussian","rank_pattern":null,"fan_in_fan_out":true,)"
      R"("base_model_name_or_path":"t5","something_new":{"a":1})");
  EXPECT_TRUE(config.fan_in_fan_out);
  EXPECT_EQ(config.base_model, "t5");
  EXPECT_EQ(config_with(R"("base_model_name_or_path":null)").base_model, "");
}

TEST(PeftConfig, RefusesWhatIsNoConfiguration) {
  for (const char* text :
       {"", "[]", "{", "null", R"({"peft_type":1})", R"({"peft_type":"LORA"})",
        R"({"peft_type":"LORA","r":0,"lora_alpha":1})",
        R"({"peft_type":"LORA","r":-1,"lora_alpha":1})",
        R"({"peft_type":"LORA","r":1.5,"lora_alpha":1})",
        R"({"peft_type":"LORA","r":2147483648,"lora_alpha":1})",
        R"({"peft_type":"LORA","r":1,"lora_alpha":"1"})",
        R"({"peft_type":"LORA","r":1,"lora_alpha":1e999})",
        R"({"peft_type":"LORA","r":1,"lora_alpha":1,"rank_pattern":[1]})",
        R"({"peft_type":"LORA","r":1,"lora_alpha":1,"rank_pattern":{"q":0}})",
        R"({"peft_type":"LORA","r":1,"lora_alpha":1,"alpha_pattern":{"q":null}})",
        R"({"peft_type":"LORA","r":1,"lora_alpha":1,"use_rslora":"yes"})"}) {
    SCOPED_TRACE(text);
    try {
      parse_peft_config(text);
      ADD_FAILURE() << "no Error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalid);
    }
  }
}

TEST(PeftConfig, IsRefusedWhenCutAnywhere) {
  const std::string text =
      R"({"peft_type":"LORA","r":8,"lora_alpha":16,"rank_pattern":{"q|k":4,"a.b":2}})";
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_NE(message_of([&] { parse_peft_config(text.substr(0, size)); }), "no Error");
  }
}

TEST(PeftConfig, RefusesPatternsThatWouldTakeForever) {
  PeftConfig config = config_with("");
  const std::string path(1000, 'a');
  for (const std::string& pattern :
       {std::string("(a{1000}){1000}"), "[" + std::string(300, 'a'), std::string("("),
        std::string("(?P<x>a)"), std::string(R"((a)\1)"),
        std::string("[") + std::string(257, 'a')}) {
    SCOPED_TRACE(pattern);
    config.rank_pattern = {{pattern, 1}};
    EXPECT_NE(message_of([&] { scales_of(config, {path}); }), "no Error");
  }
  EXPECT_NE(message_of([&] { scales_of(config, {std::string(1025, 'a')}); }), "no Error");
  // Fits nothing, after exponentially many tries where the matcher goes back.
  config.rank_pattern = {{"(a+)+!", 1}};
  EXPECT_EQ(scales_of(config, {path}).at(0).rank, 8);
}

TEST(PeftConfig, ReadsAThousandPatternsOfAsManyModules) {
  std::string patterns;
  std::vector<std::string> paths;
  for (int i = 0; i < 1000; ++i) {
    const std::string number = std::to_string(i);
    patterns += (i == 0 ? "" : ",") + ("\"layers\\\\." + number) +
                "\\\\.self_attn\\\\.(k|v)_proj\":" + std::to_string(1 + i % 7);
    paths.push_back("base_model.model.model.layers." + number + ".self_attn.v_proj");
  }
  const std::vector<PeftScale> scales =
      scales_of(config_with("\"rank_pattern\":{" + patterns + "}"), paths);
  for (size_t i = 0; i < scales.size(); ++i) EXPECT_EQ(scales[i].rank, 1 + static_cast<int>(i % 7));
}

TEST(PeftConfig, RefusesPatternsThatFitNothingOfManyModules) {
  std::string patterns;
  for (int i = 0; i < 1000; ++i) {
    patterns += (i == 0 ? "\"" : ",\"") + std::string("[a-z.]*[") + std::to_string(i) +
                "]+[qkv]_[p][r][o][j][a-z]*\":1";
  }
  const std::vector<std::string> paths(1000, "base_model.model.model.layers.17.self_attn.k_norm");
  EXPECT_NE(message_of([&] {
              scales_of(config_with("\"rank_pattern\":{" + patterns + "}"), paths);
            }).find("too many regular expressions as patterns for 1000 modules"),
            std::string::npos);
}

TEST(PeftConfig, WritesRanksThatAreReadBackPerModule) {
  // Each path is a pattern for others: by its end, or by its dots.
  const std::vector<std::pair<std::string, int64_t>> modules = {
      {"a.q", 4}, {"a_q", 2}, {"l.a.q", 8}, {"q", 1}, {"x.a.q", 3}, {"x_a.q", 5}};
  const PeftConfig config = parse_peft_config(peft_config_json(modules, "base"));
  EXPECT_EQ(config.rank, 8);
  EXPECT_EQ(config.base_model, "base");
  std::vector<std::string> paths;
  for (const auto& [path, rank] : modules) paths.push_back(path);
  const std::vector<PeftScale> scales = scales_of(config, paths);
  for (size_t i = 0; i < modules.size(); ++i) {
    SCOPED_TRACE(modules[i].first);
    EXPECT_EQ(scales[i].rank, modules[i].second);
    EXPECT_EQ(scales[i].scaling, 1);
  }
}

TEST(PeftConfig, WritesNoPatternsWhereRanksAreEqual) {
  const PeftConfig config = parse_peft_config(peft_config_json({{"a (b)", 4}, {"c", 4}}, ""));
  EXPECT_EQ(config.rank, 4);
  EXPECT_EQ(config.alpha, 4);
  EXPECT_TRUE(config.rank_pattern.empty());
  EXPECT_EQ(message_of([] {
              peft_config_json({{"a (b)", 4}, {"c", 2}}, "");
            }),
            "'a (b)': cannot be written as a pattern of ranks");
}

TEST(PeftConfig, RefusesMoreLiteralPatternsThanCanBeComparedWithAllModules) {
  PeftConfig config = config_with("");
  std::vector<std::string> paths;
  for (int i = 0; i < 10'000; ++i) paths.push_back("layer." + std::to_string(i));
  config.rank_pattern.assign(100'001, {"q", 1});
  EXPECT_EQ(message_of([&] { scales_of(config, paths); }),
            "has 100001 patterns, too many for 10000 modules");
}

}  // namespace
}  // namespace wshare::test

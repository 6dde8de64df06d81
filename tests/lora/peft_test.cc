#include "lora/peft.h"

#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "support/errors.h"
#include "support/files.h"
#include "support/places.h"

namespace wshare::test {
namespace {

const fs::path kAdapters = fs::path(kTestdata) / "adapters";

// The adapters of testdata hold the very factors that the exporter wrote, transposed, into the
// models of t5-lora.
void expect_factors_of_model(const std::string& task) {
  const fs::path family = fs::path(kTestdata) / "t5-lora";
  const nlohmann::json truth =
      nlohmann::json::parse(read_file(family / "family.json"))["tasks"][task]["lora"];
  onnx::ModelProto model;
  ASSERT_TRUE(model.ParseFromString(read_file(family / (task + ".onnx"))));
  std::map<std::string, std::string> weights;
  for (const onnx::TensorProto& each : model.graph().initializer())
    weights[each.name()] = each.raw_data();
  const PeftAdapter adapter = load_peft_adapter(kAdapters / task);
  EXPECT_EQ(adapter.config.base_model, "t5-lora/base");
  std::map<std::string, const PeftModule*> modules;
  for (const PeftModule& each : adapter.content.modules) modules[each.path] = &each;
  EXPECT_EQ(modules.size(), truth["pairs"].size());
  for (const nlohmann::json& pair : truth["pairs"]) {
    SCOPED_TRACE(pair["module"]);
    ASSERT_EQ(modules.count(pair["module"]), 1u);
    const PeftModule& module = *modules[pair["module"]];
    EXPECT_EQ(module.rank, pair["rank"]);
    EXPECT_DOUBLE_EQ(module.scaling, pair["scaling"]);
    for (const auto& [factor, key] : {std::pair(&module.a, "a"), std::pair(&module.b, "b")}) {
      ASSERT_EQ(pair[std::string(key) + "_layout"], "transposed");
      const auto rows = static_cast<uint64_t>(factor->shape[0]);
      const auto cols = static_cast<uint64_t>(factor->shape[1]);
      const std::vector<std::byte> turned = transposed(factor->bytes, rows, cols, 4);
      EXPECT_TRUE(text_of(turned) == weights[pair[key]]);
    }
  }
}

TEST(LoadPeftAdapter, FindsTheFactorsOfEveryModule) { expect_factors_of_model("summarize"); }

TEST(LoadPeftAdapter, ScalesByTheRootOfTheRankForRsLora) { expect_factors_of_model("classify"); }

TEST(LoadPeftAdapter, TakesAFileWithItsConfigurationBeside) {
  const PeftAdapter adapter =
      load_peft_adapter(kAdapters / "summarize" / "adapter_model.safetensors");
  EXPECT_EQ(adapter.content.modules.size(),
            load_peft_adapter(kAdapters / "summarize").content.modules.size());
}

TEST(LoadPeftAdapter, NamesTheFileThatIsMissingOrWrong) {
  const TempFolder folder;
  const std::string tensors = read_file(kAdapters / "summarize/adapter_model.safetensors");
  const std::string config = read_file(kAdapters / "summarize/adapter_config.json");
  const auto load = [&] { load_peft_adapter(folder.path()); };
  EXPECT_NE(message_of(load).find("adapter_model.safetensors"), std::string::npos);
  write_file(folder / "adapter_model.bin", "pickle");
  EXPECT_NE(message_of(load).find("adapter_model.bin': is a pickle"), std::string::npos);
  write_file(folder / "adapter_model.safetensors", tensors);
  EXPECT_NE(message_of(load).find("adapter_config.json"), std::string::npos);
  write_file(folder / "adapter_config.json", config + std::string(1 << 20, ' '));
  EXPECT_NE(message_of(load).find("adapter_config.json': has "), std::string::npos);
  write_file(folder / "adapter_config.json", "{}");
  EXPECT_NE(message_of(load).find("adapter_config.json': no valid"), std::string::npos);
  write_file(folder / "adapter_config.json", config);
  write_file(folder / "adapter_model.safetensors", tensors.substr(0, tensors.size() - 1));
  EXPECT_NE(message_of(load).find("adapter_model.safetensors': "), std::string::npos);
  write_file(folder / "adapter_model.safetensors", tensors);
  EXPECT_EQ(message_of(load), "no Error");
}

// Tensors of the modules below; all zero.
const std::string kZeros(1 << 12, '\0');

NamedTensor tensor(const std::string& name, std::vector<int64_t> shape, int32_t dtype = 1) {
  NamedTensor result{name, dtype, std::move(shape), {}};
  result.bytes = std::as_bytes(std::span(kZeros)).first(needed_bytes(result));
  return result;
}

PeftConfig config_of_rank(int64_t rank) {
  PeftConfig config;
  config.rank = rank;
  config.alpha = 1;
  return config;
}

std::string refusal(const std::vector<NamedTensor>& tensors) {
  return message_of([&] { read_peft_modules(config_of_rank(2), tensors); });
}

const NamedTensor kA = tensor("base_model.model.l.q.lora_A.weight", {2, 3});
const NamedTensor kB = tensor("base_model.model.l.q.lora_B.weight", {4, 2});

TEST(ReadPeftModules, KnowsEveryFormOfKey) {
  struct Case {
    const char* name;
    std::vector<NamedTensor> tensors;
    const char* path;
    bool embedding;
  };
  for (const Case& c :
       {Case{"as saved", {kB, kA}, "l.q", false},
        Case{"with the adapter's name",
             {tensor("base_model.model.l.q.lora_A.default.weight", {2, 3}),
              tensor("base_model.model.l.q.lora_B.default.weight", {4, 2})},
             "l.q",
             false},
        Case{"without a prefix",
             {tensor("l.q.lora_A.weight", {2, 3}), tensor("l.q.lora_B.weight", {4, 2})},
             "l.q",
             false},
        Case{"a convolution",
             {tensor("c.lora_A.weight", {2, 3, 5, 1}), tensor("c.lora_B.weight", {4, 2, 1, 1})},
             "c",
             false},
        Case{"an embedding",
             {tensor("base_model.model.e.lora_embedding_A", {2, 9}),
              tensor("base_model.model.e.lora_embedding_B", {3, 2})},
             "e",
             true},
        Case{"an embedding with the adapter's name",
             {tensor("e.lora_embedding_A.default", {2, 9}),
              tensor("e.lora_embedding_B.default", {3, 2})},
             "e",
             true}}) {
    SCOPED_TRACE(c.name);
    const PeftModules got = read_peft_modules(config_of_rank(2), c.tensors);
    ASSERT_EQ(got.modules.size(), 1u);
    EXPECT_EQ(got.modules[0].path, c.path);
    EXPECT_EQ(got.modules[0].embedding, c.embedding);
    EXPECT_EQ(got.modules[0].scaling, 0.5);
  }
}

TEST(ReadPeftModules, HandsOverTheEmbeddingThatPeftSavesAlong) {
  const PeftModules got = read_peft_modules(
      config_of_rank(2),
      std::vector{kA, kB, tensor("base_model.model.e.base_layer.weight", {9, 3})});
  ASSERT_EQ(got.base_weights.size(), 1u);
  EXPECT_EQ(got.base_weights[0].name, "e");
  EXPECT_EQ(got.base_weights[0].shape, (std::vector<int64_t>{9, 3}));
}

TEST(ReadPeftModules, HandsOverWhatPeftSavesWhole) {
  for (const auto& [key, name] :
       {std::pair{"base_model.model.head.weight", "head.weight"},
        {"base_model.model.head.dense.bias", "head.dense.bias"},
        {"base_model.model.head.modules_to_save.weight", "head.weight"},
        {"base_model.model.head.modules_to_save.default.bias", "head.bias"},
        {"base_model.model.l.q.base_layer.bias", "l.q.bias"}}) {
    SCOPED_TRACE(key);
    const PeftModules got =
        read_peft_modules(config_of_rank(2), std::vector{kA, kB, tensor(key, {4})});
    ASSERT_EQ(got.whole.size(), 1u);
    EXPECT_EQ(got.whole[0].name, name);
  }
}

TEST(ReadPeftModules, NamesWhatIsNoPlainLora) {
  struct Case {
    NamedTensor more;
    const char* message;
  };
  for (const Case& c :
       {Case{tensor("base_model.model.l.q.lora_magnitude_vector.weight", {4}),
             "'base_model.model.l.q.lora_magnitude_vector.weight': is a magnitude of DoRA: only "
             "plain LoRA is read"},
        Case{tensor("base_model.model.l.q.lora_B.bias", {4}), "is a bias of a factor"},
        Case{tensor("base_model.model.e.token_adapter.trainable_tokens_delta", {4, 4}),
             "is no factor and no weight"},
        Case{tensor("lora_A.weight", {4, 4}), "is no factor and no weight"},
        Case{tensor("x.lora_A.other.weight", {2, 3}), "holds several adapters"}}) {
    SCOPED_TRACE(c.more.name);
    EXPECT_NE(refusal({kA, kB, c.more}).find(c.message), std::string::npos)
        << refusal({kA, kB, c.more});
  }
}

TEST(ReadPeftModules, RefusesFactorsThatDoNotFit) {
  struct Case {
    const char* name;
    std::vector<NamedTensor> tensors;
    const char* message;
  };
  for (const Case& c :
       {Case{"nothing", {}, "has no tensor called lora_A or lora_B"},
        Case{"no A", {kB}, "'l.q': lacks factor A"}, Case{"no B", {kA}, "'l.q': lacks factor B"},
        Case{"two A", {kA, kB, tensor("l.q.lora_A.weight", {2, 3})}, "has a second factor"},
        Case{"a linear A and an embedding's B",
             {kA, tensor("l.q.lora_embedding_B", {4, 2})},
             "has a second factor"},
        Case{"another rank than configured",
             {tensor("x.lora_A.weight", {3, 3}), tensor("x.lora_B.weight", {4, 3})},
             "'x': factors of rank 3, adapter_config.json says 2"},
        Case{"inner sizes that differ",
             {kA, tensor("l.q.lora_B.weight", {4, 3})},
             "'l.q': A gives 2 values in 2 dimensions, B takes 3 in 2"},
        Case{"other dimensions",
             {kA, tensor("l.q.lora_B.weight", {4, 2, 1, 1})},
             "A gives 2 values in 2 dimensions, B takes 2 in 4"},
        Case{"a kernel in B",
             {tensor("c.lora_A.weight", {2, 3, 1, 1}), tensor("c.lora_B.weight", {4, 2, 3, 3})},
             "A gives 2"},
        Case{"a vector", {kA, tensor("l.q.lora_B.weight", {8})}, "is no matrix"},
        Case{"a scalar", {kA, tensor("l.q.lora_B.weight", {})}, "is no matrix"},
        Case{"no input", {tensor("l.q.lora_A.weight", {2, 0}), kB}, "is no matrix"},
        Case{"two types", {kA, tensor("l.q.lora_B.weight", {4, 2}, 10)}, "1 and 10"},
        Case{"integers",
             {tensor("x.lora_A.weight", {2, 3}, 7), tensor("x.lora_B.weight", {4, 2}, 7)},
             "not one float type"}}) {
    SCOPED_TRACE(c.name);
    EXPECT_NE(refusal(c.tensors).find(c.message), std::string::npos) << refusal(c.tensors);
  }
}

}  // namespace
}  // namespace wshare::test

// extract-lora --emit peft: adapters that PEFT loads, beside the bundle.

#include <nlohmann/json.hpp>

#include "format/adapter_file.h"
#include "import_adapter/fixture.h"
#include "lora/peft.h"
#include "wshare/error.h"
#include "wshare/extract_lora.h"

namespace wshare::test {
namespace {

// The model of the fixture with rank-1 updates of two weights merged in.
onnx::ModelProto merged_model() {
  onnx::ModelProto model = small_model();
  for (const int w : {1, 2}) {
    std::string& bytes = *model.mutable_graph()->mutable_initializer(w)->mutable_raw_data();
    const auto cols = static_cast<size_t>(model.graph().initializer(w).dims(1));
    for (size_t i = 0; i < bytes.size() / 4; ++i) {
      float value;
      std::memcpy(&value, bytes.data() + 4 * i, 4);
      value += static_cast<float>(1 + i / cols) * static_cast<float>(2 + i % cols) / 32;
      std::memcpy(bytes.data() + 4 * i, &value, 4);
    }
  }
  return model;
}

class PeftOutput : public ImportTest {
 protected:
  PeftOutput() {
    add("base.onnx", small_model());
    add("task.onnx", merged_model());
  }

  std::vector<std::string> arguments(std::vector<std::string> more = {}) {
    std::vector<std::string> all = {"extract-lora", path("in/task.onnx"),
                                    "--base",       path("in/base.onnx"),
                                    "-o",           bundle(),
                                    "--min-bytes",  "64",
                                    "--emit",       "peft"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  // Of the adapter in `folder`.
  std::vector<std::string> paths_in(const std::string& folder) {
    std::vector<std::string> paths;
    for (const PeftModule& module : load_peft_adapter(temp_ / folder).content.modules)
      paths.push_back(module.path);
    return paths;
  }
};

TEST_F(PeftOutput, HoldsTheFactorsOfTheAdapter) {
  ASSERT_EQ(run(arguments({"--json"})), 0) << err_;
  EXPECT_EQ(nlohmann::json::parse(out_)["tasks"][0]["peft"], "task");
  EXPECT_EQ(names_in(temp_ / "bundle-peft"), std::vector<std::string>{"task"});
  EXPECT_EQ(paths_in("bundle-peft/task"), (std::vector<std::string>{"model.l.0.k", "model.l.0.q"}));
  const std::map<std::string, Given> factors = parameters("task.onnx_adapter");
  for (const PeftModule& module : load_peft_adapter(temp_ / "bundle-peft/task").content.modules) {
    SCOPED_TRACE(module.path);
    EXPECT_EQ(module.scaling, 1);
    for (const auto& [factor, name] : {std::pair(&module.a, "A"), {&module.b, "B"}}) {
      const Given& served = factors.at(module.path + ".lora_" + name + ".weight");
      const auto rows = static_cast<uint64_t>(factor->shape[0]);
      const auto cols = static_cast<uint64_t>(factor->shape[1]);
      EXPECT_EQ(served.dims, (Dims{factor->shape[1], factor->shape[0]}));
      const std::vector<std::byte> turned = wshare::transposed(factor->bytes, rows, cols, 4);
      EXPECT_TRUE(std::memcmp(turned.data(), served.bytes.data(), served.bytes.size()) == 0);
    }
  }
  expect_whole();
  // What was written can be imported.
  ASSERT_EQ(run({"dedupe", path("in/base.onnx"), "-o", path("other"), "--min-bytes", "64"}), 0);
  ASSERT_EQ(run({"import-adapter", path("other"), path("bundle-peft/task")}), 0) << err_;
  EXPECT_TRUE(read_file(temp_ / "other/task.onnx_adapter") ==
              read_file(temp_ / "bundle/task.onnx_adapter"));
}

TEST_F(PeftOutput, TakesPathsOfAMap) {
  write_file(temp_ / "map.json", R"({"model": "", "onnx::MatMul_7": "net.query"})");
  ASSERT_EQ(run(arguments({"--peft-map", path("map.json"), "--peft-dir", path("p")})), 0) << err_;
  EXPECT_EQ(paths_in("p/task"), (std::vector<std::string>{"l.0.k", "net.query"}));
  write_file(temp_ / "map.json", R"({"model.l": "x.y", "model": "no", "model.l.0.q": "z"})");
  ASSERT_EQ(run(arguments({"--peft-map", path("map.json"), "--peft-dir", path("p"), "--force"})), 0)
      << err_;
  EXPECT_EQ(paths_in("p/task"), (std::vector<std::string>{"x.y.0.k", "z"}));
}

TEST_F(PeftOutput, RefusesMapsThatSayNoPaths) {
  for (const char* text : {"[]", "{", R"({"model": 1})"}) {
    SCOPED_TRACE(text);
    write_file(temp_ / "map.json", text);
    expect_refused(arguments({"--peft-map", path("map.json")}), 4, {"map.json"});
  }
  write_file(temp_ / "map.json", R"({"model.l.0.q": "x", "model.l.0.k": "x"})");
  expect_refused(arguments({"--peft-map", path("map.json")}), 4,
                 {"'onnx::MatMul_7' and 'model.l.0.k.weight': both belong to module 'x'"});
  expect_refused(arguments({"--peft-map", path("none.json")}), 3, {"none.json"});
}

TEST_F(PeftOutput, RefusesAWeightWithoutAPath) {
  onnx::ModelProto base = small_model(), task = merged_model();
  for (onnx::ModelProto* model : {&base, &task})
    model->mutable_graph()->mutable_node(1)->clear_name();
  add("base.onnx", base);
  add("task.onnx", task);
  expect_refused(arguments(), 4,
                 {"'onnx::MatMul_7': the exporter has not left", "--peft-map FILE"});
  write_file(temp_ / "map.json", R"({"onnx::MatMul_7": "l.0.q"})");
  EXPECT_EQ(run(arguments({"--peft-map", path("map.json")})), 0) << err_;
}

TEST_F(PeftOutput, IsNotForTasksWithMoreThanLora) {
  onnx::ModelProto task = merged_model();
  onnx::TensorProto& embed = *task.mutable_graph()->mutable_initializer(0);
  std::string& bytes = *embed.mutable_raw_data();
  const std::string random = noise(bytes.size() / 4, 77);
  for (size_t i = 0; i < random.size(); ++i) {
    const float value = static_cast<float>(random[i]) / 64;
    std::memcpy(bytes.data() + 4 * i, &value, 4);
  }
  add("task.onnx", task);
  ASSERT_EQ(run(arguments()), 0) << err_;
  EXPECT_NE(out_.find("has no adapter of PEFT: it is no adapter: "), std::string::npos) << out_;
  EXPECT_EQ(names_in(temp_ / "bundle-peft"), std::vector<std::string>());
}

TEST_F(PeftOutput, SaysThatTheBundleStandsWhereOnlyTheAdaptersFail) {
  ExtractOptions options;
  options.base = path("in/base.onnx");
  options.min_bytes = 64;
  options.peft.folder = temp_ / "peft";
  // Somebody takes the adapters' place when all is written.
  options.progress = [&](const char* stage, uint64_t, uint64_t) {
    if (std::string(stage) == "committing") write_file(temp_ / "peft/other", "x");
  };
  try {
    (void)extract_lora(inputs({"task.onnx"}), bundle(), options);
    ADD_FAILURE() << "it was refused nothing";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    EXPECT_NE(std::string(error.what()).find("peft': cannot put the result there"),
              std::string::npos)
        << error.what();
    EXPECT_NE(std::string(error.what()).find("bundle' is complete"), std::string::npos);
  }
  expect_whole();
  EXPECT_EQ(names_in(temp_ / "peft"), std::vector<std::string>{"other"});
  for (const std::string& name : names_in(temp_ / ".")) EXPECT_NE(name[0], '.') << name;
}

TEST_F(PeftOutput, HasNoOptionsOfItsOwn) {
  for (const char* option : {"--peft-dir", "--peft-map"}) {
    EXPECT_EQ(run({"extract-lora", path("in/task.onnx"), "-o", bundle(), option, path("x")}), 2);
    EXPECT_NE(err_.find("--emit peft"), std::string::npos) << err_;
  }
}

TEST_F(PeftOutput, ComesOnTopOfWhatServesTheTasks) {
  ASSERT_EQ(run(arguments()), 0) << err_;
  EXPECT_TRUE(fs::exists(temp_ / "bundle/task.onnx_adapter"));
  ASSERT_EQ(run(arguments({"--emit", "onnx", "--force"})), 0) << err_;
  EXPECT_FALSE(fs::exists(temp_ / "bundle/task.onnx_adapter"));
  EXPECT_TRUE(fs::exists(temp_ / "bundle/task.onnx"));
  EXPECT_TRUE(fs::exists(temp_ / "bundle-peft/task/adapter_model.safetensors"));
  expect_whole();
}

TEST_F(PeftOutput, ReplacesAdaptersOnly) {
  ASSERT_EQ(run(arguments()), 0) << err_;
  fs::remove_all(temp_ / "bundle");
  expect_refused(arguments(), 3, {"bundle-peft", "exists already", "--force"});
  EXPECT_EQ(run(arguments({"--force"})), 0) << err_;
  write_file(temp_ / "bundle-peft/task/README.md", "mine");
  expect_refused(arguments({"--force"}), 3, {"task", "is no adapter that would be replaced"});
  for (const char* folder : {"bundle/x", "bundle", "."}) {
    SCOPED_TRACE(folder);
    expect_refused(arguments({"--force", "--peft-dir", path(folder)}), 3, {"the bundle"});
  }
}

}  // namespace
}  // namespace wshare::test

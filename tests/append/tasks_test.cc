// A bundle with tasks gets more of them, over the same base.

#include "extract_lora/linear.h"
#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "support/errors.h"
#include "wshare/append.h"
#include "wshare/dedupe.h"
#include "wshare/remove.h"

namespace wshare::test {
namespace {

class AppendTasks : public ExtractTest {
 protected:
  // Adds `file`: the base with an update of rank 2 merged into each of `modules`.
  void add_task(const std::string& file, const std::vector<std::string>& modules, uint64_t seed,
                const std::function<void(Weights&)>& change = {}) {
    Weights weights = encoder_weights(kLayers, 7);
    for (const std::string& module : modules) {
      Matrix& weight = weights.at(module);
      weight = sum(weight, low_rank(weight.rows, weight.cols, 2, seed++));
    }
    if (change) change(weights);
    Export exported;
    exported.first_number += static_cast<int>(seed % 7);
    add(file, cast_to_float(export_encoder(weights, kLayers, exported).model));
  }

  void SetUp() override {
    ExtractTest::SetUp();
    add("base.onnx", cast_to_float(export_encoder(encoder_weights(kLayers, 7), kLayers, {}).model));
    add_task("first.onnx", {"0.q", "0.v"}, 100);
  }

  AppendReport append_tasks(const std::vector<std::string>& files,
                            const std::function<void(AppendOptions&)>& set = {}) {
    AppendOptions options;
    options.wait = std::chrono::milliseconds(0);
    if (set) set(options);
    return append(temp_ / "bundle", inputs(files), options);
  }

  uint64_t bundle_size() const { return bytes_below(temp_ / "bundle"); }
};

TEST_F(AppendTasks, TakeTheBranchesThatTheBaseHas) {
  add_task("second.onnx", {"0.v"}, 200);
  extract({"first.onnx"}, "base.onnx");
  const auto before = files_in(temp_ / "bundle");
  const AppendReport report = append_tasks({"second.onnx"});
  ASSERT_EQ(report.tasks.size(), 1u);
  EXPECT_EQ(report.base, "base");
  EXPECT_EQ(report.tasks[0].adapter, "second.onnx_adapter");
  EXPECT_EQ(report.tasks[0].reasons, std::vector<std::string>());
  ASSERT_EQ(report.tasks[0].tensors.size(), 1u);
  EXPECT_EQ(report.tasks[0].tensors[0].rank, 2);
  EXPECT_FALSE(report.new_base);
  EXPECT_TRUE(report.models.empty());
  EXPECT_EQ(report.bytes_out, bundle_size());
  for (const auto& [name, bytes] : before) {
    if (name == kManifestName) continue;
    EXPECT_TRUE(read_file(temp_ / ("bundle/" + name)) == bytes) << name << " was changed";
  }
  expect_whole({"base.onnx", "first.onnx", "second.onnx"});
}

TEST_F(AppendTasks, GiveTheBaseBranchesThatItLacks) {
  add_task("second.onnx", {"0.v", "1.up"}, 200);
  extract({"first.onnx"}, "base.onnx");
  const AppendReport report = append_tasks({"second.onnx"});
  EXPECT_TRUE(report.new_base);
  EXPECT_EQ(report.tasks.at(0).adapter, "second.onnx_adapter");
  EXPECT_EQ(report.bytes_out, bundle_size());
  const Manifest manifest = load_manifest(temp_ / "bundle");
  ASSERT_EQ(manifest.models.size(), 1u);
  EXPECT_FALSE(fs::exists(temp_ / "bundle/base.onnx"));
  const std::string base = read_file(temp_ / "bundle" / manifest.models[0].file);
  for (const TaskRecord& task : manifest.tasks) {
    for (const ParameterRecord& parameter : task.parameters)
      EXPECT_NE(base.find(parameter.name), std::string::npos) << std::string(parameter.name);
  }
  expect_whole({"base.onnx", "first.onnx", "second.onnx"});
}

TEST_F(AppendTasks, OneByOneTakeWhatAllAtOnceTake) {
  add_task("second.onnx", {"0.v", "1.up"}, 200);
  add_task("third.onnx", {"0.q", "1.k", "1.down"}, 300);
  extract({"first.onnx", "second.onnx", "third.onnx"}, "base.onnx");
  const uint64_t at_once = bundle_size();
  forget();
  extract({"first.onnx"}, "base.onnx");
  append_tasks({"second.onnx"});
  append_tasks({"third.onnx"});
  EXPECT_NEAR(static_cast<double>(bundle_size()), static_cast<double>(at_once),
              0.01 * static_cast<double>(at_once));
  expect_whole({"base.onnx", "first.onnx", "second.onnx", "third.onnx"});
}

TEST_F(AppendTasks, BringTheirBiasesAsInputs) {
  const auto with_bias = [](uint64_t bias, uint64_t update) {
    return model("y0 = MatMul (x, w) y1 = Add (y0, bias) y = Relu (y1)",
                 {with(weight(), low(update)), vector("bias", bias)});
  };
  add("base.onnx",
      model("y0 = MatMul (x, w) y1 = Add (y0, bias) y = Relu (y1)", {weight(), vector("bias", 2)}));
  add("first.onnx", with_bias(2, 20));
  add("second.onnx", with_bias(3, 30));
  add("third.onnx", with_bias(4, 40));
  extract({"first.onnx"}, "base.onnx");
  const AppendReport second = append_tasks({"second.onnx"});
  EXPECT_EQ(second.tasks.at(0).reasons, std::vector<std::string>());
  EXPECT_TRUE(second.new_base);
  const AppendReport third = append_tasks({"third.onnx"});
  EXPECT_EQ(third.tasks.at(0).reasons, std::vector<std::string>());
  EXPECT_FALSE(third.new_base);
  expect_whole({"base.onnx", "first.onnx", "second.onnx", "third.onnx"});
}

TEST_F(AppendTasks, EqualToTheBaseOrToOneThatIsThereTakeNothing) {
  add_task("same.onnx", {}, 1);
  add_task("again.onnx", {"0.q", "0.v"}, 100);
  extract({"first.onnx"}, "base.onnx");
  const AppendReport report = append_tasks({"same.onnx", "again.onnx"});
  ASSERT_EQ(report.tasks.size(), 2u);
  EXPECT_EQ(report.tasks[0].same_as, "base");
  EXPECT_EQ(report.tasks[1].same_as, "first");
  expect_whole({"base.onnx", "first.onnx", "same.onnx", "again.onnx"});
}

TEST_F(AppendTasks, OfAnotherArchitectureAreModelsAndSaidSo) {
  add_task("second.onnx", {"0.q"}, 200);
  add("other.onnx", {raw("w", noise(60000, 4))});
  extract({"first.onnx"}, "base.onnx");
  const AppendReport report = append_tasks({"other.onnx", "second.onnx"});
  ASSERT_EQ(report.models.size(), 1u);
  EXPECT_EQ(report.models[0].name, "other");
  EXPECT_EQ(report.models[0].own_bytes, 60000u);
  ASSERT_EQ(report.no_tasks.size(), 1u);
  EXPECT_NE(report.no_tasks[0].find("'other': is no variant of the base 'base'"),
            std::string::npos);
  ASSERT_EQ(report.tasks.size(), 1u);
  EXPECT_EQ(report.tasks[0].name, "second");
  EXPECT_EQ(report.bytes_out, bundle_size());
  expect_whole({"base.onnx", "first.onnx", "second.onnx", "other.onnx"});
}

TEST_F(AppendTasks, WithAHeadOfTheirOwnReadTheRestFromTheBase) {
  Weights weights = encoder_weights(kLayers, 7);
  weights.at("0.q") = sum(weights.at("0.q"), low_rank(48, 48, 2, 99));
  weights["head"] = random_matrix(48, 16, 5);
  Export exported;
  exported.head = true;
  add("second.onnx", export_encoder(weights, kLayers, exported).model);
  extract({"first.onnx"}, "base.onnx");
  const AppendReport report = append_tasks({"second.onnx"});
  EXPECT_EQ(report.tasks.at(0).model, "second.onnx");
  EXPECT_FALSE(report.tasks.at(0).reasons.empty());
  EXPECT_LT(report.tasks.at(0).model_bytes, read_file(temp_ / "in/second.onnx").size() / 2);
  expect_whole({"base.onnx", "first.onnx", "second.onnx"});
}

TEST_F(AppendTasks, AreModelsWhereThatIsAskedFor) {
  add_task("second.onnx", {"0.q"}, 200);
  extract({"first.onnx"}, "base.onnx");
  const AppendReport report =
      append_tasks({"second.onnx"}, [](AppendOptions& options) { options.as_models = true; });
  EXPECT_TRUE(report.tasks.empty());
  ASSERT_EQ(report.models.size(), 1u);
  expect_whole({"base.onnx", "first.onnx", "second.onnx"});
}

TEST_F(AppendTasks, MakeTasksOfAModelThatDedupeBrought) {
  dedupe(inputs({"base.onnx"}), temp_ / "bundle", {});
  EXPECT_TRUE(append_tasks({"first.onnx"}, [](AppendOptions& options) {
                options.dry_run = true;
              }).tasks.empty());
  const AppendReport report =
      append_tasks({"first.onnx"}, [](AppendOptions& options) { options.base = "base"; });
  EXPECT_EQ(report.tasks.at(0).adapter, "first.onnx_adapter");
  EXPECT_TRUE(report.new_base);
  expect_whole({"base.onnx", "first.onnx"});
}

TEST_F(AppendTasks, WantToKnowTheBaseWhereTasksHaveSeveral) {
  add_task("second.onnx", {"0.q"}, 200);
  add("other.onnx", cast_to_float(export_encoder(encoder_weights(kLayers, 70), kLayers, {}).model));
  Weights weights = encoder_weights(kLayers, 70);
  weights.at("0.q") = sum(weights.at("0.q"), low_rank(48, 48, 2, 5));
  add("third.onnx", cast_to_float(export_encoder(weights, kLayers, {}).model));
  dedupe(inputs({"base.onnx", "other.onnx"}), temp_ / "bundle", {});
  append_tasks({"first.onnx"}, [](AppendOptions& options) { options.base = "base"; });
  append_tasks({"third.onnx"}, [](AppendOptions& options) { options.base = "other"; });
  std::string message;
  EXPECT_EQ(code_of([&] { append_tasks({"second.onnx"}); }, &message),
            static_cast<int>(ErrorCode::kInvalid));
  EXPECT_EQ(message, "the tasks of the bundle have several bases: 'base', 'other'");
  append_tasks({"second.onnx"}, [](AppendOptions& options) { options.base = "base"; });
  expect_whole({"base.onnx", "other.onnx", "first.onnx", "second.onnx", "third.onnx"});
}

TEST_F(AppendTasks, AreRefusedOverADamagedBase) {
  add_task("second.onnx", {"0.q"}, 200);
  extract({"first.onnx"}, "base.onnx");
  std::string base = read_file(temp_ / "bundle/base.onnx");
  base[base.size() / 2] = static_cast<char>(base[base.size() / 2] ^ 1);
  write_file(temp_ / "bundle/base.onnx", base);
  const auto before = files_in(temp_ / "bundle");
  EXPECT_EQ(code_of([&] { append_tasks({"second.onnx"}); }), static_cast<int>(ErrorCode::kInvalid));
  EXPECT_EQ(files_in(temp_ / "bundle"), before);
}

TEST_F(AppendTasks, ChangeNothingInADryRun) {
  add_task("second.onnx", {"1.up"}, 200);
  extract({"first.onnx"}, "base.onnx");
  const auto before = files_in(temp_ / "bundle");
  const AppendReport planned =
      append_tasks({"second.onnx"}, [](AppendOptions& options) { options.dry_run = true; });
  EXPECT_EQ(files_in(temp_ / "bundle"), before);
  const AppendReport done = append_tasks({"second.onnx"});
  EXPECT_EQ(planned.bytes_out, done.bytes_out);
  EXPECT_TRUE(planned.new_base);
}

}  // namespace
}  // namespace wshare::test

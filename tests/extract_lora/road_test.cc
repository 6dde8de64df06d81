// extract-lora end to end: task models in, a bundle out, the same files back.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "extract_lora/extract_test.h"
#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "support/places.h"

namespace wshare::test {
namespace {

using ExtractLora = ExtractTest;

TEST_F(ExtractLora, MakesAnAdapterOfAMergedTask) {
  add_merged({"0.q", "0.v", "1.up"}, 3);
  const ExtractReport report = extract({"task.onnx"}, "base.onnx");
  const ExtractedTask& task = report.tasks.at(0);
  EXPECT_EQ(task.reasons, std::vector<std::string>());
  EXPECT_EQ(task.adapter, "task.onnx_adapter");
  EXPECT_EQ(task.model, "");
  ASSERT_EQ(task.tensors.size(), 3u);
  for (const ExtractedTensor& tensor : task.tensors) {
    EXPECT_EQ(tensor.rank, 3) << tensor.task_tensor;
    EXPECT_EQ(tensor.tensor_class, TensorClass::kLowRank);
    EXPECT_LT(tensor.relative_error, 1e-5);
  }
  EXPECT_LT(task.residual_bytes, 3 * 48 * 96 * 4 / 10);
  EXPECT_FALSE(fs::exists(temp_ / "bundle/task.onnx"));
  expect_whole({"base.onnx", "task.onnx"});
}

TEST_F(ExtractLora, GivesBackTasksThatStoreWeightsTheOtherWayRound) {
  Export exported;
  exported.transposed = {"0.q", "1.down", "1.k"};
  exported.through_identity = {"0.v"};
  add_merged({"0.q", "0.v"}, 2, exported);
  const ExtractReport report = extract({"task.onnx"}, "base.onnx");
  EXPECT_EQ(report.tasks.at(0).reasons, std::vector<std::string>());
  expect_whole({"base.onnx", "task.onnx"});
}

TEST_F(ExtractLora, GivesBackHalfPrecisionBitForBit) {
  for (const int type : {Proto::FLOAT16, Proto::BFLOAT16}) {
    SCOPED_TRACE(type);
    fs::remove_all(temp_ / "bundle");
    fs::remove_all(temp_ / "back");
    Export exported;
    exported.type = type;
    add_merged({"0.q", "1.o"}, 2, exported, exported);
    const ExtractReport report = extract({"task.onnx"}, "base.onnx");
    EXPECT_EQ(report.tasks.at(0).adapter, "task.onnx_adapter");
    expect_whole({"base.onnx", "task.onnx"});
  }
}

TEST_F(ExtractLora, GivesATaskWithAnotherHeadAModelOfItsOwn) {
  Weights base = encoder_weights(kLayers, 7);
  add("base.onnx", export_encoder(base, kLayers).model);
  base.at("0.q") = sum(base.at("0.q"), low_rank(48, 48, 2, 99));
  base["head"] = random_matrix(48, 16, 5);
  Export exported;
  exported.head = true;
  add("task.onnx", export_encoder(base, kLayers, exported).model);
  const ExtractReport report = extract({"task.onnx"}, "base.onnx");
  const ExtractedTask& task = report.tasks.at(0);
  EXPECT_EQ(task.adapter, "");
  EXPECT_EQ(task.model, "task.onnx");
  ASSERT_FALSE(task.reasons.empty());
  EXPECT_NE(task.reasons[0].find("logits"), std::string::npos) << task.reasons[0];
  // The merged weight is the base's and a branch; the head is all that is stored beside.
  const Manifest manifest = load_manifest(temp_ / "bundle");
  uint64_t own = 0;
  for (const BlobRecord& blob : manifest.blobs) own += blob.file == "task.bin" ? blob.size : 0;
  EXPECT_LT(own, 48 * 16 * 4 + 2 * 2 * 48 * 4 + 256u);
  expect_whole({"base.onnx", "task.onnx"});
}

TEST_F(ExtractLora, StoresAFullFineTuneWhole) {
  Weights base = encoder_weights(kLayers, 7);
  add("base.onnx", export_encoder(base, kLayers).model);
  for (auto& [module, weight] : base) {
    weight = sum(weight, random_matrix(weight.rows, weight.cols, 50, 0.002));
  }
  add("task.onnx", export_encoder(base, kLayers).model);
  const ExtractReport report = extract({"task.onnx"}, "base.onnx");
  EXPECT_EQ(report.tasks.at(0).adapter, "");
  EXPECT_FALSE(report.tasks.at(0).reasons.empty());
  for (const ExtractedTensor& tensor : report.tasks.at(0).tensors) {
    EXPECT_EQ(tensor.tensor_class, TensorClass::kReplaced) << tensor.task_tensor;
    EXPECT_EQ(tensor.stored_bytes, tensor.bytes);
  }
  expect_whole({"base.onnx", "task.onnx"});
}

TEST_F(ExtractLora, SaysNothingChangedOfATaskEqualToTheBase) {
  add_merged({}, 1);
  const ExtractReport report = extract({"task.onnx"}, "base.onnx");
  EXPECT_TRUE(report.tasks.at(0).tensors.empty());
  EXPECT_EQ(report.tasks.at(0).adapter, "");
  EXPECT_EQ(report.tasks.at(0).model, "");
  expect_whole({"base.onnx", "task.onnx"});
}

TEST_F(ExtractLora, ServesNothingApproximateWhenExact) {
  add_merged({"0.q", "0.v"}, 3);
  const ExtractReport report =
      extract({"task.onnx"}, "base.onnx", [](ExtractOptions& options) { options.exact = true; });
  EXPECT_EQ(report.tasks.at(0).adapter, "");
  EXPECT_EQ(report.tasks.at(0).residual_bytes, 0u);
  // The model reads the task's own weights: its record gives it back by itself.
  const Manifest manifest = load_manifest(temp_ / "bundle");
  EXPECT_TRUE(manifest.models.at(1).source.has_value());
  expect_whole({"base.onnx", "task.onnx"});
}

TEST_F(ExtractLora, RestoresApproximatelyWithoutResiduals) {
  add_merged({"0.q"}, 3);
  const ExtractReport report = extract({"task.onnx"}, "base.onnx",
                                       [](ExtractOptions& options) { options.residual = false; });
  EXPECT_EQ(report.residual_bytes, 0u);
  const std::vector<RestoredModel> restored =
      restore(temp_ / "bundle", {"task"}, temp_ / "back", {});
  EXPECT_FALSE(restored.at(0).identical);
  const std::string back = read_file(temp_ / "back/task.onnx");
  EXPECT_EQ(back.size(), read_file(temp_ / "in/task.onnx").size());
  EXPECT_FALSE(back == read_file(temp_ / "in/task.onnx"));
}

TEST_F(ExtractLora, WritesTheSameBundleForAnyNumberOfThreads) {
  add_merged({"0.q", "0.v", "1.up", "1.down"}, 3);
  std::map<std::string, std::string> first;
  for (const unsigned threads : {1u, 2u, 5u}) {
    extract({"task.onnx"}, "base.onnx", [&](ExtractOptions& options) {
      options.threads = threads;
      options.replace = true;
    });
    std::map<std::string, std::string> files;
    for (const fs::directory_entry& entry : fs::directory_iterator(temp_ / "bundle")) {
      files[entry.path().filename().string()] = read_file(entry.path());
    }
    if (first.empty()) first = files;
    EXPECT_TRUE(files == first) << threads;
  }
}

TEST_F(ExtractLora, MeasuresInADryRunWhatItWouldWrite) {
  add_merged({"0.q", "1.up"}, 3);
  const ExtractReport dry =
      extract({"task.onnx"}, "base.onnx", [](ExtractOptions& options) { options.dry_run = true; });
  EXPECT_FALSE(fs::exists(temp_ / "bundle"));
  extract({"task.onnx"}, "base.onnx");
  uint64_t bytes = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(temp_ / "bundle")) {
    bytes += entry.file_size();
  }
  EXPECT_EQ(dry.bytes_out, bytes);
}

TEST_F(ExtractLora, TakesTheFirstTaskForTheBaseWhereNoneIsGiven) {
  add_merged({"0.q", "1.up"}, 3);
  const ExtractReport report = extract({"base.onnx", "task.onnx"}, "");
  EXPECT_EQ(report.base, "base_2");  // a task has the name
  EXPECT_EQ(report.tasks.at(0).adapter, "");
  EXPECT_EQ(report.tasks.at(1).adapter, "task.onnx_adapter");
  expect_whole({"base.onnx", "task.onnx"});
}

// Three unmerged tasks of a real export, with the truth of their training.
TEST_F(ExtractLora, FindsEveryPairOfARealExport) {
  const fs::path family = fs::path(kTestdata) / "t5-lora";
  fs::copy(family, temp_ / "in",
           fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  for (const char* base : {"base.onnx", ""}) {
    SCOPED_TRACE(base);
    fs::remove_all(temp_ / "bundle");
    fs::remove_all(temp_ / "back");
    const std::vector<std::string> tasks = {"summarize.onnx", "translate.onnx", "classify.onnx"};
    const ExtractReport report = extract(tasks, base);
    const auto truth = nlohmann::json::parse(read_file(family / "family.json")).at("tasks");
    for (const ExtractedTask& task : report.tasks) {
      SCOPED_TRACE(task.name);
      EXPECT_EQ(task.reasons, std::vector<std::string>());
      const auto& pairs = truth.at(task.name).at("lora").at("pairs");
      ASSERT_EQ(task.tensors.size(), pairs.size());
      for (const ExtractedTensor& tensor : task.tensors) {
        EXPECT_EQ(tensor.tensor_class, TensorClass::kLora);
        EXPECT_EQ(tensor.rank, truth.at(task.name).at("lora").at("rank"));
      }
    }
    expect_whole(tasks);
  }
}

// Merged tasks of real exports, by two exporters: names equal in one, shifted in another.
TEST_F(ExtractLora, FindsEveryMergedUpdateOfRealExports) {
  const fs::path testdata = kTestdata;
  const auto tasks =
      nlohmann::json::parse(read_file(testdata / "t5-lora-merged/family.json")).at("tasks");
  EXPECT_EQ(tasks.size(), 3u);
  for (const auto& [name, truth] : tasks.items()) {
    SCOPED_TRACE(name);
    forget();
    const fs::path base =
        testdata / "t5-lora-merged" / (truth.at("base").get<std::string>() + ".onnx");
    add("base.onnx", read_file(base));
    add("task.onnx", read_file(testdata / "t5-lora-merged" / (name + ".onnx")));
    const ExtractedTask task = extract({"task.onnx"}, "base.onnx").tasks.at(0);
    std::map<std::string, std::string> base_of;  // [tensor of the task]
    const bool half = name == "classify-half";
    for (const ExtractedTensor& tensor : task.tensors) {
      base_of[tensor.task_tensor] = tensor.base_tensor;
      EXPECT_EQ(tensor.tensor_class, TensorClass::kLowRank) << tensor.task_tensor;
      EXPECT_LT(tensor.relative_error, half ? 2e-3 : 1e-6) << tensor.task_tensor;
    }
    std::map<std::string, std::string> trained;
    for (const auto& pair : truth.at("lora").at("pairs")) {
      trained[pair.at("task_tensor")] = pair.at("base_tensor");
    }
    EXPECT_EQ(base_of, trained);
    // In half precision the smallest true values lie below the noise of two roundings.
    for (const ExtractedTensor& tensor : task.tensors) {
      const auto rank = truth.at("lora").at("rank").get<int64_t>();
      EXPECT_LE(tensor.rank, half ? rank + 1 : rank) << tensor.task_tensor;
      EXPECT_GE(tensor.rank, half ? rank / 2 : rank) << tensor.task_tensor;
    }
    // One more output is no business of an adapter.
    EXPECT_EQ(task.adapter, name == "summarize" ? "" : "task.onnx_adapter");
    EXPECT_LT(task.residual_bytes, task.bytes_in / 20);
    expect_whole({"base.onnx", "task.onnx"});
  }
}

TEST_F(ExtractLora, RefusesAModelThatIsNoVariantOfTheBase) {
  add("base.onnx", export_encoder(encoder_weights(kLayers, 7), kLayers).model);
  add("other.onnx", {raw("w", std::string(4096, 'x'), Proto::FLOAT, {32, 32})});
  expect_refused(
      {"extract-lora", "--base", path("in/base.onnx"), path("in/other.onnx"), "-o", path("bundle")},
      4, {"'other': is no variant of the base 'base'"});
}

TEST_F(ExtractLora, RefusesWhatItCannotUse) {
  add_merged({"0.q"}, 2);
  const std::string base = path("in/base.onnx"), task = path("in/task.onnx");
  expect_refused({"extract-lora", "--base", base, base, "-o", path("bundle")}, 4, {"no task"});
  expect_refused({"extract-lora", "--base", path("in"), task, "-o", path("bundle")}, 4,
                 {"holds 2 models"});
  expect_refused({"extract-lora", "--base", "task=" + base, task, "-o", path("bundle")}, 4,
                 {"'task'", "NAME=file"});
  expect_refused({"extract-lora", "--base", path("in/none.onnx"), task, "-o", path("bundle")}, 3,
                 {"none.onnx"});
  expect_refused({"extract-lora", "--base", base, task, "-o", path("in")}, 3, {"holds the input"});
}

TEST_F(ExtractLora, LeavesAloneWhatHoldsNanOrInfinity) {
  Weights base = encoder_weights(kLayers, 7);
  add("base.onnx", export_encoder(base, kLayers).model);
  base.at("0.q") = sum(base.at("0.q"), low_rank(48, 48, 2, 99));
  base.at("0.q").at(3, 4) = std::nan("");
  base.at("1.k").at(0, 0) = HUGE_VAL;
  add("task.onnx", export_encoder(base, kLayers).model);
  const ExtractReport report = extract({"task.onnx"}, "base.onnx");
  EXPECT_EQ(report.tasks.at(0).adapter, "");
  for (const ExtractedTensor& tensor : report.tasks.at(0).tensors) {
    EXPECT_EQ(tensor.tensor_class, TensorClass::kReplaced);
    EXPECT_EQ(tensor.notes, std::vector<std::string>{"holds NaN or infinity"});
  }
  expect_whole({"base.onnx", "task.onnx"});
}

}  // namespace
}  // namespace wshare::test

// Tasks in the manifest; hostile ones are in tests/extract_lora/hostile_test.cc.

#include <gtest/gtest.h>

#include <string>

#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "support/bytes.h"
#include "support/errors.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using test::hash_of;

// A base and a task: an adapter, a tensor in it, and one that is derived.
Manifest task_manifest() {
  Manifest manifest;
  manifest.blobs = {{"weights.bin", 8192},
                    {"records.bin", 50},
                    {"t.onnx_adapter", 4096, hash_of("adapter")},
                    {"t.residual", 100, hash_of("residual")}};
  ModelRecord model;
  model.name = "a";
  model.file = "a.onnx";
  model.tensors = {{"", "w", {2, 3}, {0, 64, 24}, hash_of("w"), 1, false}};
  manifest.models.push_back(model);
  TaskRecord task;
  task.name = "t";
  task.base = "a";
  task.adapter = 2;
  task.parameters = {{"w.lora_A.weight", 1, {2, 1}}, {"bias", 1, {3}}};
  task.source = SourceRecord{"", "t.onnx", 98, hash_of("graph"), {1, 0, 20}, hash_of("record"), {}};
  DerivationRecord derivation;
  derivation.base = MatrixRecord{{0, 64, 24}, 1, true};
  derivation.multiplier = 0.1;  // no double that its decimal digits are equal to
  derivation.rank = 1;
  derivation.left = MatrixRecord{{2, 64, 8}, 1, false};
  derivation.right = MatrixRecord{{2, 128, 12}, 1, true};
  derivation.residual = {3, 0, 100};
  derivation.exact = false;
  derivation.relative_error = 1e-7;
  derivation.max_abs_error = 3e-9;
  task.tensors = {{"", "v", 1, {2, 3}, hash_of("v"), std::nullopt, derivation},
                  {"If#3.then_branch", "b", 1, {3}, hash_of("b"), Extent{2, 192, 12}, {}}};
  manifest.tasks.push_back(task);
  return manifest;
}

TEST(ToJson, RoundTripsTasks) {
  const std::string text = to_json(task_manifest());
  EXPECT_NE(text.find("\"version\": 2,"), std::string::npos);
  Manifest without = task_manifest();
  without.tasks.clear();
  EXPECT_NE(to_json(without).find("\"version\": 1,"), std::string::npos);
  const Manifest read = parse_manifest(text);
  EXPECT_EQ(to_json(read), text);
  EXPECT_EQ(read.blobs[2].hash, hash_of("adapter"));
  EXPECT_FALSE(read.blobs[0].hash);
  EXPECT_FALSE(read.models[0].source);
  ASSERT_EQ(read.tasks.size(), 1U);
  const TaskRecord& task = read.tasks[0];
  EXPECT_EQ(find_task(read, "t"), &task);
  EXPECT_EQ(find_task(read, "a"), nullptr);
  EXPECT_EQ(task.base, "a");
  EXPECT_EQ(task.model, "");
  EXPECT_EQ(task.adapter, 2U);
  ASSERT_EQ(task.parameters.size(), 2U);
  EXPECT_EQ(task.parameters[0].shape, (Shape{2, 1}));
  EXPECT_EQ(task.source->file, "t.onnx");
  ASSERT_EQ(task.tensors.size(), 2U);
  EXPECT_EQ(task.tensors[1].scope, "If#3.then_branch");
  EXPECT_EQ(task.tensors[1].extent, (Extent{2, 192, 12}));
  const DerivationRecord& derived = *task.tensors[0].derivation;
  EXPECT_EQ(derived.base->extent, (Extent{0, 64, 24}));
  EXPECT_TRUE(derived.base->transposed);
  EXPECT_FALSE(derived.left->transposed);
  EXPECT_EQ(derived.right->extent, (Extent{2, 128, 12}));
  EXPECT_EQ(derived.multiplier, 0.1);
  EXPECT_EQ(derived.rank, 1U);
  EXPECT_EQ(derived.residual, (Extent{3, 0, 100}));
  EXPECT_FALSE(derived.exact);
  EXPECT_EQ(derived.relative_error, 1e-7);
  EXPECT_EQ(derived.max_abs_error, 3e-9);
}

TEST(ParseManifest, RefusesEveryTruncationAndBitFlipOfATask) {
  const std::string text = to_json(task_manifest());
  for (size_t at = 0; at < text.size(); ++at) {
    EXPECT_THROW(parse_manifest(text.substr(0, at)), Error) << at;
    std::string flipped = text;
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << (at % 8)));
    EXPECT_THROW(parse_manifest(flipped), Error) << at;
  }
}

// Many entries may ask for work over the same few bytes.
TEST(TaskManifest, BoundsWhatItsTasksTakeToCompute) {
  Manifest manifest = task_manifest();
  OriginalTensor& tensor = manifest.tasks[0].tensors[0];
  constexpr int64_t kSide = 1 << 10;
  manifest.blobs[0].size = kSide * kSide * 4;
  tensor.shape = std::vector<int64_t>{kSide, kSide};
  tensor.derivation->rank = kSide;
  for (auto* matrix :
       {&tensor.derivation->base, &tensor.derivation->left, &tensor.derivation->right})
    *matrix = MatrixRecord{{0, 0, kSide * kSide * 4}, 1, false};
  const OriginalTensor one = tensor;
  manifest.tasks[0].tensors.assign(300, one);
  EXPECT_EQ(test::message_of([&] { check_manifest(manifest); }), "no Error");
  manifest.tasks[0].tensors.assign(1000, one);
  EXPECT_EQ(test::message_of([&] { check_manifest(manifest); }),
            "its tasks take 1074790400000 steps to compute, 343875649536 are the most over 5247126 "
            "bytes of blobs");
}

}  // namespace
}  // namespace wshare

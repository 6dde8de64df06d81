#include "bundle/plan.h"

#include <gtest/gtest.h>

#include <set>

#include "format/layout.h"

namespace wshare {
namespace {

PlanTensor use(const std::vector<PlanContent>& contents, uint32_t content) {
  return {contents[content].size, content, std::nullopt};
}

std::vector<uint32_t> placed(const PlanBlob& blob) {
  std::vector<uint32_t> result;
  for (const Placement& placement : blob.placements) result.push_back(placement.content);
  return result;
}

TEST(MakePlan, SharesEqualBytesAcrossModelsAndKeepsTheRestPerModel) {
  const std::vector<PlanContent> contents = {{100, {}}, {200, {}}, {300, {}}};
  const Plan plan = make_plan(
      {{"a", {use(contents, 0), use(contents, 1)}}, {"b", {use(contents, 2), use(contents, 0)}}},
      contents);
  ASSERT_EQ(plan.blobs.size(), 3u);
  EXPECT_TRUE(plan.blobs[0].shared);
  EXPECT_EQ(plan.blobs[0].file, "shared.bin");
  EXPECT_EQ(placed(plan.blobs[0]), std::vector<uint32_t>{0});
  EXPECT_FALSE(plan.blobs[1].shared);
  EXPECT_EQ(plan.blobs[1].file, "a.bin");
  EXPECT_EQ(placed(plan.blobs[1]), std::vector<uint32_t>{1});
  EXPECT_EQ(plan.blobs[2].file, "b.bin");
  EXPECT_EQ(plan.model_files, (std::vector<std::string>{"a.onnx", "b.onnx"}));
  EXPECT_EQ(plan.extents[0][0], (Extent{0, 0, 100}));
  EXPECT_EQ(plan.extents[0][1], (Extent{1, 0, 200}));
  EXPECT_EQ(plan.extents[1][0], (Extent{2, 0, 300}));
  EXPECT_EQ(plan.extents[1][1], (Extent{0, 0, 100}));
}

TEST(MakePlan, DoesNotShareWhatOneModelUsesTwice) {
  const std::vector<PlanContent> contents = {{100, {}}};
  const Plan plan = make_plan({{"a", {use(contents, 0), use(contents, 0)}}, {"b", {}}}, contents);
  ASSERT_EQ(plan.blobs.size(), 1u);
  EXPECT_FALSE(plan.blobs[0].shared);
  EXPECT_EQ(plan.blobs[0].file, "a.bin");
  EXPECT_EQ(plan.extents[0][0], plan.extents[0][1]);
}

TEST(MakePlan, LeavesOutBlobsWithoutBytesAndKeepsInlineTensorsInline) {
  const std::vector<PlanContent> contents = {{100, {}}};
  const PlanTensor inline_tensor{50, 0, InlineReason::kBelowMinBytes};
  const Plan plan =
      make_plan({{"a", {inline_tensor, use(contents, 0)}}, {"b", {inline_tensor}}}, contents);
  ASSERT_EQ(plan.blobs.size(), 1u);
  EXPECT_EQ(plan.blobs[0].file, "a.bin");
  EXPECT_EQ(plan.extents[0][0], std::nullopt);
  EXPECT_EQ(plan.extents[1][0], std::nullopt);
  EXPECT_TRUE(make_plan({}, {}).blobs.empty());
}

TEST(MakePlan, DoesNotCountAnInlineUseAsSharing) {
  const std::vector<PlanContent> contents = {{100, {}}};
  const PlanTensor inline_tensor{100, 0, InlineReason::kGraphOutput};
  const Plan plan = make_plan({{"a", {use(contents, 0)}}, {"b", {inline_tensor}}}, contents);
  ASSERT_EQ(plan.blobs.size(), 1u);
  EXPECT_FALSE(plan.blobs[0].shared);
}

TEST(MakePlan, PutsLargeContentsFirstOnPagesThenSmallOnesOnCacheLines) {
  const uint64_t large = uint64_t{64} << 10;
  const std::vector<PlanContent> contents = {
      {10, {}}, {large + 1, {}}, {large - 1, {}}, {large, {}}, {1, {}}};
  std::vector<PlanTensor> tensors;
  for (uint32_t i = 0; i < contents.size(); ++i) tensors.push_back(use(contents, i));
  const Plan plan = make_plan({{"a", tensors}}, contents);
  ASSERT_EQ(plan.blobs.size(), 1u);
  EXPECT_EQ(placed(plan.blobs[0]), (std::vector<uint32_t>{1, 3, 0, 2, 4}));
  uint64_t end = 0;
  for (const Placement& placement : plan.blobs[0].placements) {
    const uint64_t size = contents[placement.content].size;
    EXPECT_EQ(placement.offset % (size >= large ? 4096 : 64), 0u) << placement.content;
    EXPECT_GE(placement.offset, end);
    EXPECT_LT(placement.offset - end, size >= large ? 4096u : 64u);
    end = placement.offset + size;
  }
  EXPECT_EQ(plan.blobs[0].size, end);
}

TEST(MakePlan, PutsAPrefixIntoItsHost) {
  const std::vector<PlanContent> contents = {{1000, 1}, {5000, {}}, {700, {}}};
  const Plan plan =
      make_plan({{"a", {use(contents, 2), use(contents, 0)}}, {"b", {use(contents, 1)}}}, contents);
  ASSERT_EQ(plan.blobs.size(), 2u);
  EXPECT_TRUE(plan.blobs[0].shared);  // a uses its front, b all of it
  EXPECT_EQ(plan.blobs[0].size, 5000u);
  EXPECT_EQ(plan.extents[0][1], (Extent{0, 0, 1000}));
  EXPECT_EQ(plan.extents[1][0], (Extent{0, 0, 5000}));
}

TEST(MakePlan, FollowsHostsOfHosts) {
  const std::vector<PlanContent> contents = {{1000, 1}, {2000, 2}, {3000, {}}};
  const Plan plan =
      make_plan({{"a", {use(contents, 0), use(contents, 1), use(contents, 2)}}}, contents);
  ASSERT_EQ(plan.blobs.size(), 1u);
  EXPECT_EQ(plan.blobs[0].size, 3000u);
  EXPECT_EQ(plan.extents[0][0], (Extent{0, 0, 1000}));
  EXPECT_EQ(plan.extents[0][1], (Extent{0, 0, 2000}));
}

TEST(MakePlan, GoesOnInAnotherBlobWhereOneWouldBeTooLarge) {
  const uint64_t page = kLargeBytes;
  const std::vector<PlanContent> contents = {{2 * page, {}}, {100, {}},      {page, {}},
                                             {5 * page, {}}, {2 * page, {}}, {200, {}}};
  std::vector<PlanModel> models(2);
  for (uint32_t c = 0; c < contents.size(); ++c) models[0].tensors.push_back(use(contents, c));
  models[0].name = "a", models[1].name = "b";
  models[1].tensors = models[0].tensors;
  PlanStart start;
  start.blobs = 7;
  start.most_blob_bytes = 3 * page;
  const Plan plan = make_plan(models, contents, {}, start);
  std::vector<std::vector<uint32_t>> parts;
  std::vector<std::string> files;
  for (const PlanBlob& blob : plan.blobs) {
    EXPECT_TRUE(blob.shared);
    EXPECT_TRUE(blob.size <= start.most_blob_bytes || blob.placements.size() == 1);
    parts.push_back(placed(blob)), files.push_back(blob.file);
  }
  // In their order; what is larger than a blob has one of its own.
  EXPECT_EQ(parts, (std::vector<std::vector<uint32_t>>{{0, 2}, {3}, {4, 1, 5}}));
  EXPECT_EQ(files, (std::vector<std::string>{"shared.bin", "shared_2.bin", "shared_3.bin"}));
  EXPECT_EQ(plan.extents[0][3], (Extent{8, 0, 5 * page}));
  EXPECT_EQ(plan.extents[1][5], (Extent{9, align_up(2 * page + 100, 64), 200}));
}

TEST(MakePlan, GivesEveryFileANameOfItsOwn) {
  const std::vector<PlanContent> contents = {{100, {}}, {200, {}}, {300, {}}, {400, {}}};
  for (const std::string name : {"shared", "Shared", "SHARED"}) {
    SCOPED_TRACE(name);
    const Plan plan = make_plan({{name, {use(contents, 0), use(contents, 1)}},
                                 {"b", {use(contents, 0), use(contents, 2)}},
                                 {"B", {use(contents, 3)}}},
                                contents);
    std::set<std::string> names;
    size_t count = 0;
    const auto add = [&](std::string file) {
      for (char& c : file) c = static_cast<char>(tolower(c));
      names.insert(file);
      ++count;
    };
    for (const PlanBlob& blob : plan.blobs) add(blob.file);
    for (const std::string& file : plan.model_files) add(file);
    EXPECT_EQ(count, 7u);
    EXPECT_EQ(names.size(), count);
    EXPECT_EQ(plan.blobs[0].file, "shared.bin");
  }
}

}  // namespace
}  // namespace wshare

// What `inspect` says extract-lora might save, against what extract-lora then does.

#include <algorithm>

#include "inspect/output_fixture.h"
#include "support/places.h"
#include "wshare/extract_lora.h"
#include "wshare/inspect.h"

namespace wshare {
namespace {

using test::Arguments;
using test::noise;
using test::Proto;
using test::raw;

class EstimateExtraction : public test::InspectOutput {};

const test::fs::path kMerged = test::fs::path(test::kTestdata) / "t5-lora-merged";
const Arguments kModels = {(kMerged / "base.onnx").string(), (kMerged / "summarize.onnx").string(),
                           (kMerged / "translate.onnx").string()};

TEST_F(EstimateExtraction, IsNearWhatExtractLoraMakes) {
  const Inspection found = inspect(kModels, {});
  ASSERT_TRUE(found.extract);
  EXPECT_EQ(found.extract->base, "base");
  ExtractOptions options;
  options.base = (kMerged / "base.onnx").string();
  const ExtractReport report = extract_lora(resolve_inputs(kModels), temp_ / "bundle", options);
  const auto guess = static_cast<double>(found.predicted_bundle_bytes - found.extract->saved_bytes);
  EXPECT_NEAR(guess / static_cast<double>(report.bytes_out), 1, 0.15);
  for (const ExtractableTask& task : found.extract->tasks) {
    SCOPED_TRACE(task.model);
    const auto made =
        std::find_if(report.tasks.begin(), report.tasks.end(),
                     [&](const ExtractedTask& each) { return each.name == task.model; });
    ASSERT_NE(made, report.tasks.end());
    uint64_t weights = 0;
    int64_t rank = 0;
    for (const ExtractedTensor& tensor : made->tensors) {
      weights += tensor.tensor_class == TensorClass::kLowRank;
      rank = std::max(rank, tensor.rank);
    }
    EXPECT_EQ(task.weights, weights);
    EXPECT_EQ(task.largest_rank, rank);
  }
}

TEST_F(EstimateExtraction, IsNothingOfModelsThatDifferOtherwise) {
  add("a.onnx", {raw("w", noise(40000, 1), Proto::FLOAT, {100, 100}), raw("s", noise(5000, 3))});
  add("b.onnx", {raw("w", noise(40000, 2), Proto::FLOAT, {100, 100}), raw("s", noise(5000, 3))});
  EXPECT_FALSE(inspect({(temp_ / "in").string()}, {}).extract);
  EXPECT_EQ(object({"in"}).at("extract"), nullptr);
  EXPECT_FALSE(inspect({(test::fs::path(test::kTestdata) / "t5-seq2seq").string()}, {}).extract);
}

TEST_F(EstimateExtraction, IsShownWithItsFinding) {
  Arguments arguments = kModels;
  arguments.insert(arguments.begin(), {"inspect", "--fail-on", "WS021"});
  ASSERT_EQ(CliTest::run(arguments), 1);
  EXPECT_NE(out_.find("adapter  rank  extract-lora might make adapters of\n"), std::string::npos)
      << out_;
  EXPECT_NE(out_.find("\nover base: about "), std::string::npos) << out_;
  EXPECT_TRUE(err_.starts_with("wshare: WS021: ")) << err_;
}

}  // namespace
}  // namespace wshare

// ONNX Runtime opens a test model of the ONNX project and its form in a bundle alike.

#include "corpus/corpus.h"
#include "parity/parity.h"
#include "support/bundle_test.h"

namespace wshare::test {
namespace {

class OnnxTestdataOpens : public BundleTest {};

TEST_F(OnnxTestdataOpens, AlikeFromTheBundle) {
  const std::vector<ModelInput> models = onnx_test_models();
  if (models.empty()) GTEST_SKIP() << kNoCorpus;
  DedupeOptions options;
  options.min_bytes = 1;
  dedupe(models, temp_ / "bundle", options);
  Bundle bundle = Bundle::open(temp_ / "bundle");
  size_t opened = 0;
  for (const ModelInput& model : models) {
    SCOPED_TRACE(model.path.string());
    const fs::path ours = temp_ / ("bundle/" + model.name + ".onnx");
    const std::string refusal = refusal_of(model.path);
    EXPECT_EQ(refusal_of(ours).empty(), refusal.empty()) << refusal << refusal_of(ours);
    EXPECT_EQ(objection_to(ours).empty(), objection_to(model.path).empty())
        << objection_to(ours) << objection_to(model.path);
    if (!refusal.empty()) continue;
    ++opened;
    SessionOptions session;
    session.ort = plain_options();
    EXPECT_EQ(code_of([&] { bundle.session(model.name, session); }), 0);
  }
  EXPECT_GE(opened, 1000u);
}

}  // namespace
}  // namespace wshare::test

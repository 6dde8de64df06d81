// Weights that are another's transpose and stored as that one: same bits as from the original.

#include "parity/parity.h"
#include "support/bundle_test.h"
#include "support/tied_models.h"

namespace wshare::test {
namespace {

class TiedParity : public BundleTest {
 protected:
  void tie(TieTransposed how) {
    add("m.onnx", decoder());
    DedupeOptions options;
    options.tie_transposed = how;
    options.replace = true;
    dedupe(resolve_inputs({(temp_ / "in").string()}), temp_ / "bundle", options);
  }

  Values ids() {
    const auto cpu = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    const int64_t shape[] = {2, 3};
    Values inputs;
    inputs.push_back(Ort::Value::CreateTensor<int64_t>(cpu, ids_, 6, shape, 2));
    return inputs;
  }

 private:
  int64_t ids_[6] = {0, 599, 17, 3, 256, 4};
};

TEST_F(TiedParity, GivesTheBitsOfTheOriginal) {
  for (const TieTransposed how : {TieTransposed::kFused, TieTransposed::kTransposeNode}) {
    tie(how);
    expect_parity(temp_ / "in/m.onnx", temp_ / "bundle", "m", ids());
  }
}

// With packing off, a product of one row or few comes from another routine for either layout.
TEST_F(TiedParity, KeepsBitsAtEveryLevelWhereWeightsArePacked) {
  tie(TieTransposed::kFused);
  for (const GraphOptimizationLevel level :
       {ORT_DISABLE_ALL, ORT_ENABLE_BASIC, ORT_ENABLE_EXTENDED, ORT_ENABLE_ALL}) {
    SCOPED_TRACE(level);
    Ort::SessionOptions options = plain_options();
    options.SetGraphOptimizationLevel(level);
    const auto outputs = [&](const fs::path& path) {
      Ort::Session session(environment(), path.c_str(), options);
      return outputs_of(session, ids());
    };
    EXPECT_TRUE(outputs(temp_ / "in/m.onnx") == outputs(temp_ / "bundle/m.onnx"));
  }
}

TEST_F(TiedParity, SessionsShareBothNamesOfOneWeight) {
  tie(TieTransposed::kFused);
  Bundle bundle = Bundle::open(temp_ / "bundle");
  const Session session = bundle.session("m");
  EXPECT_EQ(bundle.report().models.at(0).shared_tensors.size(), 2u);
  EXPECT_TRUE(bundle.report().models.at(0).packed_shared);
}

}  // namespace
}  // namespace wshare::test

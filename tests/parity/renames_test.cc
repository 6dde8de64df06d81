// Weights that nodes only rename: same bits from the original and the bundle, which lacks the
// nodes.

#include "parity/parity.h"
#include "support/bundle_test.h"
#include "support/renamed_weights.h"

namespace wshare::test {
namespace {

class RenameParity : public BundleTest {};

// Bits of the original at every level that optimises, as ONNX Runtime folds such nodes itself.
// Without optimisation, kernels pack what they read through nothing, and not what a node gives.
TEST_F(RenameParity, OutputsKeepTheirBitsWhateverIsOptimised) {
  add("m.onnx", model_with_renames());
  make();
  std::vector<float> x(2 * kRows);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 17) / 64;
  bool yes = true;
  const auto cpu = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const int64_t shape[] = {2, kRows};
  for (const bool pack : {true, false}) {
    for (int level = pack ? 1 : 0; level < 4; ++level) {
      for (const bool branch : {true, false}) {
        SCOPED_TRACE(std::to_string(level) + (branch ? " then" : " else"));
        yes = branch;
        Values inputs;
        inputs.push_back(Ort::Value::CreateTensor<float>(cpu, x.data(), x.size(), shape, 2));
        inputs.push_back(Ort::Value::CreateTensor<bool>(cpu, &yes, 1, nullptr, 0));
        constexpr GraphOptimizationLevel kLevels[] = {ORT_DISABLE_ALL, ORT_ENABLE_BASIC,
                                                      ORT_ENABLE_EXTENDED, ORT_ENABLE_ALL};
        Ort::SessionOptions options = plain_options();
        options.SetGraphOptimizationLevel(kLevels[level]);
        if (!pack) options.AddConfigEntry(kOrtSessionOptionsConfigDisablePrepacking, "1");
        const auto outputs = [&](const fs::path& path) {
          Ort::Session session(environment(), path.c_str(), options);
          return outputs_of(session, inputs);
        };
        EXPECT_TRUE(outputs(temp_ / "in/m.onnx") == outputs(temp_ / "bundle/m.onnx"));
        SessionOptions ours;
        ours.ort = options.Clone();
        if (!pack) ours.tier = Tier::kCompact;
        Bundle bundle = Bundle::open(temp_ / "bundle");
        Session session = bundle.session("m", ours);
        EXPECT_TRUE(outputs_of(*session, inputs) == outputs(temp_ / "in/m.onnx"));
      }
    }
  }
}

TEST_F(RenameParity, SessionsShareTheWeight) {
  add("m.onnx", model_with_renames());
  make();
  Bundle bundle = Bundle::open(temp_ / "bundle");
  const Session session = bundle.session("m");
  EXPECT_EQ(bundle.report().models.at(0).shared_bytes, uint64_t{kRows * kRows * 4});
}

}  // namespace
}  // namespace wshare::test

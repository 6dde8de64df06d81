// The test models of the ONNX project: none is refused, all come back byte for byte.

#include <atomic>

#include "corpus/corpus.h"
#include "support/bundle_test.h"
#include "util/parallel.h"
#include "wshare/restore.h"
#include "wshare/verify.h"

namespace wshare::test {
namespace {

// Most of these models have no weights, and constants of up to 8 numbers stay.
constexpr size_t kFewestTensors = 40;

// Making 1,072 bundles durable on a disk takes half a minute.
const bool kInMemory = [] {
  return access("/dev/shm", W_OK) == 0 && setenv("TMPDIR", "/dev/shm", 1) == 0;
}();

DedupeOptions every_tensor() {
  DedupeOptions options;
  options.min_bytes = 1;
  options.threads = 1;
  return options;
}

class OnnxTestdata : public BundleTest {
 protected:
  // What is wrong with the bundle of `models` in `folder`, or "".
  static std::string problem(const std::vector<ModelInput>& models, const fs::path& folder) try {
    for (const Damage& finding : verify(folder / "bundle", {1})) {
      return finding.file + ": " + finding.tensor + ": " + finding.message;
    }
    const std::vector<RestoredModel> restored = restore(folder / "bundle", {}, folder / "back", {});
    if (restored.size() != models.size()) return "another number of models";
    for (size_t i = 0; i < models.size(); ++i) {
      if (!restored[i].identical || read_file(restored[i].path) != read_file(models[i].path)) {
        return models[i].name + " differs";
      }
    }
    return "";
  } catch (const Error& error) {
    return error.what();
  }
};

TEST_F(OnnxTestdata, IsTakenAsOneBundle) {
  const std::vector<ModelInput> models = onnx_test_models();
  if (models.empty()) GTEST_SKIP() << kNoCorpus;
  const DedupeReport report = dedupe(models, temp_ / "bundle", every_tensor());
  EXPECT_GE(report.models.size(), 1000u);
  EXPECT_GE(report.tensors, kFewestTensors);
  EXPECT_LT(report.distinct_tensors, report.tensors);
  EXPECT_EQ(problem(models, temp_.path()), "");
}

TEST_F(OnnxTestdata, IsTakenModelByModel) {
  const std::vector<ModelInput> models = onnx_test_models();
  if (models.empty()) GTEST_SKIP() << kNoCorpus;
  std::atomic<size_t> tensors = 0;
  parallel_for(models.size(), 2, [&](size_t i) {
    const fs::path folder = temp_ / std::to_string(i);
    fs::create_directory(folder);
    try {
      tensors += dedupe({models[i]}, folder / "bundle", every_tensor()).tensors;
      EXPECT_EQ(problem({models[i]}, folder), "") << models[i].name;
    } catch (const Error& error) {
      ADD_FAILURE() << models[i].name << ": " << error.what();
    }
    fs::remove_all(folder);
  });
  EXPECT_GE(tensors, kFewestTensors);
}

}  // namespace
}  // namespace wshare::test

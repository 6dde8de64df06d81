// The committed models of testdata/ with their test data: same bits from originals and bundle.

#include "parity/parity.h"
#include "run/tensor_file.h"
#include "support/bundle_test.h"
#include "support/places.h"

namespace wshare::test {
namespace {

struct FamilyCase {
  const char* family;
  uint64_t min_bytes;
};
void PrintTo(const FamilyCase& c, std::ostream* out) { *out << c.family << ' ' << c.min_bytes; }

class FamilyParity : public BundleTest, public testing::WithParamInterface<FamilyCase> {};

Values stored_inputs(const fs::path& data) {
  Values inputs;
  for (int i = 0; fs::exists(data / ("input_" + std::to_string(i) + ".pb")); ++i) {
    inputs.push_back(read_tensor_file(data / ("input_" + std::to_string(i) + ".pb")));
  }
  return inputs;
}

TEST_P(FamilyParity, GivesTheBitsOfTheOriginals) {
  const fs::path folder = fs::path(kTestdata) / GetParam().family;
  ASSERT_TRUE(fs::is_directory(folder));
  DedupeOptions options;
  options.min_bytes = GetParam().min_bytes;
  const std::vector<ModelInput> models = resolve_inputs({folder.string()});
  ASSERT_GE(models.size(), 3u);
  dedupe(models, temp_ / "bundle", options);
  for (const ModelInput& model : models) {
    if (const std::string refusal = refusal_of(model.path); !refusal.empty()) {
      EXPECT_TRUE(model.name.starts_with("types_float")) << model.name << ": " << refusal;
      continue;  // float4, float6 and float8e8m0 are newer than this ONNX Runtime's CPU kernels
    }
    const fs::path data = folder / model.name / "test_data_set_0";
    ASSERT_TRUE(fs::is_directory(data)) << data;
    expect_parity(model.path, temp_ / "bundle", model.name, stored_inputs(data));
  }
}

INSTANTIATE_TEST_SUITE_P(Testdata, FamilyParity,
                         testing::Values(FamilyCase{"homes", 1}, FamilyCase{"homes", 1024},
                                         FamilyCase{"external", 1}, FamilyCase{"external", 1024},
                                         FamilyCase{"t5-lora", 1}, FamilyCase{"t5-lora", 1024},
                                         FamilyCase{"t5-seq2seq", 1},
                                         FamilyCase{"t5-seq2seq", 1024}),
                         [](const testing::TestParamInfo<FamilyCase>& param) {
                           std::string name = param.param.family;
                           std::erase(name, '-');
                           return name + "From" + std::to_string(param.param.min_bytes);
                         });

}  // namespace
}  // namespace wshare::test

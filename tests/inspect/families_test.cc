// The committed models of testdata/: figures against family.json, dedupe and the bundle itself.

#include <nlohmann/json.hpp>

#include "support/bundle_test.h"
#include "support/places.h"
#include "wshare/inspect.h"

namespace wshare {
namespace {

using nlohmann::json;
using test::fs::path;

struct Family {
  const char* name;
  uint64_t list_bytes;  // of Constant nodes that hold a list of numbers: no tensor to wshare
};
void PrintTo(const Family& family, std::ostream* out) { *out << family.name; }

class InspectFamily : public test::BundleTest, public testing::WithParamInterface<Family> {
 protected:
  path folder() const { return path(test::kTestdata) / GetParam().name; }
  Inspection look() const { return inspect({folder().string()}, {}); }
};

TEST_P(InspectFamily, HasTheFiguresOfFamilyJson) {
  const json truth = json::parse(test::read_file(folder() / "family.json"));
  const json& sizes = truth.at("sizes");
  const Inspection found = look();
  const uint64_t lists = GetParam().list_bytes;
  EXPECT_EQ(found.total_bytes + lists, sizes.at("total_bytes"));
  EXPECT_EQ(found.distinct_bytes + lists, sizes.at("distinct_bytes"));
  EXPECT_EQ(found.transposed_bytes, sizes.at("transposed_twin_bytes").get<uint64_t>());
  ASSERT_EQ(found.models.size(), truth.at("models").size());
  uint64_t total = 0;
  for (const InspectedModel& model : found.models) {
    total += model.tensor_bytes;
    if (lists != 0) continue;
    EXPECT_EQ(model.tensor_bytes, truth.at("models").at(model.name).at("total_bytes"))
        << model.name;
  }
  EXPECT_EQ(total, found.total_bytes);
}

TEST_P(InspectFamily, PredictsTheBundleToTheByte) {
  DedupeOptions options;
  dedupe(resolve_inputs({folder().string()}), temp_ / "bundle", options);
  uint64_t bytes = 0;
  for (const auto& [name, text] : test::files_in(temp_ / "bundle")) bytes += text.size();
  EXPECT_EQ(look().predicted_bundle_bytes, bytes);
  EXPECT_EQ(inspect({(temp_ / "bundle").string()}, {}).predicted_bundle_bytes, bytes);
}

TEST_P(InspectFamily, SharesInTheBundleWhatItsModelsShare) {
  dedupe(resolve_inputs({folder().string()}), temp_ / "bundle", {});
  const Inspection models = look();
  const Inspection bundle = inspect({(temp_ / "bundle").string()}, {});
  EXPECT_EQ(bundle.matrix, models.matrix);
  EXPECT_EQ(bundle.shared_bytes, models.shared_bytes);
  ASSERT_EQ(bundle.models.size(), models.models.size());
  for (size_t m = 0; m < models.models.size(); ++m) {
    EXPECT_EQ(bundle.models[m].own_bytes, models.models[m].own_bytes);
    EXPECT_EQ(bundle.models[m].shared_bytes, models.models[m].shared_bytes);
    EXPECT_EQ(bundle.models[m].repeated_bytes, models.models[m].repeated_bytes);
    EXPECT_EQ(bundle.models[m].saved_bytes, models.models[m].saved_bytes);
  }
  ASSERT_EQ(bundle.duplicates.size(), models.duplicates.size());
  for (size_t d = 0; d < models.duplicates.size(); ++d) {
    EXPECT_EQ(bundle.duplicates[d].hash, models.duplicates[d].hash);
    EXPECT_EQ(bundle.duplicates[d].uses.size(), models.duplicates[d].uses.size());
  }
}

TEST_P(InspectFamily, AddsUp) {
  const Inspection found = look();
  uint64_t saved = 0, own = 0, tensors_in_blobs = 0, roundings = 0;
  for (const InspectedModel& model : found.models) {
    saved += model.saved_bytes;
    own += model.own_bytes;
    tensors_in_blobs += model.own_bytes + model.shared_bytes + model.repeated_bytes;
    roundings += model.tensors;
  }
  EXPECT_LE(saved, tensors_in_blobs - own - found.shared_bytes);
  EXPECT_GE(saved + roundings, tensors_in_blobs - own - found.shared_bytes);
  for (size_t m = 0; m < found.models.size(); ++m) {
    const InspectedModel& model = found.models[m];
    EXPECT_EQ(model.own_bytes + model.shared_bytes, found.matrix[m][m]) << model.name;
    uint64_t stays = 0;
    for (const TensorCount& count : model.left_inline) stays += count.bytes;
    EXPECT_EQ(model.tensor_bytes,
              model.own_bytes + model.shared_bytes + model.repeated_bytes + stays)
        << model.name;
    for (const auto* counts : {&model.by_dtype, &model.by_home, &model.by_op, &model.by_scope}) {
      uint64_t tensors = 0, bytes = 0;
      for (const TensorCount& count : *counts) {
        tensors += count.tensors;
        bytes += count.bytes;
      }
      EXPECT_EQ(tensors, model.tensors) << model.name;
      EXPECT_EQ(bytes, model.tensor_bytes) << model.name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Testdata, InspectFamily,
                         testing::Values(Family{"homes", 480}, Family{"external", 0},
                                         Family{"t5-lora", 0}, Family{"t5-seq2seq", 0}),
                         [](const auto& param) {
                           std::string name = param.param.name;
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace wshare

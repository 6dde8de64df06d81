// What inspect takes and shows of very many models that share.

#include <nlohmann/json.hpp>

#include "cli.h"
#include "format/manifest/text.h"
#include "inspect_report.h"
#include "support/allocated.h"
#include "support/bundle_test.h"
#include "wshare/inspect.h"

namespace wshare::test {
namespace {

class InspectMany : public BundleTest {
 protected:
  // Makes a bundle of `count` models with three weights that all have and one of their own. Nothing
  // but its manifest is there.
  std::string bundle_of(size_t count) {
    Manifest manifest;
    manifest.blobs = {{"shared.bin", 3 * 4096}};
    for (size_t m = 0; m < count; ++m) {
      ModelRecord& model = manifest.models.emplace_back();
      model.name = "m" + std::to_string(m);
      model.file = model.name + ".onnx";
      const auto own = static_cast<uint32_t>(manifest.blobs.size());
      manifest.blobs.push_back({model.name + ".bin", 4096});
      for (uint32_t t = 0; t < 4; ++t) {
        const Extent extent{t < 3 ? 0 : own, t < 3 ? t * 4096 : 0, 4096};
        model.tensors.push_back({"", "w" + std::to_string(t), {32, 32}, extent, {}, 1, false});
      }
    }
    const fs::path folder = temp_ / ("bundle-" + std::to_string(count));
    write_file(folder / kManifestName, to_json(manifest));
    return folder.string();
  }
};

TEST_F(InspectMany, ComparesSoManyOnly) {
  const Inspection some = inspect({bundle_of(600)}, {});
  ASSERT_EQ(some.models.size(), 600u);
  EXPECT_EQ(some.compared_models.size(), kMostCompared);
  ASSERT_EQ(some.matrix.size(), kMostCompared);
  EXPECT_EQ(some.matrix[0][kMostCompared - 1], 3u * 4096);
  EXPECT_EQ(some.matrix[7][7], 4u * 4096);
  EXPECT_EQ(some.models[599].shared_bytes, 3u * 4096);
  EXPECT_EQ(some.models[599].own_bytes, 4096u);
  const InspectedTensor& first = some.models[0].largest.at(0);
  EXPECT_EQ(first.also_in.size(), kMostNamed);
  EXPECT_EQ(first.also_in_more, 599 - kMostNamed);
  EXPECT_EQ(some.models[599].largest.at(0).also_in_more, 599u);
  EXPECT_EQ(some.duplicates.at(0).uses.size(), 600u);
}

TEST_F(InspectMany, ComparesAllWhereAsked) {
  InspectOptions options;
  options.all = true;
  const Inspection all = inspect({bundle_of(600)}, options);
  EXPECT_EQ(all.matrix.size(), 600u);
  EXPECT_EQ(all.models[599].largest.at(0).also_in.size(), 599u);
  EXPECT_EQ(all.models[599].largest.at(0).also_in_more, 0u);
}

TEST_F(InspectMany, TakesTwiceAsMuchOfTwiceAsMany) {
  const std::string small = bundle_of(2000), large = bundle_of(4000);
  const auto cost = [](const std::string& bundle) {
    InspectOptions options;
    options.contents = true;
    return allocated_by([&] { inspect({bundle}, options); });
  };
  EXPECT_LT(cost(large), 11 * cost(small) / 5);
}

TEST_F(InspectMany, SaysInJsonHowMuchIsLeftOut) {
  const std::string bundle = bundle_of(2000);
  const auto json = to_json(inspect({bundle}, {}));
  EXPECT_EQ(json["models"].size(), kMostCompared);
  EXPECT_EQ(json["models_more"], 1500);
  EXPECT_EQ(json["matrix"].size(), kMostCompared);
  EXPECT_EQ(json["blobs"].size(), kMostCompared);
  EXPECT_EQ(json["blobs_more"], 1501);
  EXPECT_EQ(json["blobs"][0]["models"].size(), kMostNamed);
  EXPECT_EQ(json["blobs"][0]["models_more"], 2000 - kMostNamed);
  EXPECT_EQ(json["duplicates"].size(), 3u);
  EXPECT_EQ(json["duplicates"][0]["uses_more"], 2000 - kMostNamed);
  EXPECT_EQ(json["models"][0]["largest"][0]["also_in_more"], 1999 - kMostNamed);
  EXPECT_FALSE(json.contains("duplicates_more"));
  EXPECT_LT(json.dump().size(), 6u << 20);
}

TEST_F(InspectMany, ShowsAllWhereAsked) {
  const std::string bundle = bundle_of(60);
  std::ostringstream some, all, err;
  EXPECT_EQ(run_cli({"inspect", bundle}, some, err), 0);
  EXPECT_EQ(run_cli({"inspect", bundle, "--all"}, all, err), 0);
  EXPECT_NE(some.str().find("... and 10 more (--top)"), std::string::npos) << some.str();
  EXPECT_EQ(some.str().find("m59.bin"), std::string::npos);
  EXPECT_EQ(all.str().find("... and"), std::string::npos) << all.str();
  EXPECT_NE(all.str().find("m59.bin"), std::string::npos);
  EXPECT_EQ(run_cli({"inspect", bundle, "--all", "--top", "3"}, all, err), 2);
}

}  // namespace
}  // namespace wshare::test

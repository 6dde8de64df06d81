// Model packages of ONNX Runtime: components over one shared asset, which is the bundle's files.

#include <nlohmann/json.hpp>

#include "support/cli_test.h"
#include "support/places.h"
#include "util/sha256.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

using test::names_in;
using test::read_file;
using test::write_file;
using Names = std::vector<std::string>;

class ExportOrtPackage : public test::CliTest {
 protected:
  void SetUp() override {
    ASSERT_EQ(run({"dedupe", std::string(test::kTestdata) + "/t5-seq2seq", "-o", path("bundle")}),
              0)
        << err_;
  }

  int send(Names more) {
    more.insert(more.begin(), {"export", "ort-package", path("bundle"), path("package")});
    return run(more);
  }

  nlohmann::json read(const std::string& file) const {
    return nlohmann::json::parse(read_file(temp_ / "package" / file));
  }
};

std::string digest_of(const std::string& text) { return sha256_of(std::as_bytes(std::span(text))); }

TEST_F(ExportOrtPackage, HasComponentsOverOneAsset) {
  ASSERT_EQ(send({}), 0) << err_;
  EXPECT_EQ(names_in(temp_ / "package/components"),
            (Names{"decoder", "decoder_with_past", "encoder"}));
  EXPECT_EQ(names_in(temp_ / "package/components/encoder/model"), Names{"encoder.onnx"});
  const nlohmann::json manifest = read("manifest.json");
  EXPECT_EQ(manifest["schema_version"], "1.0");
  EXPECT_EQ(manifest["components"]["encoder"], "components/encoder");
  ASSERT_EQ(manifest["shared_assets"].size(), 1u);
  const auto asset = manifest["shared_assets"].items().begin();
  const fs::path folder = temp_ / "package" / asset.value().get<std::string>();
  EXPECT_TRUE(fs::equivalent(folder / "shared.bin", temp_ / "bundle/shared.bin"));

  // By the package's rule: a listing as sha256sum writes it, by name.
  std::string listing;
  for (const std::string& name : names_in(folder))
    listing += digest_of(read_file(folder / name)) + "  " + name + "\n";
  EXPECT_EQ(asset.key(), "sha256:" + digest_of(listing));
  EXPECT_EQ(folder.filename(), "sha256-" + digest_of(listing));

  const nlohmann::json variants = read("components/encoder/component.json")["variants"];
  ASSERT_EQ(variants.size(), 1u);
  const nlohmann::json& variant = variants["CPUExecutionProvider"];
  EXPECT_EQ(variant["ep"], "CPUExecutionProvider");
  EXPECT_EQ(variant["variant_directory"], "model");
  EXPECT_EQ(variant["executor_info"]["ort"]["model_file"], "encoder.onnx");
  EXPECT_EQ(variant["executor_info"]["ort"]["session_options"]
                   ["session.model_external_initializers_file_folder_path"],
            asset.key());
}

TEST_F(ExportOrtPackage, IsTheSameFromEqualBundlesAndSaysWhatItWouldBe) {
  ASSERT_EQ(send({"-n", "--json"}), 0) << err_;
  EXPECT_FALSE(fs::exists(temp_ / "package"));
  auto tried = nlohmann::json::parse(out_);
  ASSERT_EQ(send({"--json", "-j", "1"}), 0) << err_;
  const auto done = nlohmann::json::parse(out_);
  tried["seconds"] = done["seconds"];
  EXPECT_EQ(tried, done);
  ASSERT_EQ(run({"export", "ort-package", path("bundle"), path("other"), "--links", "copy"}), 0);
  for (const auto& entry : fs::recursive_directory_iterator(temp_ / "package")) {
    if (!entry.is_regular_file()) continue;
    const fs::path other = temp_ / "other" / fs::relative(entry.path(), temp_ / "package");
    EXPECT_TRUE(read_file(entry.path()) == read_file(other)) << other;
    EXPECT_EQ(fs::hard_link_count(other), 1u) << other;
  }
}

TEST_F(ExportOrtPackage, HasAVariantForEachProvider) {
  ASSERT_EQ(send({"--ep", "cuda", "--ep", "VitisAIExecutionProvider", "--model", "encoder"}), 0)
      << err_;
  EXPECT_EQ(names_in(temp_ / "package/components"), Names{"encoder"});
  const nlohmann::json variants = read("components/encoder/component.json")["variants"];
  EXPECT_EQ(variants.size(), 2u);
  EXPECT_EQ(variants["CUDAExecutionProvider"]["ep"], "CUDAExecutionProvider");
  EXPECT_TRUE(variants.contains("VitisAIExecutionProvider"));
}

TEST_F(ExportOrtPackage, RefusesWhatCannotBe) {
  expect_refused({"export", "ort-package", path("bundle"), path("package"), "--model", "other"}, 4,
                 {"'other'"});
  expect_refused({"export", "ort-package", path("bundle"), path("package"), "--data", "own"}, 2,
                 {"--data", "export ort-package"});
  expect_refused({"export", "hf", path("bundle"), path("package"), "--ep", "cpu"}, 2, {"--ep"});
  expect_refused({"export", "ort-package", path("bundle"), path("bundle/p")}, 3, {"lies in it"});
  fs::create_directories(temp_ / "package");
  ASSERT_EQ(send({}), 0) << err_;  // an empty folder is as good as none
  expect_refused({"export", "ort-package", path("bundle"), path("package")}, 3,
                 {"package': exists already", "hint:"});
}

TEST_F(ExportOrtPackage, LeavesNothingWhereAFileIsMissing) {
  fs::remove(temp_ / "bundle/encoder.onnx");
  expect_refused({"export", "ort-package", path("bundle"), path("package")}, 3, {"encoder.onnx"});
}

}  // namespace
}  // namespace wshare

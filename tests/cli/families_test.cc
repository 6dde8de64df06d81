// The committed models of testdata/: each family goes through dedupe, verify and restore.

#include <nlohmann/json.hpp>

#include "support/cli_test.h"
#include "support/places.h"

namespace wshare {
namespace {

class Families : public test::CliTest, public testing::WithParamInterface<const char*> {};

TEST_P(Families, ComeBackByteForByte) {
  const test::fs::path folder = test::fs::path(test::kTestdata) / GetParam();
  if (!test::fs::is_directory(folder))
    GTEST_SKIP() << "THERE IS NO " << folder << ": nothing was tested";
  for (const char* min_bytes : {"1", "1024"}) {
    SCOPED_TRACE(min_bytes);
    const std::string bundle = path(std::string("bundle") + min_bytes);
    const std::string back = path(std::string("back") + min_bytes);
    ASSERT_EQ(run({"dedupe", folder.string(), "-o", bundle, "--min-bytes", min_bytes, "--json"}), 0)
        << err_;
    const auto report = nlohmann::json::parse(out_);
    EXPECT_GT(report.at("models").size(), 0u);
    EXPECT_EQ(run({"verify", bundle}), 0) << out_ << err_;
    ASSERT_EQ(run({"restore", bundle, "-o", back, "--json"}), 0) << err_;
    const auto restored = nlohmann::json::parse(out_);
    for (const auto& model : restored.at("models")) EXPECT_EQ(model.at("identical"), true) << model;
    size_t models = 0;
    for (const auto& [name, bytes] : test::files_in(back)) {
      ASSERT_TRUE(test::fs::exists(folder / name)) << name;
      EXPECT_TRUE(bytes == test::read_file(folder / name)) << name << " differs";
      models += name.ends_with(".onnx") ? 1 : 0;
    }
    EXPECT_EQ(models, report.at("models").size());
  }
}

INSTANTIATE_TEST_SUITE_P(Testdata, Families,
                         testing::Values("homes", "external", "t5-lora", "t5-seq2seq"),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace wshare

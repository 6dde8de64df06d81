// The committed models of testdata/: each family goes through dedupe, verify and restore.

#include <nlohmann/json.hpp>

#include "cli.h"
#include "support/bundle_test.h"

#ifndef WSHARE_TESTDATA
#error "define WSHARE_TESTDATA as the path of testdata/"
#endif

namespace wshare {
namespace {

using test::fs::path;

class Families : public test::BundleTest, public testing::WithParamInterface<const char*> {
 protected:
  int run(const std::vector<std::string>& arguments) {
    std::ostringstream out, err;
    const int code = run_cli(arguments, out, err);
    text_ = out.str() + err.str();
    return code;
  }

  std::string text_;
};

TEST_P(Families, ComeBackByteForByte) {
  const path folder = path(WSHARE_TESTDATA) / GetParam();
  if (!test::fs::is_directory(folder))
    GTEST_SKIP() << "THERE IS NO " << folder << ": nothing was tested";
  for (const char* min_bytes : {"1", "1024"}) {
    SCOPED_TRACE(min_bytes);
    const std::string bundle = (temp_ / (std::string("bundle") + min_bytes)).string();
    const std::string back = (temp_ / (std::string("back") + min_bytes)).string();
    ASSERT_EQ(run({"dedupe", folder.string(), "-o", bundle, "--min-bytes", min_bytes, "--json"}), 0)
        << text_;
    const auto report = nlohmann::json::parse(text_);
    EXPECT_GT(report.at("models").size(), 0u);
    EXPECT_EQ(run({"verify", bundle}), 0) << text_;
    ASSERT_EQ(run({"restore", bundle, "-o", back, "--json"}), 0) << text_;
    const auto restored = nlohmann::json::parse(text_);
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

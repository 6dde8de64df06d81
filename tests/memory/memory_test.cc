// Anonymous memory does not grow with the weights: dedupe, verify and restore of 512 MiB run with
// 64 MiB and twice what the models hold beside raw weights. RLIMIT_DATA holds them to it, which
// counts no mapped file.

#include <cstring>
#include <random>

#include "memory/run_within.h"
#include "support/bundle_test.h"

namespace wshare::test {
namespace {

constexpr uint64_t kWeightBytes = 64 * kMiB;

class AnonymousMemory : public BundleTest {
 protected:
  std::string path(const std::string& name) const { return (temp_ / name).string(); }

  // Adds a model, piece by piece, with raw weights of kWeightBytes each.
  void add_large(const std::string& file, const std::vector<uint32_t>& seeds) {
    std::vector<onnx::TensorProto> tensors;
    for (const uint32_t seed : seeds) {
      tensors.push_back(raw("w" + std::to_string(seed), noise(kWeightBytes, seed)));
    }
    add(file, tensors);
  }
};

TEST_F(AnonymousMemory, DoesNotGrowWithTheWeights) {
  if (kSanitized) GTEST_SKIP() << "A SANITIZER NEEDS MEMORY OF ITS OWN: NOTHING WAS TESTED";
  add_large("a.onnx", {1, 2});
  add_large("b.onnx", {1, 3});
  add_large("c.onnx", {1, 4});
  add("d.onnx", model_of({external("w", kWeightBytes, {{"location", "d.data"}})}));
  add("d.data", noise(kWeightBytes, 2));
  onnx::TensorProto typed = raw("w", "", onnx::TensorProto::INT64, {kWeightBytes / 8});
  typed.clear_raw_data();
  for (uint64_t i = 0; i < kWeightBytes / 8; ++i) {
    typed.add_int64_data(static_cast<int64_t>(i % 100));  // one byte each in the file
  }
  add("e.onnx", {typed});
  const uint64_t beside_raw = fs::file_size(temp_ / "in/e.onnx") + kMiB / 2;
  ASSERT_LT(beside_raw, 9 * kMiB);

  const uint64_t bound = 64 * kMiB + 2 * beside_raw;
  EXPECT_EQ(run_within({bound}, {"dedupe", path("in"), "-o", path("bundle"), "-q"}), 0);
  EXPECT_EQ(run_within({bound}, {"verify", path("bundle"), "-q"}), 0);
  EXPECT_EQ(run_within({bound}, {"restore", path("bundle"), "-o", path("back"), "-q"}), 0);
  for (const std::string& name : names_in(temp_ / "in")) {
    EXPECT_TRUE(read_file(temp_ / "in" / name) == read_file(temp_ / "back" / name)) << name;
  }
}

// Neither what is computed nor what it is computed of is ever held as a whole.
TEST_F(AnonymousMemory, OfArchivesDoesNotGrowWithTheWeights) {
  if (kSanitized) GTEST_SKIP() << "A SANITIZER NEEDS MEMORY OF ITS OWN: NOTHING WAS TESTED";
  constexpr size_t kFloats = 160 * kMiB / sizeof(float);
  std::vector<float> values(kFloats);
  std::minstd_rand random(1);
  for (float& value : values) value = static_cast<float>(random() % 65536) / 65536 - 0.5F;
  const auto add_model = [&](const char* name) {
    std::string bytes(kFloats * sizeof(float), '\0');
    std::memcpy(bytes.data(), values.data(), bytes.size());
    add(name, {raw("w", bytes, onnx::TensorProto::FLOAT, {1024, kFloats / 1024})});
  };
  add_model("base.onnx");
  for (float& value : values) value += static_cast<float>(random() % 1024) * 1e-6F;
  add_model("one.onnx");
  ASSERT_EQ(run_within({512 * kMiB}, {"dedupe", path("in"), "-o", path("bundle"), "-q"}), 0);

  const uint64_t bound = 64 * kMiB;
  EXPECT_EQ(run_within({bound}, {"archive", path("bundle"), "one", "-q"}), 0);
  EXPECT_LT(fs::file_size(temp_ / "bundle/one.archive"), 100 * kMiB);
  EXPECT_EQ(run_within({bound}, {"verify", path("bundle"), "-q"}), 0);
  EXPECT_EQ(run_within({bound}, {"restore", path("bundle"), "one", "-o", path("back"), "-q"}), 0);
  EXPECT_TRUE(read_file(temp_ / "in/one.onnx") == read_file(temp_ / "back/one.onnx"));
  EXPECT_EQ(run_within({bound}, {"thaw", path("bundle"), "one", "-q"}), 0);
  EXPECT_EQ(run_within({bound}, {"verify", path("bundle"), "-q"}), 0);
}

// The limit is one: without memory for its graph a model is refused.
TEST_F(AnonymousMemory, IsWhatTheLimitCounts) {
  if (kSanitized) GTEST_SKIP() << "A SANITIZER NEEDS MEMORY OF ITS OWN: NOTHING WAS TESTED";
  onnx::ModelProto model = model_of({raw("w", noise(5000, 1))});
  model.mutable_graph()->set_doc_string(std::string(64 * kMiB, 'x'));
  add("a.onnx", model);
  EXPECT_EQ(run_within({32 * kMiB}, {"dedupe", path("in"), "-o", path("bundle"), "-q"}), 3);
  EXPECT_EQ(run_within({512 * kMiB}, {"dedupe", path("in"), "-o", path("bundle"), "-q"}), 0);
}

}  // namespace
}  // namespace wshare::test

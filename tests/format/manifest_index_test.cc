#include <gtest/gtest.h>
#include <malloc.h>

#include <string>

#include "format/manifest/index.h"
#include "format/manifest/text.h"
#include "support/bytes.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using test::hash_of;

// `count` models of 12 tensors, two of them of their own; the first has a pack.
Manifest manifest_of(size_t count) {
  Manifest manifest;
  manifest.blobs = {{"shared.bin", 1 << 20}, {"restore.bin", 50}};
  for (size_t m = 0; m < count; ++m) {
    ModelRecord& model = manifest.models.emplace_back();
    model.name = "customer-" + std::to_string(m);
    model.file = model.name + ".onnx";
    model.size = m;
    model.hash = hash_of(model.name);
    model.source = SourceRecord{model.name, "model.onnx", 99, {}, {1, 0, 20}, {}, {}};
    const auto own = static_cast<uint32_t>(manifest.blobs.size());
    manifest.blobs.push_back({model.name + ".bin", 8192});
    for (uint32_t t = 0; t < 12; ++t) {
      const Extent extent{t < 2 ? own : 0, t * 4096, 4096};
      model.tensors.push_back(
          {"", "model.layers." + std::to_string(t) + ".weight", {32, 32}, extent, {}, 1, false});
    }
  }
  PackRecord& pack = manifest.packs.emplace_back();
  pack.model = manifest.models[0];
  pack.model.source.reset();
  pack.model.file = "packed.onnx";
  pack.buffers = {{{0, 0, 64}, hash_of("packed")}};
  return manifest;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
  text.replace(text.size() - 36, 32, 32, '0');
  return text.replace(text.size() - 36, 32, to_hex(hash_of(text)));
}

std::string message_of(const std::string& text, const std::string& model = "") {
  try {
    const ManifestIndex index = index_manifest(text);
    if (!model.empty()) read_model_part(text, index, model);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalid);
    return error.what();
  }
}

TEST(ManifestIndex, ReadsOfEachModelWhatTheWholeManifestHas) {
  const Manifest manifest = manifest_of(3);
  const std::string text = to_json(manifest);
  const ManifestIndex index = index_manifest(text);
  EXPECT_EQ(index.blobs->size(), 5u);
  ASSERT_EQ(index.models.size(), 3u);
  for (size_t m = 0; m < 3; ++m) {
    const std::string& name = manifest.models[m].name;
    EXPECT_EQ(index.models.name(m), name);
    ModelPart part = read_model_part(text, index, name);
    EXPECT_EQ(part.packs.size(), m == 0 ? 1U : 0U);
    Manifest alone = manifest;
    alone.models = {manifest.models[m]};
    if (m != 0) alone.packs.clear();
    Manifest read = alone;
    read.models = {std::move(part.model)};
    read.packs = std::move(part.packs);
    EXPECT_EQ(to_json(read), to_json(alone));
  }
  EXPECT_FALSE(index.models.contains("customer"));
  EXPECT_FALSE(index.models.contains("customer-3"));
}

// What others write may be in any order.
TEST(ManifestIndex, FindsNamesThatDoNotComeFirst) {
  const std::string text = to_json(manifest_of(2));
  const std::string other =
      replaced(text, "{\"name\": \"customer-1\",\n  \"file\": \"customer-1.onnx\"",
               "{\"file\":\"customer-1.onnx\",\"later\":[{}],\"name\":\"cust\\u006Fmer-1\"");
  const ManifestIndex index = index_manifest(other);
  EXPECT_TRUE(index.models.contains("customer-1"));
  EXPECT_EQ(read_model_part(other, index, "customer-1").model.tensors.size(), 12u);
}

TEST(ManifestIndex, RefusesWhatItSees) {
  const std::string text = to_json(manifest_of(2));
  EXPECT_NE(message_of(replaced(text, "\"name\": \"customer-1\"", "\"name\": \"customer-0\"")), "");
  EXPECT_NE(message_of(replaced(text, "\"name\": \"customer-1\"", "\"name\": \"../x\"")), "");
  EXPECT_NE(message_of(replaced(text, "{\"name\": \"customer-1\"", "{\"nam\": \"customer-1\"")),
            "");
  EXPECT_NE(message_of(replaced(text, "\"version\": 3", "\"version\": 0")), "");
  std::string damaged = text;
  damaged[text.find("\"size\": 1,") + 8] = '2';
  EXPECT_EQ(message_of(damaged), "was changed: its manifest_hash does not fit its text");
  for (size_t size = 0; size < text.size(); size += 7)
    EXPECT_NE(message_of(text.substr(0, size)), "") << size;
}

TEST(ManifestIndex, RefusesAModelWhereItsRecordIsWrong) {
  const std::string text = to_json(manifest_of(2));
  struct Case {
    const char* from;
    const char* to;
  };
  for (const Case& c : {Case{"\"extent\":[3,4096,4096]", "\"extent\":[3,4097,4096]"},
                        Case{"\"extent\":[3,4096,4096]", "\"extent\":[9,4096,4096]"},
                        Case{"\"file\": \"customer-1.onnx\"", "\"file\": \"../a.onnx\""},
                        Case{"\"size\": 1,", "\"size\": -1,"}}) {
    SCOPED_TRACE(c.to);
    const std::string wrong = replaced(text, c.from, c.to);
    EXPECT_EQ(message_of(wrong, "customer-0"), "");
    EXPECT_NE(message_of(wrong, "customer-1"), "");
  }
}

// The figure is that of glibc's heap; sanitizers have their own, which says 0.
TEST(ManifestIndex, TakesAtMost200BytesAModel) {
  constexpr size_t kModels = 10000;
  const std::string text = to_json(manifest_of(kModels));
  const auto heap = [] {
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
  };
  const size_t before = heap();
  const ManifestIndex index = index_manifest(text);
  EXPECT_EQ(index.models.size(), kModels);
  EXPECT_LE(heap() - before, 200 * kModels);
}

}  // namespace
}  // namespace wshare

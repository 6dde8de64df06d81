// What manifest.json says of packs.

#include <nlohmann/json.hpp>

#include "format/manifest/extents.h"
#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "support/errors.h"
#include "support/files.h"

namespace wshare::test {
namespace {

Manifest packed_manifest() {
  Manifest manifest;
  manifest.blobs = {{"shared.bin", 4096}, {"packed.bin", 8192}};
  ModelRecord& model = manifest.models.emplace_back();
  model.name = "a";
  model.file = "a.onnx";
  model.size = 77;
  model.hash = hash_of("a.onnx");
  model.tensors = {{"", "w", {2, 3}, {0, 64, 24}, hash_of("w"), 1, false}};
  PackRecord& pack = manifest.packs.emplace_back();
  pack.model.name = "a";
  pack.model.file = "a.packed.onnx";
  pack.model.size = 99;
  pack.model.hash = hash_of("a.packed.onnx");
  pack.model.tensors = {{"", "w", {2, 3}, {1, 0, 24}, hash_of("w"), 1, false}};
  pack.buffers = {{{1, 64, 48}, hash_of("packed")}};
  pack.made_of = model.hash;
  pack.onnxruntime = "1.29.0";
  pack.cpu = "x86_64 GenuineIntel avx2";
  pack.optimization = "all";
  return manifest;
}

using Json = nlohmann::ordered_json;

// The manifest with one change, and a hash that fits, as someone hostile would write it.
std::string changed(const std::function<void(Json&)>& change) {
  Json json = Json::parse(to_json(packed_manifest()));
  change(json);
  json["manifest_hash"] = std::string(32, '0');
  std::string text = json.dump(1) + "\n";
  const size_t at = text.rfind(std::string(32, '0'));
  return text.replace(at, 32, to_hex(hash_of(text)));
}

TEST(ManifestPacks, RoundTrip) {
  const Manifest manifest = packed_manifest();
  const std::string text = to_json(manifest);
  EXPECT_NE(text.find("\"version\": 3,"), std::string::npos);
  const Manifest read = parse_manifest(text);
  EXPECT_EQ(to_json(read), text);
  ASSERT_EQ(read.packs.size(), 1U);
  const PackRecord* const pack = &read.packs[0];
  EXPECT_EQ(pack->own_bytes, 0U);
  EXPECT_EQ(pack->model.file, "a.packed.onnx");
  EXPECT_EQ(pack->model.tensors.at(0).extent, (Extent{1, 0, 24}));
  EXPECT_EQ(pack->buffers.at(0).extent, (Extent{1, 64, 48}));
  EXPECT_EQ(pack->buffers.at(0).hash, hash_of("packed"));
  EXPECT_EQ(pack->made_of, manifest.models[0].hash);
  EXPECT_EQ(pack->onnxruntime, "1.29.0");
  EXPECT_EQ(pack->cpu, "x86_64 GenuineIntel avx2");
  EXPECT_EQ(pack->optimization, "all");
}

// An older reader refuses the version; two packs of one model it would call damage.
TEST(ManifestPacks, OfOneModelMakeItVersionFive) {
  Manifest manifest = packed_manifest();
  for (const char* const version : {"1.32.0", "1.24.1"}) {
    PackRecord other = manifest.packs[0];
    other.onnxruntime = version;
    other.model.file = std::string(version) + ".onnx";
    other.own_bytes = 7;
    manifest.packs.push_back(other);
  }
  const std::string text = to_json(manifest);
  EXPECT_NE(text.find("\"version\": 5,"), std::string::npos);
  const Manifest read = parse_manifest(text);
  EXPECT_EQ(to_json(read), text);
  ASSERT_EQ(read.packs.size(), 3U);
  EXPECT_EQ(read.packs[2].own_bytes, 7U);
  const ModelPart part = read_model_part(text, index_manifest(text), "a");
  ASSERT_EQ(part.packs.size(), 3U);
  for (size_t p = 0; p < 3; ++p) EXPECT_EQ(part.packs[p].onnxruntime, read.packs[p].onnxruntime);
}

TEST(ManifestPacks, HaveTheirExtentsVisited) {
  Manifest manifest = packed_manifest();
  std::vector<Extent> extents;
  visit_extents(manifest, [&](const Extent& extent) { extents.push_back(extent); });
  EXPECT_EQ(extents, (std::vector<Extent>{{0, 64, 24}, {1, 0, 24}, {1, 64, 48}}));
}

TEST(ManifestPacks, AreRefusedWhenTheyAreNoPacks) {
  EXPECT_EQ(code_of([] { parse_manifest(changed([](Json&) {})); }), 0);
  using Change = std::function<void(Json&)>;
  const std::vector<std::pair<const char*, Change>> cases = {
      {"of no model", [](Json& json) { json["packs"][0]["name"] = "b"; }},
      {"two of one model, for one ONNX Runtime and CPU",
       [](Json& json) {
         json["packs"].push_back(json["packs"][0]);
         json["packs"][1]["file"] = "other.onnx";
       }},
      {"the model's own file", [](Json& json) { json["packs"][0]["file"] = "a.onnx"; }},
      {"a file elsewhere", [](Json& json) { json["packs"][0]["file"] = "../a.onnx"; }},
      {"a buffer outside",
       [](Json& json) {
         json["packs"][0]["buffers"][0]["extent"] = {1, 8190, 48};
       }},
      {"a buffer of no blob",
       [](Json& json) {
         json["packs"][0]["buffers"][0]["extent"] = {2, 0, 1};
       }},
      {"a tensor outside",
       [](Json& json) {
         json["packs"][0]["tensors"][0]["extent"] = {1, 8190, 24};
       }},
      {"no runtime", [](Json& json) { json["packs"][0].erase("onnxruntime"); }},
      {"a number for a runtime", [](Json& json) { json["packs"][0]["onnxruntime"] = 1.29; }},
      {"no buffers", [](Json& json) { json["packs"][0].erase("buffers"); }},
      {"a hash of letters", [](Json& json) { json["packs"][0]["made_of"] = "zz"; }},
      {"no list", [](Json& json) { json["packs"] = Json::object(); }}};
  for (const auto& [name, change] : cases) {
    const std::string text = changed(change);
    EXPECT_EQ(code_of([&] { parse_manifest(text); }), 4) << name;
  }
}

}  // namespace
}  // namespace wshare::test

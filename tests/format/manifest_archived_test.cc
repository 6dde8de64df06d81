// Archived models in the manifest.

#include <gtest/gtest.h>

#include <string>

#include "format/manifest/index.h"
#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "support/bytes.h"
#include "support/errors.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using test::hash_of;
using test::message_of;

// A model, and an archived one: a tensor in its archive, one that is derived from the model's.
Manifest archive_manifest() {
  Manifest manifest;
  manifest.blobs = {{"weights.bin", 8192}, {"b.archive", 4096, hash_of("archive")}};
  ModelRecord model;
  model.name = "a";
  model.file = "a.onnx";
  model.tensors = {{"", "w", {2, 3}, {0, 64, 24}, hash_of("w"), 1, false}};
  manifest.models.push_back(model);
  ArchivedRecord archived;
  archived.name = "b";
  archived.base = "a";
  archived.graph = {1, 0, 60};
  archived.graph_hash = hash_of("packed graph");
  archived.size = 500;
  archived.hash = hash_of("graph");
  archived.source =
      SourceRecord{"", "b.onnx", 98, hash_of("graph"), {1, 64, 20}, hash_of("record"), {}};
  DerivationRecord derivation;
  derivation.base = MatrixRecord{{0, 64, 24}, 1, false};
  derivation.residual = {1, 128, 9};
  archived.tensors = {
      {"", "w", 1, {2, 3}, hash_of("v"), std::nullopt, derivation},
      {"If#3.then_branch", "c", 1, {3}, hash_of("c"), Extent{1, 192, 12}, {}, false, true}};
  manifest.archived.push_back(archived);
  return manifest;
}

TEST(ToJson, RoundTripsArchivedModels) {
  const std::string text = to_json(archive_manifest());
  EXPECT_NE(text.find("\"version\": 6,"), std::string::npos);
  const Manifest read = parse_manifest(text);
  EXPECT_EQ(to_json(read), text);
  ASSERT_EQ(read.archived.size(), 1U);
  const ArchivedRecord& archived = read.archived[0];
  EXPECT_EQ(find_archived(read, "b"), &archived);
  EXPECT_EQ(find_archived(read, "a"), nullptr);
  EXPECT_EQ(archived.base, "a");
  EXPECT_EQ(archived.graph, (Extent{1, 0, 60}));
  EXPECT_EQ(archived.graph_hash, hash_of("packed graph"));
  EXPECT_EQ(archived.size, 500U);
  EXPECT_EQ(archived.source->file, "b.onnx");
  ASSERT_EQ(archived.tensors.size(), 2U);
  EXPECT_EQ(archived.tensors[0].derivation->residual, (Extent{1, 128, 9}));
  EXPECT_FALSE(archived.tensors[0].folded);
  EXPECT_TRUE(archived.tensors[1].folded);
}

TEST(ParseManifest, RefusesEveryTruncationAndBitFlipOfAnArchivedModel) {
  const std::string text = to_json(archive_manifest());
  for (size_t at = 0; at < text.size(); ++at) {
    EXPECT_THROW(parse_manifest(text.substr(0, at)), Error) << at;
    std::string flipped = text;
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << (at % 8)));
    EXPECT_THROW(parse_manifest(flipped), Error) << at;
  }
}

TEST(ParseManifest, RefusesArchivedModelsThatContradictTheRest) {
  const auto with = [](const auto& change) {
    Manifest manifest = archive_manifest();
    change(manifest, manifest.archived[0]);
    return message_of([&] { parse_manifest(to_json(manifest)); });
  };
  EXPECT_EQ(with([](Manifest&, ArchivedRecord&) {}), "no Error");
  EXPECT_EQ(with([](Manifest&, ArchivedRecord& model) { model.name = "a"; }),
            "'a': cannot be the name of a model");
  EXPECT_EQ(with([](Manifest&, ArchivedRecord& model) { model.name = "../b"; }),
            "'../b': cannot be the name of a model");
  EXPECT_NE(with([](Manifest&, ArchivedRecord& model) {
              model.graph.offset = 4096;
            }).find("leaves 'b.archive'"),
            std::string::npos);
  EXPECT_NE(with([](Manifest&, ArchivedRecord& model) {
              model.tensors[1].extent->size = 13;
            }).find("contradicts its shape"),
            std::string::npos);
  EXPECT_NE(with([](Manifest&, ArchivedRecord& model) {
              model.tensors[0].derivation->exact = false;
            }).find("does not come back exactly"),
            std::string::npos);
  EXPECT_NE(with([](Manifest& manifest, ArchivedRecord& model) {
              PackRecord pack;
              pack.model.name = model.name;
              pack.model.file = "b.packed.onnx";
              pack.optimization = "all";
              manifest.packs.push_back(pack);
            }).find("there is a pack of 'b', no such model"),
            std::string::npos);
}

TEST(ToJson, RoundTripsChains) {
  Manifest manifest = archive_manifest();
  DerivationRecord& derivation = *manifest.archived[0].tensors[0].derivation;
  derivation.codec = 2;
  derivation.then = {{0.5, {}}, {1, {1, 140, 8}}};
  const std::string text = to_json(manifest);
  const Manifest read = parse_manifest(text);
  EXPECT_EQ(to_json(read), text);
  const std::vector<StepRecord>& then = read.archived[0].tensors[0].derivation->then;
  ASSERT_EQ(then.size(), 2U);
  EXPECT_EQ(then[0].multiplier, 0.5);
  EXPECT_EQ(then[0].residual.size, 0U);
  EXPECT_EQ(then[1].residual, (Extent{1, 140, 8}));
}

TEST(ParseManifest, RefusesChainsThatCannotBe) {
  const auto with = [](const auto& change) {
    Manifest manifest = archive_manifest();
    DerivationRecord& derivation = *manifest.archived[0].tensors[0].derivation;
    derivation.codec = 2;
    derivation.then = {{1, {1, 140, 8}}};
    change(derivation);
    return message_of([&] { parse_manifest(to_json(manifest)); });
  };
  EXPECT_EQ(with([](DerivationRecord&) {}), "no Error");
  EXPECT_NE(with([](DerivationRecord& derivation) {
              derivation.codec = 1;
            }).find("a chain has residuals of codec 2"),
            std::string::npos);
  EXPECT_NE(with([](DerivationRecord& derivation) {
              derivation.then.resize(65, derivation.then[0]);
            }).find("has 65 steps, at most 64"),
            std::string::npos);
  EXPECT_NE(with([](DerivationRecord& derivation) {
              derivation.then[0].residual.offset = 4096;
            }).find("leaves 'b.archive'"),
            std::string::npos);
}

TEST(IndexManifest, KnowsArchivedModelsByName) {
  const ManifestIndex index = index_manifest(to_json(archive_manifest()));
  EXPECT_TRUE(index.archived.contains("b"));
  EXPECT_FALSE(index.models.contains("b"));
}

// Many entries may ask for work over the same few bytes.
TEST(ArchivedModels, AreBoundedInWhatTheyTakeToCompute) {
  Manifest manifest = archive_manifest();
  OriginalTensor tensor = manifest.archived[0].tensors[0];
  constexpr int64_t kSide = 1 << 10;
  manifest.blobs[0].size = kSide * kSide * 4;
  tensor.shape = std::vector<int64_t>{kSide, kSide};
  tensor.derivation->base = MatrixRecord{{0, 0, kSide * kSide * 4}, 1, false};
  manifest.archived[0].tensors.assign(300000, tensor);
  EXPECT_EQ(message_of([&] { check_manifest(manifest); }), "no Error");
  DerivationRecord& derivation = *tensor.derivation;
  derivation.codec = 2;
  derivation.then.resize(1);
  manifest.archived[0].tensors.assign(200000, tensor);
  EXPECT_NE(message_of([&] { check_manifest(manifest); }).find("its archived models take"),
            std::string::npos);
  derivation.then.clear();
  manifest.archived[0].tensors.assign(400000, tensor);
  EXPECT_NE(message_of([&] { check_manifest(manifest); }).find("its archived models take"),
            std::string::npos);
}

}  // namespace
}  // namespace wshare

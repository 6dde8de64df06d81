#include "support/bundle_test.h"
#include "support/places.h"
#include "wshare/append.h"
#include "wshare/extract_lora.h"
#include "wshare/inspect.h"
#include "wshare/remove.h"

namespace wshare {
namespace {

using test::code_of;
using test::noise;
using test::Proto;
using test::raw;

using Names = std::vector<std::string>;
using Row = std::vector<uint64_t>;

class InspectBundle : public test::BundleTest {
 protected:
  Inspection look(const Names& paths, uint64_t min_bytes = 1024) {
    InspectOptions options;
    options.min_bytes = min_bytes;
    Names full;
    for (const std::string& path : paths) full.push_back((temp_ / path).string());
    return inspect(full, options);
  }
};

TEST_F(InspectBundle, CountsABundleAmongPathsAsItsModels) {
  add("a.onnx", {raw("w", noise(5000, 1))});
  add("b.onnx", {raw("w", noise(5000, 1)), raw("v", noise(3000, 2))});
  make();
  test::write_file(temp_ / "more/c.onnx", test::bytes_of({raw("x", noise(3000, 2))}));
  const Inspection found = look({"bundle", "more"});
  EXPECT_EQ(found.bundle, "");
  ASSERT_EQ(found.models.size(), 3u);
  EXPECT_EQ(found.models[0].name, "a");
  EXPECT_EQ(found.models[2].name, "c");
  EXPECT_EQ(found.matrix, (std::vector<Row>{{5000, 5000, 0}, {5000, 8000, 3000}, {0, 3000, 3000}}));
  // All names are taken: those of files have their folder's in front.
  const Inspection both = look({"bundle", "in"});
  ASSERT_EQ(both.models.size(), 4u);
  EXPECT_EQ(both.models[2].name, "in-a");
}

TEST_F(InspectBundle, DescribesABundleFromItsManifestAlone) {
  add("a.onnx", {raw("w", noise(5000, 1)), raw("v", noise(2000, 2), Proto::INT8)});
  add("b.onnx", {raw("w", noise(5000, 1))});
  make();
  uint64_t bytes = 0;
  for (const auto& [name, text] : test::files_in(temp_ / "bundle")) bytes += text.size();
  const uint64_t model_file = test::read_file(temp_ / "bundle/a.onnx").size();
  for (const char* file : {"a.onnx", "b.onnx", "a.bin", "shared.bin", "restore.bin"}) {
    test::fs::remove(temp_ / "bundle" / file);
  }
  const Inspection found = look({"bundle"});
  EXPECT_EQ(found.bundle, (temp_ / "bundle").string());
  EXPECT_EQ(found.predicted_bundle_bytes, bytes);
  EXPECT_EQ(found.models[0].bytes, model_file + 7000);
  EXPECT_EQ(found.models[0].path, (temp_ / "bundle/a.onnx").string());
  ASSERT_EQ(found.models[0].by_dtype.size(), 2u);
  EXPECT_EQ(found.models[0].by_dtype[0].what, "uint8");
  EXPECT_EQ(found.models[0].by_dtype[1].bytes, 2000u);
  EXPECT_EQ(found.transposed_bytes, std::nullopt);
  ASSERT_EQ(found.blobs.size(), 3u);
  EXPECT_EQ(found.blobs[0].file, "shared.bin");
  EXPECT_EQ(found.blobs[0].models, (Names{"a", "b"}));
  EXPECT_EQ(found.blobs[1].bytes, 2000u);
  EXPECT_EQ(found.blobs[1].models, Names{"a"});
  EXPECT_EQ(found.blobs[2].models, Names{});                  // restore.bin
  EXPECT_EQ(found.models[0].freed_bytes, model_file + 2000);  // w stays for b
  EXPECT_EQ(found.duplicates.size(), 1u);
  EXPECT_EQ(look({"bundle"}, 5001).duplicates.size(), 0u);
}

// What `remove` says it would delete.
uint64_t deleted_with(const test::fs::path& bundle, const std::string& name) {
  RemoveOptions options;
  options.dry_run = true;
  uint64_t bytes = 0;
  for (const RemovedFile& file : remove_models(bundle, {name}, options).files) bytes += file.bytes;
  return bytes;
}

TEST_F(InspectBundle, FreesWhatRemoveDeletes) {
  add("a.onnx", {raw("w", noise(5000, 1)), raw("v", noise(2000, 2))});
  add("b.onnx", {raw("w", noise(5000, 1))});
  make();
  test::write_file(temp_ / "more/c.onnx",  // brings a blob and a restore blob of its own
                   test::bytes_of({raw("w", noise(5000, 1)), raw("x", noise(3000, 3))}));
  append(temp_ / "bundle", resolve_inputs({(temp_ / "more/c.onnx").string()}), {});
  const test::fs::path family = test::fs::path(test::kTestdata) / "t5-lora-merged";
  ExtractOptions options;
  options.base = (family / "base.onnx").string();
  extract_lora(
      resolve_inputs({(family / "translate.onnx").string(), (family / "summarize.onnx").string()}),
      temp_ / "tasks", options);
  for (const InspectedModel& model : look({"bundle"}).models) {
    EXPECT_EQ(model.freed_bytes, deleted_with(temp_ / "bundle", model.name)) << model.name;
  }
  const Inspection found = look({"tasks"});
  ASSERT_EQ(found.tasks.size(), 2u);
  for (const InspectedTask& task : found.tasks) {
    EXPECT_EQ(task.freed_bytes, deleted_with(temp_ / "tasks", task.name)) << task.name;
  }
  for (const InspectedModel& model : found.models) EXPECT_FALSE(model.freed_bytes) << model.name;
}

TEST_F(InspectBundle, ComparesArchivedModelsWithWhatTheyWere) {
  const Inspection found = inspect({std::string(test::kTestdata) + "/compat/archived"}, {});
  ASSERT_EQ(found.models.size(), 1u);
  ASSERT_EQ(found.archived.size(), 4u);
  uint64_t before = found.models[0].bytes;
  for (const InspectedArchive& model : found.archived) before += model.bytes;
  EXPECT_EQ(found.input_bytes, before);
  EXPECT_GT(found.input_bytes, found.predicted_bundle_bytes);
}

TEST_F(InspectBundle, SaysWhatAPackTakesInAll) {
  const test::fs::path folder = test::fs::path(test::kTestdata) / "compat/packed";
  const Inspection found = inspect({folder.string()}, {});
  ASSERT_EQ(found.packs.size(), 1u);
  const InspectedPack& pack = found.packs[0];
  const uint64_t graph = test::fs::file_size(folder / pack.file);
  uint64_t blobs = 0;
  for (const InspectedBlob& blob : found.blobs) blobs += blob.of_packs ? blob.bytes : 0;
  EXPECT_GE(pack.bytes, graph + pack.packed_bytes);
  EXPECT_LE(pack.bytes, graph + blobs);
  EXPECT_GT(pack.bytes, graph);
}

TEST_F(InspectBundle, FindsFilesThatAreNotAsTheManifestSays) {
  add("a.onnx", {raw("w", noise(5000, 1)), raw("v", noise(2000, 2))});
  add("b.onnx", {raw("w", noise(5000, 1))});
  make();
  EXPECT_EQ(look({"bundle"}).findings.size(), 0u);
  test::fs::remove(temp_ / "bundle/b.onnx");
  test::fs::resize_file(temp_ / "bundle/shared.bin", 4999);
  test::write_file(temp_ / "bundle/notes.txt", "hello");
  test::write_file(temp_ / "bundle/.hidden", "of some tool");
  Names texts;
  for (const Finding& finding : look({"bundle"}).findings) {
    for (const FindingPlace& place : finding.places) {
      texts.push_back(finding.id + " " + place.file + " (" + place.note + ")");
    }
  }
  EXPECT_EQ(texts, (Names{"WS040 shared.bin (has 4999 bytes)", "WS040 b.onnx (missing)",
                          "WS041 notes.txt ()"}));
}

}  // namespace
}  // namespace wshare

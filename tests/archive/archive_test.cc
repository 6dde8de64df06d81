// archive() keeps models as what can be computed from others; restore() gives them back byte for
// byte, whatever happens beside them.

#include "wshare/archive.h"

#include <nlohmann/json.hpp>

#include "archive/family.h"
#include "format/blob_reader.h"
#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "support/places.h"
#include "support/tied_models.h"
#include "util/as_text.h"
#include "wshare/append.h"
#include "wshare/extract_lora.h"
#include "wshare/inspect.h"
#include "wshare/remove.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

using test::bytes_below;
using test::code_of;
using test::external;
using test::files_in;
using test::floats;
using test::moved;
using test::Names;
using test::names_in;
using test::noise;
using test::raw;
using test::read_file;
using test::rounded;
using test::transposed;
using test::Values;
using test::weight;
using test::write_file;

class Archive : public test::FamilyTest {};

const ArchivedTensor& tensor_of(const ArchivedModel& model, const std::string& name) {
  for (const ArchivedTensor& tensor : model.tensors) {
    if (tensor.tensor == name) return tensor;
  }
  throw std::out_of_range(name);
}

TEST_F(Archive, KeepsFineTunesAsWhatMovedThemFromTheirBase) {
  make_family();
  const uint64_t before = bytes_below(bundle());
  const ArchiveReport report = put_away();
  EXPECT_EQ(names_in(bundle()),
            (Names{"base.bin", "base.onnx", "manifest.json", "one.archive", "other.bin",
                   "other.onnx", "restore.bin", "shared.bin", "two.archive"}));
  ASSERT_EQ(report.models.size(), 2u);
  EXPECT_EQ(report.models[0].name, "one");
  EXPECT_EQ(report.models[0].base, "base");
  const ArchivedTensor& query = tensor_of(report.models[0], "query");
  EXPECT_EQ(query.kind, ArchiveClass::kMoved);
  EXPECT_EQ(query.base_tensor, "query");
  EXPECT_LT(query.stored_bytes, query.bytes * 7 / 10);
  EXPECT_EQ(tensor_of(report.models[0], "frozen").kind, ArchiveClass::kSame);
  EXPECT_EQ(tensor_of(report.models[0], "table").kind, ArchiveClass::kStored);
  EXPECT_EQ(report.bytes_before, before);
  EXPECT_EQ(report.bytes_out, bytes_below(bundle()));
  EXPECT_LT(report.bytes_out, before * 8 / 10);
  expect_whole(4);
}

TEST_F(Archive, LeavesBasesAndModelsThatNothingGives) {
  make_family();
  const ArchiveReport report = put_away();
  ASSERT_EQ(report.left.size(), 2u);
  EXPECT_EQ(report.left[0].name, "base");
  EXPECT_EQ(report.left[0].why, "others are computed from it");
  EXPECT_EQ(report.left[1].name, "other");
  const auto files = files_in(bundle());
  EXPECT_TRUE(put_away().models.empty());  // once more finds nothing
  EXPECT_TRUE(files_in(bundle()) == files);
}

// Models that share nearly all that they have: it stays for the others, whatever becomes of one.
TEST_F(Archive, LeavesModelsThatShareWhatTheyHave) {
  const Values trunk = weight(300 * 64, 1);
  for (const unsigned i : {1u, 2u, 3u}) {
    add("task" + std::to_string(i) + ".onnx",
        {floats("trunk", trunk, {300, 64}), raw("head", noise(2000, i))});
  }
  add("alike.onnx", {floats("trunk", trunk, {300, 64})});
  make();
  const ArchiveReport report = put_away();
  EXPECT_TRUE(report.models.empty());
  EXPECT_EQ(report.left.size(), 4u);
  InspectOptions options;
  EXPECT_TRUE(inspect({bundle().string()}, options).relations.empty());
}

TEST_F(Archive, StoresNothingForCastsAndTransposes) {
  const Values values = rounded(weight(200 * 50, 1), kFloat32);
  add("base.onnx", {floats("w", values, {200, 50})});
  add("half.onnx", {floats("w", values, {200, 50}, kFloat16)});
  add("brain.onnx", {floats("w", values, {200, 50}, kBfloat16)});
  add("turned.onnx", {floats("w", transposed(values, 200, 50), {50, 200})});
  make();
  const ArchiveReport report = put_away({"half", "brain", "turned"});
  ASSERT_EQ(report.models.size(), 3u);
  for (const ArchivedModel& model : report.models) {
    EXPECT_EQ(model.tensors[0].kind,
              model.name == "turned" ? ArchiveClass::kTransposed : ArchiveClass::kCast);
    EXPECT_EQ(model.tensors[0].stored_bytes, 0u);
    EXPECT_LT(model.archived_bytes, 1000u);
  }
  expect_whole(4);
}

TEST_F(Archive, ComputesFloat16FromFloat32AndNotTheOtherWay) {
  const Values values = rounded(weight(20000, 1), kFloat32);
  add("a.onnx", {floats("w", values, {200, 100}, kFloat16)});
  add("b.onnx", {floats("w", values, {200, 100})});
  make();
  const ArchiveReport report = put_away();
  ASSERT_EQ(report.models.size(), 1u);
  EXPECT_EQ(report.models[0].name, "a");
  expect_whole(2);
}

// What real quantisers made of one model: testdata/make/quantised.py.
TEST_F(Archive, ComputesQuantisedModelsFromTheFloatsThatTheyWereMadeOf) {
  const fs::path made = fs::path(test::kTestdata) / "quantised";
  for (const char* name : {"float32", "float16", "dynamic_int8", "dynamic_uint8", "qdq",
                           "qoperator", "q4", "q4_asymmetric", "q8"}) {
    add(std::string(name) + ".onnx", read_file(made / (std::string(name) + ".onnx")));
  }
  make();
  const ArchiveReport report = put_away();
  EXPECT_EQ(report.models.size(), 8u);
  ASSERT_EQ(report.left.size(), 1u);
  EXPECT_EQ(report.left[0].name, "float32");
  for (const ArchivedModel& model : report.models) {
    EXPECT_EQ(model.base, "float32") << model.name;
    if (model.name == "float16") continue;
    bool found = false;
    for (const ArchivedTensor& tensor : model.tensors) {
      if (tensor.kind != ArchiveClass::kQuantised) continue;
      found = true;
      EXPECT_LE(tensor.stored_bytes, tensor.bytes / 10) << model.name << ": " << tensor.tensor;
    }
    EXPECT_TRUE(found) << model.name;
  }
  expect_whole(9);
  bring_back({"q4", "qdq"});
  expect_whole(9);
}

// Some quantisers leave the floats in the file, and some of the integers could be computed from
// other ones: none of these is kept for the others' sake.
TEST_F(Archive, KeepsTheFloatsAloneOfAFamilyOfVariants) {
  const fs::path made = fs::path(test::kTestdata) / "quantised";
  for (const fs::directory_entry& file : fs::directory_iterator(made))
    add(file.path().filename(), read_file(file.path()));
  make();
  const ArchiveReport report = put_away();
  ASSERT_EQ(report.left.size(), 1u);
  EXPECT_EQ(report.left[0].name, "float32");
  for (const ArchivedModel& model : report.models) EXPECT_EQ(model.base, "float32") << model.name;
  expect_whole(15);
}

TEST_F(Archive, BundlesOfThisVersionAreReadForEver) {
  fs::copy(fs::path(test::kTestdata) / "compat" / "archived", bundle());
  expect_sound();
  restore(bundle(), {}, temp_ / "out", {});
  for (const char* name : {"float32", "float16", "dynamic_int8", "q4"}) {
    const std::string file = std::string(name) + ".onnx";
    EXPECT_TRUE(read_file(temp_ / "out/quantised" / file) ==
                read_file(fs::path(test::kTestdata) / "quantised" / file))
        << name;
  }
  bring_back({"moved", "q4"});
  expect_sound();
}

TEST_F(Archive, DedupeArchivesAtOnce) {
  make_family();
  ASSERT_EQ(run({"dedupe", path("in"), "-o", path("bundle"), "--archive", "--force", "--json"}), 0)
      << err_;
  const auto json = nlohmann::json::parse(out_);
  EXPECT_EQ(json["bytes_out"], bytes_below(bundle()));
  for (const auto& model : json["models"])
    EXPECT_EQ(model["archived"], model["name"] == "one" || model["name"] == "two");
  const Manifest manifest = load_manifest(bundle());
  EXPECT_EQ(manifest.archived.size(), 2u);
  EXPECT_TRUE(manifest.retired.empty());
  expect_whole(4);
  put_away({"other"});
  ASSERT_EQ(run({"remove", path("bundle"), "--compact"}), 0) << err_;
  expect_whole(4);
}

TEST_F(Archive, AppendArchivesWhatIsNew) {
  make_family();
  const Values query = weight(64 * 64, 2);
  add("three.onnx", {floats("query", moved(query, 77), {64, 64}), raw("t", noise(2000, 5))});
  ASSERT_EQ(run({"append", path("bundle"), path("in/three.onnx"), "--archive", "--base", "base",
                 "--json"}),
            0)
      << err_;
  EXPECT_EQ(nlohmann::json::parse(out_)["models"][0]["archived"], true);
  EXPECT_EQ(find_archived(load_manifest(bundle()), "three")->base, "base");
  expect_whole(5);
}

TEST_F(Archive, InspectSaysWhatItWouldKeepAndWhatItKeeps) {
  make_family();
  const auto predicted = [&](const std::string& path) {
    EXPECT_EQ(run({"inspect", path, "--json"}), 0) << err_;
    return nlohmann::json::parse(out_);
  };
  const auto of_files = predicted(path("in")), of_bundle = predicted(path("bundle"));
  const ArchiveReport done = put_away();
  for (const auto& json : {of_files, of_bundle}) {
    ASSERT_EQ(json["relations"].size(), 2u);
    for (size_t m = 0; m < 2; ++m) {
      const auto& relation = json["relations"][m];
      EXPECT_EQ(relation["model"], done.models[m].name);
      EXPECT_EQ(relation["of"], "base");
      EXPECT_EQ(relation["kind"], "moved");
      EXPECT_NEAR(relation["predicted_bytes"].get<double>() / 110000.0,
                  static_cast<double>(done.models[m].archived_bytes) / 110000.0, 0.03);
    }
  }
  const auto after = predicted(path("bundle"));
  ASSERT_EQ(after["archived"].size(), 2u);
  EXPECT_EQ(after["archived"][0]["name"], "one");
  EXPECT_EQ(after["archived"][0]["archived_bytes"], done.models[0].archived_bytes);
}

TEST_F(Archive, PairsTensorsThatWereRenamedByTheirOrder) {
  const Values a = weight(5000, 1), b = weight(5000, 2);
  add("base.onnx", {floats("onnx::MatMul_1", a), floats("onnx::MatMul_2", b)});
  add("task.onnx", {floats("onnx::MatMul_7", moved(a, 3)), floats("onnx::MatMul_8", moved(b, 4))});
  make();
  const ArchiveReport report = put_away({"task"});
  EXPECT_EQ(report.models.at(0).tensors.at(1).base_tensor, "onnx::MatMul_2");
  EXPECT_EQ(report.models[0].tensors[1].kind, ArchiveClass::kMoved);
  expect_whole(2);
}

TEST_F(Archive, ArchivesWhatIsNamedAlsoTheBase) {
  make_family();
  put_away({"base", "one", "two", "other"});
  const Manifest manifest = load_manifest(bundle());
  EXPECT_TRUE(manifest.models.empty());
  EXPECT_EQ(manifest.archived.size(), 4u);
  for (const std::string& name : names_in(bundle())) EXPECT_FALSE(name.ends_with(".onnx")) << name;
  expect_whole(4);
}

TEST_F(Archive, KeepsWhatTwoArchivedModelsShareOnce) {
  const Values values = weight(20000, 1), both = moved(values, 2);
  add("base.onnx", {floats("w", values), floats("x", weight(1000, 9)), raw("t", noise(9000, 5))});
  add("a.onnx", {floats("w", both), floats("x", weight(1000, 10)), raw("t", noise(9000, 4))});
  add("b.onnx", {floats("w", both), floats("x", weight(1000, 11)), raw("t", noise(9000, 4))});
  make();
  const ArchiveReport report = put_away({"a", "b"});
  EXPECT_EQ(report.models.at(0).tensors.at(0).kind, ArchiveClass::kMoved);
  EXPECT_EQ(report.models.at(1).tensors.at(0).kind, ArchiveClass::kSame);
  EXPECT_LT(report.models[1].archived_bytes, 10000u);
  expect_whole(3);
}

TEST_F(Archive, TakesTheBaseThatIsNamed) {
  make_family();
  ArchiveOptions options;
  options.base = "two";
  const ArchiveReport report = put_away({"one"}, options);
  EXPECT_EQ(report.models.at(0).base, "two");
  expect_whole(4);
  options.base = "nobody";
  EXPECT_EQ(code_of([&] { put_away({"two"}, options); }), 4);
}

TEST_F(Archive, GivesExternalFilesBackWithWhatLiesBetweenTheirTensors) {
  add("a.onnx", {external("w", 3000, {{"location", "sub/a.data"}, {"offset", "100"}})});
  write_file(temp_ / "in/sub/a.data", noise(4000, 4));
  add("b.onnx", {raw("w", noise(8000, 5))});
  make();
  put_away({"a", "b"});
  expect_whole(2);
  bring_back({"a"});
  expect_whole(2);
}

TEST_F(Archive, SaysWhatItWouldDo) {
  make_family();
  const auto before = files_in(bundle());
  ArchiveOptions options;
  options.dry_run = true;
  const ArchiveReport planned = put_away({}, options);
  EXPECT_TRUE(files_in(bundle()) == before);
  const ArchiveReport done = put_away();
  ASSERT_EQ(planned.models.size(), done.models.size());
  for (size_t m = 0; m < done.models.size(); ++m) {
    const auto size = static_cast<double>(done.models[m].bytes_before);
    EXPECT_NEAR(static_cast<double>(planned.models[m].archived_bytes) / size,
                static_cast<double>(done.models[m].archived_bytes) / size, 0.02);
  }
}

TEST_F(Archive, OutputDependsOnNothingButTheBundle) {
  make_family();
  fs::copy(bundle(), temp_ / "copy");
  ArchiveOptions options;
  options.threads = 1;
  put_away({}, options);
  options.threads = 4;
  archive(temp_ / "copy", {}, options);
  EXPECT_TRUE(files_in(bundle()) == files_in(temp_ / "copy"));
}

// A decoder whose output layer is its embedding, turned: --tie-transposed stores that once.
std::string tied(const Values& words) {
  onnx::ModelProto model = test::decoder();
  const std::string bytes = test::bytes_of_values(words, kFloat32);
  model.mutable_graph()->mutable_initializer(0)->set_raw_data(bytes);
  model.mutable_graph()->mutable_initializer(2)->set_raw_data(
      test::turned(bytes, test::kWords, test::kWidth));
  return model.SerializeAsString();
}

TEST_F(Archive, ComputesWhatIsTiedTransposedOnce) {
  const Values words = weight(test::kWords * test::kWidth, 1);
  add("base.onnx", tied(words));
  add("one.onnx", tied(moved(words, 2)));
  ASSERT_EQ(run({"dedupe", path("in"), "-o", path("bundle"), "--tie-transposed"}), 0) << err_;
  const ArchiveReport report = put_away({"one"});
  ASSERT_EQ(report.models.size(), 1u);
  EXPECT_EQ(report.models[0].base, "base");
  EXPECT_LT(report.models[0].archived_bytes, test::kTiedBytes / 5 * 3);
  EXPECT_EQ(tensor_of(report.models[0], "head").stored_bytes, 0u);
  expect_whole(2);

  // A large one comes in stripes, whatever their width.
  const Manifest manifest = load_manifest(bundle());
  const StoredFiles files(bundle(), manifest);
  for (const OriginalTensor& tensor : manifest.archived.at(0).tensors) {
    if (!tensor.turned) continue;
    std::string bytes;
    const auto take = [&](std::span<const std::byte> piece) { bytes += as_text(piece); };
    BlobReader(files, manifest, 1, 10007).write_tensor("one", tensor, take);
    EXPECT_TRUE(bytes == test::turned(test::bytes_of_values(moved(words, 2), kFloat32),
                                      test::kWords, test::kWidth));
  }

  bring_back({"one"});
  EXPECT_TRUE(find_model(load_manifest(bundle()), "one").tensors.at(1).turned);
  expect_whole(2);
  put_away({"base", "one"});
  expect_whole(2);
}

TEST_F(Archive, AppendAndRemoveLeaveArchivedModelsWhole) {
  make_family();
  put_away();
  add("new.onnx", {raw("w", noise(60000, 8)), raw("x", noise(3000, 77))});
  append(bundle(), inputs({"new.onnx"}), {});
  expect_whole(5);
  EXPECT_EQ(run({"append", path("bundle"), "one=" + path("in/new.onnx")}), 4);
  EXPECT_NE(err_.find("the bundle has a model of this name"), std::string::npos) << err_;
  remove_models(bundle(), {"two"}, {});
  expect_whole(4);
}

TEST_F(Archive, TheBaseMayGoItsBytesStay) {
  make_family();
  put_away();
  remove_models(bundle(), {"base"}, {});
  expect_whole(3);
  RemoveOptions compact;
  compact.compact = true;
  remove_models(bundle(), {}, compact);
  expect_whole(3);
  bring_back({"one", "two"});
  expect_whole(3);
  remove_models(bundle(), {}, compact);
  expect_whole(3);
}

TEST_F(Archive, CompactsArchivesThatHaveGaps) {
  add("a.onnx", {external("w", 3000, {{"location", "a.data"}, {"offset", "100"}})});
  write_file(temp_ / "in/a.data", noise(4000, 4));
  add("b.onnx", {raw("w", noise(8000, 5))});
  make();
  put_away({"a"});
  RemoveOptions compact;
  compact.compact = true;
  remove_models(bundle(), {}, compact);
  expect_whole(2);
  bring_back({"a"});
  expect_whole(2);
}

#ifdef WSHARE_TEST_RUN
TEST_F(Archive, NothingRunsAnArchivedModel) {
  make_family();
  put_away();
  expect_refused({"run", path("bundle"), "--model", "one"}, 4, {"'one': is archived", "thaw"});
  expect_refused({"pack", path("bundle"), "--model", "one"}, 4, {"'one': is archived", "thaw"});
}
#endif

TEST_F(Archive, RefusesWhatItCannotTake) {
  make_family();
  expect_refused({"archive", path("bundle"), "nobody"}, 4, {"'nobody': no such model"});
  put_away({"one"});
  expect_refused({"archive", path("bundle"), "one"}, 4, {"'one': is archived already"});
  expect_refused({"archive", path("nowhere")}, 3, {"nowhere"});
}

TEST_F(Archive, RefusesModelsThatTasksRunOn) {
  const fs::path family = fs::path(test::kTestdata) / "t5-lora-merged";
  ExtractOptions options;
  options.base = (family / "base.onnx").string();
  extract_lora(
      resolve_inputs({(family / "summarize.onnx").string(), (family / "translate.onnx").string()}),
      temp_ / "bundle", options);
  const std::string base = load_manifest(bundle()).tasks.at(0).base;
  expect_refused({"archive", path("bundle"), base}, 4, {"runs on it"});
  EXPECT_TRUE(put_away().models.empty());
}

TEST_F(Archive, DamageIsSeen) {
  make_family();
  put_away();
  std::string bytes = read_file(bundle() / "one.archive");
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write_file(bundle() / "one.archive", bytes);
  bool found = false;
  for (const Damage& damage : verify(bundle(), {1})) found = found || damage.file == "one.archive";
  EXPECT_TRUE(found);
  EXPECT_EQ(code_of([&] { restore(bundle(), {"one"}, temp_ / "out", {}); }), 4);
  EXPECT_EQ(code_of([&] { bring_back({"one"}); }), 4);
}

TEST_F(Archive, OfADamagedBundleIsNone) {
  make_family();
  std::string bytes = read_file(bundle() / "one.bin");
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write_file(bundle() / "one.bin", bytes);
  const auto before = files_in(bundle());
  EXPECT_EQ(code_of([&] { put_away(); }), 4);
  EXPECT_TRUE(files_in(bundle()) == before);
}

TEST_F(Archive, JsonHasWhatTheContractSays) {
  make_family();
  ASSERT_EQ(run({"archive", path("bundle"), "--json"}), 0) << err_;
  const auto json = nlohmann::json::parse(out_);
  EXPECT_EQ(json["schema"], "wshare.archive/1");
  EXPECT_EQ(json["models"][0]["name"], "one");
  EXPECT_EQ(json["models"][0]["base"], "base");
  const auto& tensor = json["models"][0]["tensors"][0];
  EXPECT_EQ(tensor["tensor"], "embedding");
  EXPECT_EQ(tensor["class"], "moved");
  EXPECT_EQ(tensor["stored_bytes"], tensor["residual_bytes"]);
  EXPECT_EQ(json["bytes_out"], bytes_below(bundle()));
}

}  // namespace
}  // namespace wshare

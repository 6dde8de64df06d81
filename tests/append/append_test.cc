// append() gives a bundle what dedupe() of all models would have given it, but for file names.

#include "wshare/append.h"

#include <nlohmann/json.hpp>

#include "bundle/lock.h"
#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "support/cli_test.h"
#include "support/places.h"
#include "wshare/restore.h"
#include "wshare/verify.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

using test::bytes_below;
using test::code_of;
using test::files_in;
using test::names_in;
using test::noise;
using test::raw;
using test::read_file;
using test::write_file;

using Names = std::vector<std::string>;

class Append : public test::CliTest {
 protected:
  fs::path bundle() const { return temp_ / "bundle"; }

  void make_of(const Names& files, const std::string& bundle = "bundle") {
    dedupe(inputs(files), temp_ / bundle, {});
  }

  AppendReport append_to_bundle(const Names& files, bool dry_run = false) {
    AppendOptions options;
    options.dry_run = dry_run;
    options.wait = std::chrono::milliseconds(0);
    return append(bundle(), inputs(files), options);
  }

  // Every file but the manifest is as it was `before`, and new ones may be there.
  void expect_old_files_untouched(const std::map<std::string, std::string>& before) {
    const auto after = files_in(bundle());
    for (const auto& [name, bytes] : before) {
      if (name == kManifestName) continue;
      ASSERT_EQ(after.count(name), 1u) << name;
      EXPECT_TRUE(after.at(name) == bytes) << name << " was changed";
    }
  }

  // The bundle verifies and gives every file of "in" back.
  void expect_whole() {
    expect_sound();
    fs::remove_all(temp_ / "out");
    for (const RestoredModel& model : restore(bundle(), {}, temp_ / "out", {}))
      EXPECT_TRUE(model.identical) << model.name;
    const auto originals = files_in(temp_ / "in");
    for (const auto& [name, bytes] : files_in(temp_ / "out"))
      EXPECT_TRUE(originals.at(name) == bytes) << name;
  }
};

TEST_F(Append, PointsToBytesThatTheBundleHasAndWritesOnlyTheRest) {
  add("a.onnx", {raw("trunk", noise(200000, 1)), raw("head", noise(3000, 2))});
  add("b.onnx", {raw("trunk", noise(200000, 1)), raw("head", noise(3000, 3))});
  add("c.onnx",
      {raw("trunk", noise(200000, 1)), raw("other", noise(3000, 2)), raw("new", noise(5000, 4))});
  make_of({"a.onnx", "b.onnx"});
  const auto before = files_in(bundle());
  const AppendReport report = append_to_bundle({"c.onnx"});
  expect_old_files_untouched(before);
  EXPECT_EQ(names_in(bundle()),
            (Names{"a.bin", "a.onnx", "b.bin", "b.onnx", "c.bin", "c.onnx", "manifest.json",
                   "restore.bin", "restore_2.bin", "shared.bin"}));
  EXPECT_EQ(read_file(bundle() / "c.bin"), noise(5000, 4));
  ASSERT_EQ(report.models.size(), 1u);
  EXPECT_EQ(report.models[0].own_bytes, 5000u);
  EXPECT_EQ(report.models[0].shared_bytes, 203000u);
  EXPECT_EQ(report.models[0].saved_bytes, 203000u);  // the bundle had them
  EXPECT_EQ(report.bytes_out, bytes_below(bundle()));
  expect_whole();
}

TEST_F(Append, PutsWhatNewModelsShareIntoABlobOfTheirOwn) {
  add("a.onnx", {raw("w", noise(3000, 1))});
  add("b.onnx", {raw("x", noise(4000, 2))});
  add("c.onnx", {raw("y", noise(4000, 2)), raw("z", noise(2000, 3))});
  make_of({"a.onnx"});
  append_to_bundle({"b.onnx", "c.onnx"});
  EXPECT_EQ(read_file(bundle() / "shared.bin"), noise(4000, 2));
  EXPECT_EQ(read_file(bundle() / "c.bin"), noise(2000, 3));
  EXPECT_FALSE(fs::exists(bundle() / "b.bin"));
  expect_whole();
}

TEST_F(Append, PointsToTheFrontOfALongerTensor) {
  add("a.onnx", {raw("positions", noise(300000, 1))});
  add("b.onnx", {raw("positions", noise(300000, 1).substr(0, 100000))});
  make_of({"a.onnx"});
  append_to_bundle({"b.onnx"});
  EXPECT_FALSE(fs::exists(bundle() / "b.bin"));
  expect_whole();
}

TEST_F(Append, KeepsAnOldTensorWhereItIsWhenItIsTheFrontOfANewOne) {
  add("a.onnx", {raw("w", noise(100000, 1).substr(0, 50000))});
  add("b.onnx", {raw("w", noise(100000, 1)), raw("x", noise(100000, 1).substr(0, 50000))});
  make_of({"a.onnx"});
  const auto before = files_in(bundle());
  append_to_bundle({"b.onnx"});
  expect_old_files_untouched(before);
  EXPECT_EQ(fs::file_size(bundle() / "b.bin"), 100000u);
  expect_whole();
}

TEST_F(Append, AddsNoWeightsForAModelThatIsThereUnderAnotherName) {
  add("a.onnx", {raw("w", noise(100000, 1))});
  make_of({"a.onnx"});
  const AppendReport report =
      append(bundle(), resolve_inputs({"copy=" + path("in/a.onnx")}), AppendOptions());
  EXPECT_EQ(report.models[0].own_bytes, 0u);
  EXPECT_LT(report.bytes_out - report.bytes_before, 1500u);
  // Two originals cannot go to one place.
  const auto restored = restore(bundle(), {}, temp_ / "out", {});
  ASSERT_EQ(restored.size(), 2u);
  EXPECT_EQ(files_in(temp_ / "out"),
            (std::map<std::string, std::string>{{"a.onnx", read_file(temp_ / "in/a.onnx")},
                                                {"in/a.onnx", read_file(temp_ / "in/a.onnx")}}));
}

TEST_F(Append, KeepsGapsOfExternalFiles) {
  for (const uint32_t i : {1u, 2u, 3u}) {
    const std::string name = std::to_string(i);
    write_file(temp_ / ("in/" + name + ".data"),
               noise(5000, i) + "header " + name + noise(4000, 9));
    add(name + ".onnx",
        test::model_of(
            {test::external("w", 5000, {{"location", name + ".data"}, {"length", "5000"}}),
             test::external("v", 4000, {{"location", name + ".data"}, {"offset", "5008"}})}));
  }
  make_of({"1.onnx"});
  append_to_bundle({"2.onnx"});
  append_to_bundle({"3.onnx"});
  EXPECT_EQ(load_manifest(bundle()).gaps.size(), 3u);
  expect_whole();
}

TEST_F(Append, SaysExactlyInADryRunWhatItWouldWrite) {
  add("a.onnx", {raw("w", noise(100000, 1))});
  add("b.onnx", {raw("w", noise(100000, 1)), raw("v", noise(70000, 2))});
  make_of({"a.onnx"});
  const auto before = files_in(bundle());
  const AppendReport dry = append_to_bundle({"b.onnx"}, true);
  EXPECT_EQ(files_in(bundle()), before);
  EXPECT_EQ(dry.bytes_before, bytes_below(bundle()));
  append_to_bundle({"b.onnx"});
  EXPECT_EQ(dry.bytes_out, bytes_below(bundle()));
}

TEST_F(Append, WritesTheSameBytesForAnyNumberOfThreads) {
  for (uint32_t i = 0; i < 12; ++i) {
    add("m" + std::to_string(i) + ".onnx",
        {raw("w", noise(5000 + i, i % 4)), raw("x", noise(70000, i % 3)), raw("y", noise(100, i))});
  }
  std::vector<std::map<std::string, std::string>> made;
  for (const unsigned threads : {1u, 4u}) {
    fs::remove_all(bundle());
    make_of({"m0.onnx", "m1.onnx"});
    AppendOptions options;
    options.threads = threads;
    append(bundle(), inputs({"m2.onnx", "m3.onnx", "m4.onnx", "m5.onnx"}), options);
    append(bundle(), inputs({"m6.onnx", "m7.onnx", "m8.onnx"}), options);
    made.push_back(files_in(bundle()));
  }
  EXPECT_TRUE(made[0] == made[1]);
}

TEST_F(Append, SharesAsMuchOneByOneAsDedupeDoesAtOnce) {
  // Every append has a restore file and a manifest entry of its own, which small models feel.
  constexpr uint64_t kPerModel = 256;
  for (const char* family : {"t5-seq2seq", "t5-lora", "external"}) {
    SCOPED_TRACE(family);
    const fs::path folder = fs::path(test::kTestdata) / family;
    std::vector<ModelInput> models = resolve_inputs({folder.string()});
    const DedupeReport all = dedupe(models, temp_ / "all", {});
    dedupe({models[0]}, bundle(), {});
    for (size_t m = 1; m < models.size(); ++m) append(bundle(), {models[m]}, {});
    EXPECT_LE(bytes_below(bundle()),
              all.bytes_out + all.bytes_out / 100 + kPerModel * models.size());
    EXPECT_TRUE(verify(bundle(), {0}).empty());
    for (const RestoredModel& model : restore(bundle(), {}, temp_ / "out", {})) {
      EXPECT_TRUE(model.identical) << model.name;
      EXPECT_EQ(read_file(model.path), read_file(folder / model.path.filename())) << model.name;
    }
    for (const char* name : {"all", "bundle", "out"}) fs::remove_all(temp_ / name);
  }
}

TEST_F(Append, IsRefusedWhereItCannotBe) {
  add("a.onnx", {raw("w", noise(3000, 1))});
  add("broken.onnx", std::string("no model"));
  make_of({"a.onnx"});
  write_file(temp_ / "plain/notes.txt", "mine");
  expect_refused({"append", path("bundle"), path("in/a.onnx")}, 4, {"'a'", "NAME="});
  expect_refused({"append", path("bundle"), path("in/broken.onnx")}, 4, {"broken.onnx"});
  expect_refused({"append", path("bundle"), "b=" + path("bundle/a.onnx")}, 3, {"holds the input"});
  expect_refused({"append", path("plain"), path("in/a.onnx")}, 3, {"is no bundle"});
  expect_refused({"append", path("missing"), path("in/a.onnx")}, 3, {"is no bundle"});
  expect_refused({"append", path("bundle"), path("in/missing.onnx")}, 3, {"missing.onnx"});
}

TEST_F(Append, IsRefusedWhereTheFolderCannotBeWrittenTo) {
  add("a.onnx", {raw("w", noise(3000, 1))});
  add("b.onnx", {raw("w", noise(3000, 1))});
  make_of({"a.onnx"});
  fs::create_directory(bundle() / kLockName);  // also the administrator cannot open it for writing
  expect_refused({"append", path("bundle"), path("in/b.onnx")}, 3, {"cannot be changed"});
}

TEST_F(Append, RefusesToPointToDamagedBytes) {
  add("a.onnx", {raw("w", noise(300000, 1))});
  std::string changed = noise(300000, 1);
  changed[200000] = static_cast<char>(changed[200000] + 1);
  add("b.onnx", {raw("w", changed)});
  make_of({"a.onnx"});
  write_file(bundle() / "a.bin", changed);
  const auto before = files_in(bundle());
  std::string message, hint;
  EXPECT_EQ(code_of([&] { append_to_bundle({"b.onnx"}); }, &message, &hint), 4);
  EXPECT_NE(message.find("a.bin"), std::string::npos) << message;
  EXPECT_NE(hint.find("wshare verify"), std::string::npos) << hint;
  EXPECT_EQ(files_in(bundle()), before);
}

TEST_F(Append, PrintsWhatItDid) {
  add("a.onnx", {raw("w", noise(100000, 1))});
  add("b.onnx", {raw("w", noise(100000, 1)), raw("v", noise(2048, 2))});
  make_of({"a.onnx"});
  ASSERT_EQ(run({"append", path("bundle"), path("in/b.onnx"), "--json", "-n"}), 0) << err_;
  const auto json = nlohmann::json::parse(out_);
  EXPECT_EQ(json["schema"], "wshare.append/1");
  EXPECT_EQ(json["models"][0]["name"], "b");
  EXPECT_EQ(json["models"][0]["own_bytes"], 2048);
  EXPECT_EQ(json["models"][0]["shared_bytes"], 100000);
  EXPECT_EQ(json["bytes_out"].get<uint64_t>() - json["bytes_added"].get<uint64_t>(),
            bytes_below(bundle()));
  ASSERT_EQ(run({"append", path("bundle"), path("in/b.onnx")}), 0) << err_;
  EXPECT_NE(out_.find("2.0 KiB  97.7 KiB  97.7 KiB        2  b\n"), std::string::npos) << out_;
  EXPECT_NE(out_.find(" added, the bundle has "), std::string::npos) << out_;
  EXPECT_EQ(err_, "");
}

}  // namespace
}  // namespace wshare

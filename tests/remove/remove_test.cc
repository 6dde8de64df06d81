// remove_models() takes models and tasks out of a bundle and leaves the rest as it is; with
// `compact` the bundle is then what dedupe of the rest would have made.

#include "wshare/remove.h"

#include <nlohmann/json.hpp>

#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "support/cli_test.h"
#include "support/places.h"
#include "wshare/append.h"
#include "wshare/extract_lora.h"
#include "wshare/restore.h"

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

class Remove : public test::CliTest {
 protected:
  fs::path bundle() const { return temp_ / "bundle"; }
  static fs::path family(const std::string& name) { return fs::path(test::kTestdata) / name; }

  // a and b share a trunk, c shares a part of it with b only.
  void make_three() {
    add("a.onnx", {raw("trunk", noise(100000, 1)), raw("head", noise(3000, 2))});
    add("b.onnx", {raw("trunk", noise(100000, 1)), raw("neck", noise(70000, 4)),
                   raw("head", noise(3000, 3))});
    add("c.onnx", {raw("neck", noise(70000, 4)), raw("head", noise(4000, 5))});
    make();
  }

  RemoveReport take(const Names& names, bool compact = false, bool dry_run = false) {
    RemoveOptions options;
    options.compact = compact;
    options.dry_run = dry_run;
    options.wait = std::chrono::milliseconds(0);
    return remove_models(bundle(), names, options);
  }

  // The bundle verifies and gives the models that it has back as they were in `originals`.
  // An external file may have held tensors of a removed model: then it is not `identical`.
  void expect_whole(const fs::path& originals, size_t models, bool identical = true) {
    expect_sound();
    fs::remove_all(temp_ / "out");
    const auto restored = restore(bundle(), {}, temp_ / "out", {});
    EXPECT_EQ(restored.size(), models);
    for (const RestoredModel& model : restored) {
      EXPECT_TRUE(model.identical || !identical) << model.name;
      EXPECT_TRUE(read_file(model.path) == read_file(originals / model.path.filename()))
          << model.name;
    }
    for (const std::string& name : names_in(bundle())) EXPECT_FALSE(name.starts_with(".")) << name;
  }
};

TEST_F(Remove, DeletesWhatNobodyNeedsAndTouchesNothingElse) {
  make_three();
  const auto before = files_in(bundle());
  const uint64_t bytes_before = bytes_below(bundle());
  const RemoveReport report = take({"a"});
  EXPECT_EQ(report.removed, Names{"a"});
  ASSERT_EQ(report.files.size(), 2u);
  EXPECT_EQ(report.files[0].file, "a.bin");
  EXPECT_EQ(report.files[0].bytes, 3000u);
  EXPECT_EQ(report.files[1].file, "a.onnx");
  auto after = files_in(bundle());
  for (const auto& [name, bytes] : after) {
    EXPECT_TRUE(name == kManifestName || before.at(name) == bytes) << name;
  }
  EXPECT_EQ(after.size(), before.size() - 2);
  EXPECT_EQ(report.bytes_before, bytes_before);
  EXPECT_EQ(report.bytes_out, bytes_below(bundle()));
  expect_whole(temp_ / "in", 2);
}

TEST_F(Remove, AccountsForBytesThatStayAndAppendUsesThemAgain) {
  make_three();
  take({"a"});
  const RemoveReport report = take({"b"});
  // shared.bin stays for the neck; the trunk in it belongs to nobody.
  EXPECT_EQ(report.unused_bytes, 100000u);
  expect_whole(temp_ / "in", 1);
  const AppendReport again = append(bundle(), inputs({"a.onnx"}), {});
  EXPECT_EQ(again.models[0].own_bytes, 3000u);
  expect_whole(temp_ / "in", 2);
}

TEST_F(Remove, OfEachAndOfAllButOneKeepsTheRestWhole) {
  for (const char* name : {"t5-seq2seq", "t5-lora", "external"}) {
    const std::vector<ModelInput> models = resolve_inputs({family(name).string()});
    for (size_t m = 0; m < models.size(); ++m) {
      SCOPED_TRACE(models[m].name);
      fs::remove_all(bundle());
      dedupe(models, bundle(), {});
      take({models[m].name});
      const bool identical = std::string(name) != "external";
      expect_whole(family(name), models.size() - 1, identical);
      Names others;
      for (size_t other = 0; other < models.size(); ++other) {
        if (other != m && other != (m + 1) % models.size()) others.push_back(models[other].name);
      }
      take(others);
      expect_whole(family(name), 1, identical);
    }
  }
}

TEST_F(Remove, CompactsToTheBytesOfDedupe) {
  for (const char* name : {"t5-seq2seq", "t5-lora", "homes"}) {
    SCOPED_TRACE(name);
    std::vector<ModelInput> models = resolve_inputs({family(name).string()});
    dedupe({models[0]}, bundle(), {});
    for (size_t m = 1; m < models.size(); ++m) append(bundle(), {models[m]}, {});
    const std::string gone = models[1].name;
    models.erase(models.begin() + 1);
    dedupe(models, temp_ / "all", {});
    const RemoveReport dry = take({gone}, true, true);
    const RemoveReport report = take({gone}, true);
    EXPECT_EQ(report.bytes_out, bytes_below(bundle()));
    EXPECT_EQ(dry.bytes_out, report.bytes_out);
    const auto wanted = files_in(temp_ / "all");
    const auto got = files_in(bundle());
    EXPECT_EQ(names_in(bundle()), names_in(temp_ / "all"));
    for (const auto& [file, bytes] : wanted)
      EXPECT_TRUE(got.count(file) != 0 && got.at(file) == bytes) << file;
    expect_whole(family(name), models.size());
    fs::remove_all(temp_ / "all");
    fs::remove_all(bundle());
  }
}

TEST_F(Remove, CompactsExternalFilesAndTheirGaps) {
  for (const uint32_t i : {1u, 2u, 3u}) {
    const std::string name = std::to_string(i);
    write_file(temp_ / ("in/" + name + ".data"),
               noise(5000, i) + "header " + name + noise(4000, 9));
    add(name + ".onnx",
        test::model_of(
            {test::external("w", 5000, {{"location", name + ".data"}, {"length", "5000"}}),
             test::external("v", 4000, {{"location", name + ".data"}, {"offset", "5008"}})}));
  }
  make();
  take({"1"});
  EXPECT_EQ(load_manifest(bundle()).gaps.size(), 5u);  // + the record and the tensor of "1"
  expect_whole(temp_ / "in", 2);
  take({}, true);
  EXPECT_EQ(load_manifest(bundle()).gaps.size(), 2u);
  expect_whole(temp_ / "in", 2);
  fs::remove(temp_ / "in/1.onnx");
  make(1024, 0, "wanted");
  EXPECT_TRUE(files_in(bundle()) == files_in(temp_ / "wanted"));
}

TEST_F(Remove, ReplacesWhatALinkLeadsTo) {
  make_three();
  fs::create_directory_symlink(bundle(), temp_ / "link");
  RemoveOptions options;
  options.compact = true;
  remove_models(temp_ / "link", {"a"}, options);
  EXPECT_TRUE(fs::is_symlink(temp_ / "link"));
  expect_whole(temp_ / "in", 2);
}

TEST_F(Remove, KeepsNumbersOfGapsWhoseBlobIsGone) {
  for (const uint32_t i : {1u, 2u}) {
    const std::string name = std::to_string(i);
    write_file(temp_ / ("in/" + name + ".data"), "head" + name + noise(5000, i));
    add(name + ".onnx", test::model_of({test::external(
                            "w", 5000, {{"location", name + ".data"}, {"offset", "5"}})}));
  }
  dedupe(inputs({"1.onnx"}), bundle(), {});
  append(bundle(), inputs({"2.onnx"}), {});
  take({"1"});
  EXPECT_EQ(names_in(bundle()), (Names{"2.bin", "2.onnx", "manifest.json", "restore_2.bin"}));
  EXPECT_EQ(load_manifest(bundle()).gaps.size(), 2u);
  expect_whole(temp_ / "in", 1);
}

class RemoveTasks : public Remove {
 protected:
  RemoveTasks() {
    ExtractOptions options;
    options.base = (family("t5-lora") / "base.onnx").string();
    std::vector<ModelInput> tasks;
    for (const char* name : {"classify", "summarize", "translate"})
      tasks.push_back({name, family("t5-lora") / (std::string(name) + ".onnx")});
    options.emit.onnx = true;
    extract_lora(tasks, bundle(), options);
  }
};

TEST_F(RemoveTasks, TakesATaskWithAllThatIsItsOwn) {
  const Names before = names_in(bundle());
  take({"summarize"});
  Names wanted;
  for (const std::string& name : before) {
    if (!name.starts_with("summarize")) wanted.push_back(name);
  }
  EXPECT_EQ(names_in(bundle()), wanted);
  expect_whole(family("t5-lora"), 3);
  EXPECT_EQ(find_task(load_manifest(bundle()), "summarize"), nullptr);
}

TEST_F(RemoveTasks, RefusesToTakeTheBaseOfTasks) {
  expect_refused({"remove", path("bundle"), "base"}, 4,
                 {"'base': is the base of the tasks 'classify', 'summarize', 'translate'"});
  expect_refused({"remove", path("bundle"), "base", "summarize"}, 4, {"'classify', 'translate'"});
}

TEST_F(RemoveTasks, LeavesTheBaseWithoutTasks) {
  take({"classify", "summarize", "translate"});
  EXPECT_TRUE(load_manifest(bundle()).tasks.empty());
  expect_whole(family("t5-lora"), 1);
}

TEST_F(RemoveTasks, CompactsToTheBytesOfExtractLora) {
  const auto before = files_in(bundle());
  take({}, true);
  EXPECT_EQ(names_in(bundle()).size(), before.size());
  for (const auto& [name, bytes] : files_in(bundle()))
    EXPECT_TRUE(before.count(name) != 0 && before.at(name) == bytes) << name;
  take({"classify"}, true);
  expect_whole(family("t5-lora"), 3);
}

TEST_F(RemoveTasks, AppendBringsTheTaskBackAsAnAdapter) {
  take({"summarize"}, true);
  ASSERT_EQ(run({"append", path("bundle"), (family("t5-lora") / "summarize.onnx").string()}), 0)
      << err_;
  const Manifest manifest = load_manifest(bundle());
  ASSERT_NE(find_task(manifest, "summarize"), nullptr);
  EXPECT_TRUE(find_task(manifest, "summarize")->adapter);
  expect_whole(family("t5-lora"), 4);
  EXPECT_EQ(run({"append", path("bundle"),
                 "classify=" + (family("t5-lora") / "summarize.onnx").string()}),
            4);
}

TEST_F(Remove, IsRefusedWhereItCannotBe) {
  make_three();
  expect_refused({"remove", path("bundle"), "d"}, 4,
                 {"'d': no such model", "it has 'a', 'b', 'c'"});
  expect_refused({"remove", path("bundle"), "a", "b", "c"}, 4, {"nothing would be left"});
  expect_refused({"remove", path("bundle")}, 2, {"NAME"});
  expect_refused({"remove", path("in"), "a"}, 3, {"is no bundle"});
  write_file(bundle() / "tokenizer.json", "mine");
  expect_refused({"remove", path("bundle"), "a", "--compact"}, 3,
                 {"tokenizer.json", "move it away"});
}

TEST_F(Remove, DoesNotCompactDamage) {
  make_three();
  for (const char* file : {"shared.bin", "a.bin", "b.onnx"}) {
    SCOPED_TRACE(file);
    const std::string whole = read_file(bundle() / file);
    std::string damaged = whole;
    damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 1);
    write_file(bundle() / file, damaged);
    expect_refused({"remove", path("bundle"), "--compact"}, 4, {file});
    write_file(bundle() / file, whole);
  }
}

TEST_F(Remove, PrintsWhatItDid) {
  make_three();
  ASSERT_EQ(run({"remove", path("bundle"), "a", "b", "--json", "-n"}), 0) << err_;
  const auto json = nlohmann::json::parse(out_);
  EXPECT_EQ(json["schema"], "wshare.remove/1");
  EXPECT_EQ(json["removed"], (Names{"a", "b"}));
  EXPECT_EQ(json["files"][0]["file"], "a.bin");
  EXPECT_EQ(json["unused_bytes"], 100000);
  EXPECT_EQ(json["compacted"], false);
  const uint64_t predicted = json["bytes_out"];
  ASSERT_EQ(run({"remove", path("bundle"), "a", "b"}), 0) << err_;
  EXPECT_TRUE(out_.starts_with("deleted\n2.9 KiB  a.bin\n2.9 KiB  b.bin\n")) << out_;
  EXPECT_NE(out_.find("97.7 KiB in blobs that stay are used by no model any more; --compact"),
            std::string::npos)
      << out_;
  EXPECT_EQ(bytes_below(bundle()), predicted);
  ASSERT_EQ(run({"remove", path("bundle"), "--compact"}), 0) << err_;
  EXPECT_EQ(names_in(bundle()), (Names{"c.bin", "c.onnx", "manifest.json", "restore.bin"}));
}

}  // namespace
}  // namespace wshare

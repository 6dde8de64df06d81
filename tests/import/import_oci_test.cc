// import_oci() makes what came from a registry a bundle, and believes nothing of it.

#include <functional>
#include <nlohmann/json.hpp>

#include "format/manifest/text.h"
#include "support/cli_test.h"
#include "util/sha256.h"
#include "wshare/append.h"
#include "wshare/export.h"
#include "wshare/import.h"
#include "wshare/remove.h"
#include "wshare/restore.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

using Json = nlohmann::ordered_json;
using test::files_in;
using test::names_in;
using test::noise;
using test::raw;
using test::read_file;
using test::write_file;
using Names = std::vector<std::string>;

class ImportOci : public test::CliTest {
 protected:
  void SetUp() override {
    add("a.onnx", {raw("trunk", noise(300000, 1)), raw("head", noise(3000, 2))});
    add("b.onnx", {raw("trunk", noise(300000, 1)), raw("head", noise(4000, 3))});
    make();
    add("c.onnx", {raw("trunk", noise(300000, 1)), raw("head", noise(5000, 4))});
    send("v1");
  }

  void send(const std::string& tag, const std::string& bundle = "bundle") {
    export_oci(temp_ / bundle, temp_ / "layout", tag, {});
  }

  ImportOciReport get(const std::string& tag, ImportOciOptions options = {}) {
    options.wait = std::chrono::milliseconds(0);
    return import_oci(temp_ / "layout", tag, temp_ / "got", options);
  }

  void expect_got_is(const std::string& bundle) const {
    EXPECT_TRUE(files_in(temp_ / "got") == files_in(temp_ / bundle));
    EXPECT_TRUE(verify(temp_ / "got").empty());
  }

  fs::path blob(const std::string& digest) const {
    return temp_ / ("layout/blobs/sha256/" + digest.substr(digest.find(':') + 1));
  }

  // Puts `bytes` into the layout, and returns their descriptor.
  Json put(const std::string& bytes, const std::string& type) const {
    const std::string digest = sha256_of(std::as_bytes(std::span(bytes)));
    fs::remove(blob(digest));
    write_file(blob(digest), bytes);
    return {{"mediaType", type}, {"digest", "sha256:" + digest}, {"size", bytes.size()}};
  }

  // Lets the tag "bad" be v1 as `change` makes it.
  void forge(const std::function<void(Json&)>& change) const {
    Json index = Json::parse(read_file(temp_ / "layout/index.json"));
    Json manifest = Json::parse(read_file(blob(index["manifests"][0]["digest"])));
    change(manifest);
    Json entry = put(manifest.dump(), index["manifests"][0]["mediaType"]);
    entry["annotations"]["org.opencontainers.image.ref.name"] = "bad";
    index["manifests"] = Json::array({index["manifests"][0], entry});
    write_file(temp_ / "layout/index.json", index.dump());
  }

  static void name(Json& layer, const std::string& title) {
    layer["annotations"] = {{"org.opencontainers.image.title", title}};
  }
};

TEST_F(ImportOci, MakesTheBundleAgainWithoutACopy) {
  const ImportOciReport report = get("v1");
  expect_got_is("bundle");
  EXPECT_FALSE(report.updated);
  EXPECT_EQ(report.added, (Names{}));  // there was no bundle to compare with
  EXPECT_EQ(report.bytes, test::bytes_below(temp_ / "got"));
  EXPECT_EQ(report.new_bytes, report.bytes);
  EXPECT_EQ(report.linked_bytes, report.bytes);
  EXPECT_TRUE(fs::equivalent(temp_ / "got/shared.bin", temp_ / "bundle/shared.bin"));
  const auto restored = restore(temp_ / "got", {}, temp_ / "out", {});
  EXPECT_EQ(restored.size(), 2u);
}

TEST_F(ImportOci, CopiesWhereItIsAskedTo) {
  ImportOciOptions options;
  options.copy = true;
  EXPECT_EQ(get("v1", options).linked_bytes, 0u);
  expect_got_is("bundle");
  for (const auto& [name, bytes] : files_in(temp_ / "got"))
    EXPECT_EQ(fs::hard_link_count(temp_ / ("got/" + name)), 1u) << name;
}

TEST_F(ImportOci, UpdatesInOneStepAndHashesWhatIsNew) {
  get("v1");
  append(temp_ / "bundle", inputs({"c.onnx"}), {});
  send("v2");
  ImportOciOptions dry;
  dry.dry_run = true;
  const auto before = files_in(temp_ / "got");
  const ImportOciReport tried = get("v2", dry);
  EXPECT_TRUE(files_in(temp_ / "got") == before);
  const ImportOciReport report = get("v2");
  EXPECT_EQ(tried.new_bytes, report.new_bytes);
  expect_got_is("bundle");
  EXPECT_TRUE(report.updated);
  EXPECT_EQ(report.added, Names{"c"});
  EXPECT_EQ(report.removed, Names{});
  EXPECT_EQ(report.changed, Names{});
  EXPECT_GT(report.new_bytes, 5000u);
  EXPECT_LT(report.new_bytes, 65000u);
  EXPECT_EQ(names_in(temp_.path()), (Names{"bundle", "got", "in", "layout"}));
  const ImportOciReport again = get("v2");
  EXPECT_FALSE(again.updated);
  EXPECT_EQ(again.new_bytes, 0u);
  const ImportOciReport back = get("v1");
  EXPECT_TRUE(back.updated);
  EXPECT_EQ(back.removed, Names{"c"});
  EXPECT_EQ(restore(temp_ / "got", {}, temp_ / "out", {}).size(), 2u);
}

// A bundle that was made anew has other bytes under the old names.
TEST_F(ImportOci, SaysWhichModelsAreOthers) {
  get("v1");
  fs::remove_all(temp_ / "bundle");
  add("a.onnx", {raw("trunk", noise(300000, 7)), raw("head", noise(3000, 2))});
  make();
  send("v3");
  const ImportOciReport report = get("v3");
  EXPECT_EQ(report.added, Names{"c"});
  EXPECT_EQ(report.changed, (Names{"a"}));
  expect_got_is("bundle");
}

TEST_F(ImportOci, TakesTheOnlyTagOrTheLatest) {
  get("");
  expect_got_is("bundle");
  send("v2");
  expect_refused({"import", "oci", path("layout"), "-o", path("got")}, 4, {"several tags", "'v1'"});
  send("latest");
  EXPECT_EQ(get("").tag, "latest");
  expect_refused({"import", "oci", path("layout:v7"), "-o", path("got")}, 4, {"no tag 'v7'"});
}

TEST_F(ImportOci, RefusesWhatContradictsItself) {
  get("v1");
  const std::string type = "application/vnd.cncf.model.weight.v1.raw";
  struct Case {
    const char* name;
    int code;
    std::vector<std::string> texts;
    std::function<void(Json&)> change;
  };
  const std::string big(size_t{4} << 20, ' ');
  for (const Case& c : std::vector<Case>{
           {"a name above", 4, {"'../a.bin'"}, [](Json& m) { name(m["layers"][0], "../a.bin"); }},
           {"an absolute name", 4, {"'/a.bin'"}, [](Json& m) { name(m["layers"][0], "/a.bin"); }},
           {"a hidden name", 4, {"'.a'"}, [](Json& m) { name(m["layers"][0], ".a"); }},
           {"no name", 4, {"no name"}, [](Json& m) { m["layers"][0].erase("annotations"); }},
           {"one name twice",
            4,
            {"two layers", "'a.onnx'"},
            [](Json& m) { name(m["layers"][0], "a.onnx"); }},
           {"two names for one",
            4,
            {"'x'", "'a.bin'"},
            [](Json& m) { m["layers"][0]["annotations"]["org.cncf.model.filepath"] = "x"; }},
           {"another config",
            5,
            {"application/other", "no model artifact"},
            [](Json& m) { m["config"]["mediaType"] = "application/other"; }},
           {"a config that is not there",
            4,
            {"is missing"},
            [](Json& m) { m["config"]["digest"] = "sha256:" + std::string(64, 'a'); }},
           {"another kind of layer",
            4,
            {"application/other"},
            [](Json& m) { m["layers"][0]["mediaType"] = "application/other"; }},
           {"a blob that is not there",
            4,
            {"is missing", "'a.bin'"},
            [](Json& m) { m["layers"][0]["digest"] = "sha256:" + std::string(64, 'a'); }},
           {"another digest",
            4,
            {"sha512"},
            [](Json& m) { m["layers"][0]["digest"] = "sha512:" + std::string(64, 'a'); }},
           {"a path for a digest",
            4,
            {"no SHA-256"},
            [](Json& m) { m["layers"][0]["digest"] = "sha256:../../index.json"; }},
           {"another size", 4, {"3001", "3000"}, [](Json& m) { m["layers"][0]["size"] = 3001; }},
           {"a negative size", 4, {"size"}, [](Json& m) { m["layers"][0]["size"] = -1; }},
           {"other bytes",
            4,
            {"a.bin", "damaged"},
            [&](Json& m) {
              m["layers"][0] = put(noise(3000, 77), type);
              name(m["layers"][0], "a.bin");
            }},
           {"a file too few", 4, {"no 'a.bin'"}, [](Json& m) { m["layers"].erase(0); }},
           {"a file too many",
            4,
            {"'more.bin'", "none of the bundle's"},
            [&](Json& m) {
              m["layers"].push_back(put("more", type));
              name(m["layers"].back(), "more.bin");
            }},
           {"no manifest of a bundle",
            5,
            {"no bundle"},
            [](Json& m) { m["layers"].erase(m["layers"].size() - 1); }},
           {"a manifest that is none",
            4,
            {"'manifest.json'", "'version'"},
            [&](Json& m) {
              m["layers"].back() = put("{}", type);
              name(m["layers"].back(), "manifest.json");
            }},
           {"another version", 4, {"schemaVersion 3"}, [](Json& m) { m["schemaVersion"] = 3; }},
           {"an index",
            4,
            {"is of the type"},
            [](Json& m) { m["mediaType"] = "application/vnd.oci.image.index.v1+json"; }},
           {"too large", 4, {"registries take 4194304"}, [&](Json& m) { m["more"] = big; }}}) {
    SCOPED_TRACE(c.name);
    forge(c.change);
    expect_refused({"import", "oci", path("layout:bad"), "-o", path("got")}, c.code, c.texts);
    expect_refused({"import", "oci", path("layout:bad"), "-o", path("new")}, c.code, c.texts);
    // Only a bundle that is there can be verified.
    if (std::string(c.name) == "other bytes") continue;
    expect_refused({"import", "oci", path("layout:bad"), "-o", path("new"), "-n"}, c.code, c.texts);
  }
}

TEST_F(ImportOci, RefusesDamagedBlobsAndLinks) {
  const Json index = Json::parse(read_file(temp_ / "layout/index.json"));
  const std::string digest = index["manifests"][0]["digest"];
  const Json manifest = Json::parse(read_file(blob(digest)));
  const fs::path layer = blob(manifest["layers"][0]["digest"]);
  const std::string bytes = read_file(layer), text = read_file(blob(digest));
  const Names import = {"import", "oci", path("layout"), "-o", path("got")};
  fs::remove(layer);
  write_file(layer, std::string(bytes.size(), 'x'));
  expect_refused(import, 4, {"damaged", "SHA-256", "'a.bin'"});
  fs::remove(layer);
  write_file(temp_ / "elsewhere", bytes);
  fs::create_symlink(temp_ / "elsewhere", layer);
  expect_refused(import, 4, {"is a link"});
  fs::remove(layer);
  fs::create_directory(layer);
  expect_refused(import, 4, {"is no file"});
  fs::remove(layer);
  write_file(layer, bytes);
  fs::remove(blob(digest));
  write_file(blob(digest), text.substr(0, text.size() - 1) + " ");
  expect_refused(import, 4, {"damaged", "SHA-256"});
  fs::remove(temp_ / "layout/index.json");
  fs::create_symlink(temp_ / "elsewhere", temp_ / "layout/index.json");
  expect_refused(import, 4, {"index.json'", "is a link"});
}

// A part of a bundle is one: it verifies, says what it lacks, and the whole completes it.
TEST_F(ImportOci, OfAPartIsABundleThatTheWholeCompletes) {
  ExportOciOptions options;
  options.models = {"a"};
  export_oci(temp_ / "bundle", temp_ / "layout", "a", options);
  const ImportOciReport part = get("a");
  EXPECT_EQ(names_in(temp_ / "got"), (Names{"a.bin", "a.onnx", "manifest.json", "shared.bin"}));
  EXPECT_TRUE(verify(temp_ / "got").empty());
  EXPECT_EQ(read_file(temp_ / "got/a.onnx"), read_file(temp_ / "bundle/a.onnx"));
  EXPECT_EQ(load_manifest(temp_ / "got").left_out, (Names{"b.bin", "b.onnx", "restore.bin"}));
  expect_refused({"restore", path("got"), "-o", path("out")}, 4,
                 {"part of another", "'restore.bin'", "hint: import"});
  expect_refused({"restore", path("got"), "a", "-o", path("out")}, 4, {"'a'", "'restore.bin'"});
  ASSERT_EQ(run({"append", path("got"), path("in/c.onnx")}), 0) << err_;
  EXPECT_TRUE(verify(temp_ / "got").empty());
  ASSERT_EQ(run({"restore", path("got"), "c", "-o", path("out")}), 0) << err_;
  EXPECT_EQ(read_file(temp_ / "out/c.onnx"), read_file(temp_ / "in/c.onnx"));
  ASSERT_EQ(run({"remove", path("got"), "c"}), 0) << err_;
  EXPECT_TRUE(verify(temp_ / "got").empty());
  const ImportOciReport whole = get("v1");
  EXPECT_EQ(whole.added, Names{"b"});
  EXPECT_EQ(whole.changed, Names{});
  EXPECT_LT(whole.new_bytes, whole.bytes - part.bytes + 10000);
  expect_got_is("bundle");
}

TEST_F(ImportOci, ReplacesNothingButABundle) {
  write_file(temp_ / "mine/file", "mine");
  write_file(temp_ / "file", "mine");
  const auto into = [&](const std::string& name) {
    return Names{"import", "oci", path("layout"), "-o", path(name)};
  };
  expect_refused(into("mine"), 3, {"mine'", "no bundle"});
  expect_refused(into("file"), 3, {"file'"});
  expect_refused(into("none/got"), 3, {"none/got'"});
  expect_refused(into("layout/got"), 3, {"in the layout"});
  expect_refused({"import", "oci", path("in"), "-o", path("got")}, 3, {"no OCI layout"});
  expect_refused({"import", "oci", path("none"), "-o", path("got")}, 3, {"no such layout"});
  get("v1");
  write_file(temp_ / "got/mine", "mine");
  append(temp_ / "bundle", inputs({"c.onnx"}), {});
  fs::remove_all(temp_ / "layout");
  send("v2");
  expect_refused(into("got"), 3, {"mine"});
}

TEST_F(ImportOci, SaysWhatItDid) {
  ASSERT_EQ(run({"import", "oci", path("layout"), "-o", path("got"), "--json"}), 0) << err_;
  const Json json = Json::parse(out_);
  EXPECT_EQ(json["schema"], "wshare.import/1");
  EXPECT_EQ(json["updated"], false);
  for (const char* key : {"bundle", "digest", "bytes", "new_bytes"})
    EXPECT_TRUE(json.contains(key)) << key;
  append(temp_ / "bundle", inputs({"c.onnx"}), {});
  send("v2");
  ASSERT_EQ(run({"import", "oci", path("layout:v2"), "-o", path("got")}), 0) << err_;
  EXPECT_NE(out_.find("added  c\n"), std::string::npos) << out_;
}

}  // namespace
}  // namespace wshare

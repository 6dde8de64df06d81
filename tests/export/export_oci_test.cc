// export_oci() puts a bundle into an OCI layout: the same digests for the same bundle, nothing
// written or hashed twice, the tag moved last.

#include <sys/resource.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "format/oci.h"
#include "format/oci_layout.h"
#include "support/cli_test.h"
#include "util/folder.h"
#include "util/sha256.h"
#include "wshare/append.h"
#include "wshare/export.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

using Json = nlohmann::json;
using test::code_of;
using test::files_in;
using test::names_in;
using test::noise;
using test::raw;
using test::read_file;
using test::write_file;

class ExportOci : public test::CliTest {
 protected:
  void SetUp() override {
    add("a.onnx", {raw("trunk", noise(300000, 1)), raw("head", noise(3000, 2))});
    add("b.onnx", {raw("trunk", noise(300000, 1)), raw("head", noise(4000, 3))});
    make();
    add("c.onnx", {raw("trunk", noise(300000, 1)), raw("head", noise(5000, 4))});
  }

  ExportOciReport send(const std::string& tag, ExportOciOptions options = {},
                       const std::string& layout = "layout") {
    return export_oci(temp_ / "bundle", temp_ / layout, tag, options);
  }

  fs::path blob(const std::string& digest) const {
    return temp_ / ("layout/blobs/sha256/" + digest.substr(digest.find(':') + 1));
  }

  Json manifest_of(const ExportOciReport& report) const {
    return Json::parse(read_file(blob(report.digest)));
  }

  // Every blob is what its name says.
  void expect_whole_layout() const {
    for (const std::string& name : names_in(temp_ / "layout/blobs/sha256")) {
      const std::string bytes = read_file(temp_ / ("layout/blobs/sha256/" + name));
      EXPECT_EQ(sha256_of(std::as_bytes(std::span(bytes))), name);
    }
  }
};

TEST(Sha256, IsWhatTheStandardSays) {
  const auto of = [](std::string_view text) { return sha256_of(std::as_bytes(std::span(text))); };
  EXPECT_EQ(of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 hasher;
  for (const char c : std::string("abc")) hasher.update(std::as_bytes(std::span(&c, 1)));
  EXPECT_EQ(hasher.finish(), of("abc"));
  EXPECT_EQ(hasher.finish(), of(""));
}

TEST_F(ExportOci, MakesAnArtifactOfTheBundlesOwnFiles) {
  const auto before = files_in(temp_ / "bundle");
  const ExportOciReport report = send("v1");
  EXPECT_TRUE(files_in(temp_ / "bundle") == before);
  expect_whole_layout();
  EXPECT_EQ(read_file(temp_ / "layout/oci-layout"), R"({"imageLayoutVersion":"1.0.0"})");
  const Json index = Json::parse(read_file(temp_ / "layout/index.json"));
  ASSERT_EQ(index["manifests"].size(), 1u);
  EXPECT_EQ(index["manifests"][0]["digest"], report.digest);
  EXPECT_EQ(index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "v1");
  const Json manifest = manifest_of(report);
  EXPECT_EQ(manifest["artifactType"], "application/vnd.cncf.model.manifest.v1+json");
  EXPECT_EQ(manifest["config"]["mediaType"], "application/vnd.cncf.model.config.v1+json");
  ASSERT_EQ(manifest["layers"].size(), before.size());
  uint64_t bytes = 0;
  for (const Json& layer : manifest["layers"]) {
    const std::string name = layer["annotations"]["org.opencontainers.image.title"];
    EXPECT_EQ(layer["annotations"]["org.cncf.model.filepath"], name);
    EXPECT_EQ(layer["size"], before.at(name).size());
    EXPECT_TRUE(read_file(blob(layer["digest"])) == before.at(name)) << name;
    bytes += before.at(name).size();
    if (name == "manifest.json") continue;
    EXPECT_TRUE(fs::equivalent(blob(layer["digest"]), temp_ / ("bundle/" + name))) << name;
  }
  EXPECT_EQ(manifest["layers"].back()["annotations"]["org.cncf.model.filepath"], "manifest.json");
  EXPECT_EQ(report.linked_bytes, bytes - before.at("manifest.json").size());
  EXPECT_EQ(report.hashed_bytes, report.linked_bytes);
  EXPECT_EQ(report.new_bytes, report.bytes);
}

TEST_F(ExportOci, GivesEqualBundlesEqualDigests) {
  const ExportOciReport one = send("v1");
  ExportOciOptions copies;
  copies.links = OciLinks::kCopy;
  copies.threads = 1;
  const ExportOciReport other = send("other", copies, "elsewhere");
  EXPECT_EQ(one.digest, other.digest);
  EXPECT_EQ(other.linked_bytes, 0u);
  EXPECT_EQ(other.copied_bytes, other.bytes);
  for (const auto& [name, bytes] : files_in(temp_ / "layout/blobs/sha256")) {
    EXPECT_TRUE(read_file(temp_ / ("elsewhere/blobs/sha256/" + name)) == bytes);
    EXPECT_EQ(fs::hard_link_count(temp_ / ("elsewhere/blobs/sha256/" + name)), 1u);
  }
}

TEST_F(ExportOci, OfOneModelMoreHasItsBytesOnly) {
  send("v1");
  const ExportOciReport same = send("v1");
  EXPECT_EQ(same.new_bytes, 0u);
  EXPECT_EQ(same.hashed_bytes, 0u);
  EXPECT_EQ(same.copied_bytes, 0u);
  append(temp_ / "bundle", inputs({"c.onnx"}), {});
  const uint64_t before = test::bytes_below(temp_ / "layout");
  ExportOciOptions dry;
  dry.dry_run = true;
  const ExportOciReport tried = send("v2", dry);
  EXPECT_EQ(test::bytes_below(temp_ / "layout"), before);
  const ExportOciReport more = send("v2");
  EXPECT_EQ(tried.digest, more.digest);
  EXPECT_EQ(tried.new_bytes, more.new_bytes);
  // The head, the graph and the restore record of c, both manifests and the config.
  EXPECT_GT(more.new_bytes, 5000u);
  EXPECT_LT(more.new_bytes, 5000u + 60000u);
  EXPECT_LT(more.hashed_bytes, 5000u + 60000u);
  expect_whole_layout();
  // The old tag is as it was.
  EXPECT_EQ(oci::Layout(temp_ / "layout").find("v1").digest, same.digest.substr(7));
}

TEST_F(ExportOci, KeepsWhatTheLayoutSaysOfOtherTags) {
  send("v1");
  Json index = Json::parse(read_file(temp_ / "layout/index.json"));
  index["annotations"] = {{"by", "others"}};
  index["manifests"][0]["annotations"]["mine"] = "yes";
  index["manifests"].push_back({{"mediaType", "application/x"},
                                {"digest", "sha256:" + std::string(64, 'a')},
                                {"size", 7},
                                {"platform", {{"os", "linux"}}}});
  write_file(temp_ / "layout/index.json", index.dump());
  write_file(temp_ / "layout/notes", "mine");
  send("v2");
  const Json now = Json::parse(read_file(temp_ / "layout/index.json"));
  EXPECT_EQ(now["annotations"], index["annotations"]);
  ASSERT_EQ(now["manifests"].size(), 3u);
  EXPECT_EQ(now["manifests"][0], index["manifests"][0]);
  EXPECT_EQ(now["manifests"][1], index["manifests"][1]);
  EXPECT_EQ(read_file(temp_ / "layout/notes"), "mine");
}

TEST_F(ExportOci, CopiesWhereALinkWouldBeALink) {
  // As in a cache of the Hub.
  fs::create_directory(temp_ / "blobs");
  for (const std::string& name : names_in(temp_ / "bundle")) {
    fs::rename(temp_ / ("bundle/" + name), temp_ / ("blobs/" + name));
    fs::create_symlink("../blobs/" + name, temp_ / ("bundle/" + name));
  }
  const ExportOciReport report = send("v1");
  EXPECT_EQ(report.linked_bytes, 0u);
  expect_whole_layout();
}

TEST_F(ExportOci, MendsABlobOfTheWrongSize) {
  const ExportOciReport report = send("v1");
  const std::string name = manifest_of(report)["layers"][0]["digest"];
  fs::remove(blob(name));
  write_file(blob(name), "cut");
  EXPECT_EQ(send("v1").digest, report.digest);
  expect_whole_layout();
}

TEST_F(ExportOci, RefusesWhatIsNoPlaceForALayout) {
  write_file(temp_ / "file", "mine");
  write_file(temp_ / "mine/file", "mine");
  write_file(temp_ / "future/oci-layout", R"({"imageLayoutVersion":"2.0.0"})");
  write_file(temp_ / "broken/oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
  write_file(temp_ / "broken/index.json", R"({"schemaVersion":2,"manifests":[{}]})");
  fs::create_directories(temp_ / "broken/blobs/sha256");
  const std::string bundle = path("bundle");
  expect_refused({"export", "oci", bundle, path("file")}, 3, {"file'", "no OCI layout"});
  expect_refused({"export", "oci", bundle, path("mine:v1")}, 3, {"mine'", "no OCI layout"});
  expect_refused({"export", "oci", bundle, path("none/layout")}, 3, {"none/layout'"});
  expect_refused({"export", "oci", bundle, path("bundle/layout")}, 3, {"lies in it"});
  expect_refused({"export", "oci", bundle, path("future")}, 5, {"oci-layout'", "2.0.0"});
  expect_refused({"export", "oci", bundle, path("broken")}, 4, {"index.json'", "mediaType"});
  expect_refused({"export", "oci", path("in"), path("layout")}, 3, {"in'"});
  expect_refused({"export", "oci", bundle, path("layout:a b")}, 4, {"no LAYOUT:TAG"});
  expect_refused({"export", "other", bundle, path("layout")}, 2, {"KIND"});
  fs::resize_file(temp_ / "bundle/a.bin", 10);
  expect_refused({"export", "oci", bundle, path("layout")}, 4, {"a.bin'", "3000"});
}

TEST_F(ExportOci, LeavesTheLayoutAsItWasWhereTheDiskIsFull) {
  send("v1");
  append(temp_ / "bundle", inputs({"c.onnx"}), {});
  const auto before = files_in(temp_ / "layout");
  rlimit limit{};
  getrlimit(RLIMIT_FSIZE, &limit);
  const rlimit small{4500, limit.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  ExportOciOptions copies;
  copies.links = OciLinks::kCopy;
  const int in_old = code_of([&] { send("v2", copies); });
  const int in_new = code_of([&] { send("v2", copies, "new"); });
  setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(in_old, 3);
  EXPECT_EQ(in_new, 3);
  EXPECT_TRUE(files_in(temp_ / "layout") == before);
  EXPECT_FALSE(fs::exists(temp_ / "new"));
}

TEST_F(ExportOci, SaysHowToSendIt) {
  ASSERT_EQ(run({"export", "oci", path("bundle"), path("layout:v1")}), 0) << err_;
  EXPECT_NE(out_.find("sha256:"), std::string::npos);
  EXPECT_NE(out_.find("skopeo copy --preserve-digests oci:" + path("layout:v1") +
                      " docker://REGISTRY/NAME:v1"),
            std::string::npos)
      << out_;
  ASSERT_EQ(run({"export", "oci", path("bundle"), path("layout"), "--json"}), 0) << err_;
  const Json json = Json::parse(out_);
  EXPECT_EQ(json["schema"], "wshare.export/1");
  EXPECT_EQ(json["tag"], "latest");
  EXPECT_EQ(json["new_bytes"], 0);
  for (const char* key : {"layout", "digest", "layers", "bytes", "linked_bytes", "copied_bytes"})
    EXPECT_TRUE(json.contains(key)) << key;
}

}  // namespace
}  // namespace wshare

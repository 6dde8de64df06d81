// Images with a bundle's files: archives that every tar reads, layers that stay, at most 100.

#include "export/car.h"

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "format/oci_layout.h"
#include "format/tar.h"
#include "support/cli_test.h"
#include "util/as_text.h"
#include "util/sha256.h"
#include "wshare/append.h"
#include "wshare/export.h"
#include "wshare/import.h"
#include "wshare/remove.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

using Json = nlohmann::json;
using test::code_of;
using test::files_in;
using test::noise;
using test::raw;
using test::read_file;
using test::write_file;
using Bytes = std::span<const std::byte>;
using Names = std::vector<std::string>;

Bytes bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

std::string archive_of(const std::vector<CarFile>& files) {
  std::vector<std::string> texts;
  std::string archive;
  for (const Bytes piece : CarLayer{files, {}}.pieces(texts)) archive += as_text(piece);
  return archive;
}

TEST(Tar, IsReadBackAlsoWithLongNamesAndOthersThanAscii) {
  const std::string small = "abc", empty, exact(512, 'x');
  const std::string longer(240, 'n'), other = "h\xc3\xa9llo";
  const std::string archive = archive_of({{"a", bytes_of(small)},
                                          {longer, bytes_of(exact)},
                                          {other, bytes_of(small)},
                                          {"empty", bytes_of(empty)}});
  EXPECT_EQ(archive.size() % 512, 0u);
  const std::vector<tar::Entry> entries = tar::read(bytes_of(archive));
  ASSERT_EQ(entries.size(), 5u);
  EXPECT_EQ(entries[0].name, "models/");
  EXPECT_TRUE(entries[0].is_folder);
  EXPECT_EQ(entries[1].name, "models/a");
  EXPECT_EQ(as_text(entries[1].bytes), small);
  EXPECT_EQ(entries[2].name, "models/" + longer);
  EXPECT_EQ(as_text(entries[2].bytes), exact);
  EXPECT_EQ(entries[3].name, "models/" + other);
  EXPECT_EQ(as_text(entries[3].bytes), small);
  EXPECT_EQ(entries[4].bytes.size(), 0u);
}

TEST(Tar, IsWhatTarReads) {
  const test::TempFolder temp;
  const std::string longer(240, 'n'), other = "h\xc3\xa9llo";
  write_file(temp / "a.tar", archive_of({{longer, bytes_of(longer)}, {other, bytes_of(other)}}));
  fs::create_directory(temp / "out");
  const std::string command =
      "tar -xf '" + (temp / "a.tar").string() + "' -C '" + (temp / "out").string() + "'";
  ASSERT_EQ(std::system(command.c_str()), 0);
  EXPECT_EQ(read_file(temp / ("out/models/" + longer)), longer);
  EXPECT_EQ(read_file(temp / ("out/models/" + other)), other);
  EXPECT_EQ(fs::last_write_time(temp / ("out/models/" + longer)),
            std::chrono::file_clock::from_sys(std::chrono::sys_seconds{}));
}

TEST(Tar, WritesSizesOf8GibAndMoreAsGnuTarDoes) {
  const std::string header = tar::header("a", uint64_t{9} << 30, false);
  EXPECT_EQ(header.substr(124, 12), std::string("\x80\0\0\0\0\0\0\x02\x40\0\0\0", 12));
}

TEST(Tar, RefusesWhatIsCutOrDamaged) {
  const std::string text = noise(700, 1), longer(240, 'n');
  const std::string whole = archive_of({{longer, bytes_of(text)}});
  for (size_t size = 0; size < whole.size() - 512; ++size)
    EXPECT_EQ(code_of([&] { tar::read(bytes_of(whole).first(size)); }), 4) << size;
  // A bit of a header: the checksum tells.
  for (size_t at = 0; at < 512; ++at) {
    if (at == 155) continue;  // the space behind the checksum
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    EXPECT_EQ(code_of([&] { tar::read(bytes_of(damaged)); }), 4) << at;
  }
  for (const char kind : {'1', '2', '3', 'g', 'S'}) {
    std::string block = tar::header("a", 0, false);
    uint64_t sum = 0;
    block[156] = kind;
    std::fill_n(block.begin() + 148, 8, ' ');
    for (const char c : block) sum += static_cast<unsigned char>(c);
    for (size_t i = 6; i-- > 0; sum >>= 3) block[148 + i] = static_cast<char>('0' + (sum & 7));
    EXPECT_EQ(code_of([&] { tar::read(bytes_of(block + std::string(1024, '\0'))); }), 5) << kind;
  }
}

class ExportCar : public test::CliTest {
 protected:
  void SetUp() override {
    // A trunk that is large enough for a layer of its own.
    const std::string trunk = noise(size_t{17} << 20, 1);
    for (const char* name : {"a", "b", "c"}) {
      add(std::string(name) + ".onnx",
          {raw("trunk", trunk), raw("head", noise(3000, static_cast<uint32_t>(*name)))});
    }
    dedupe(inputs({"a.onnx", "b.onnx"}), temp_ / "bundle", {});
  }

  // With small models.
  void start_anew() const {
    fs::remove_all(temp_ / "bundle");
    fs::remove_all(temp_ / "in");
  }

  ExportOciReport send(const std::string& tag) {
    ExportOciOptions options;
    options.form = OciForm::kCar;
    return export_oci(temp_ / "bundle", temp_ / "layout", tag, options);
  }

  ImportOciReport get(const std::string& tag) {
    return import_oci(temp_ / "layout", tag, temp_ / "got", {});
  }

  Names layers_of(const std::string& tag) const {
    const oci::Layout layout(temp_ / "layout");
    Names digests;
    for (const oci::Blob& layer : layout.read_manifest(layout.find(tag)).layers)
      digests.push_back(layer.digest);
    return digests;
  }

  void expect_got_is_the_bundle() const {
    EXPECT_TRUE(files_in(temp_ / "got") == files_in(temp_ / "bundle"));
    EXPECT_TRUE(verify(temp_ / "got").empty());
  }
};

TEST_F(ExportCar, IsAnImageWithTheFilesInModels) {
  const ExportOciReport report = send("v1");
  EXPECT_EQ(report.layers, 2u);
  const oci::Layout layout(temp_ / "layout");
  const oci::ImageManifest manifest = layout.read_manifest(layout.find("v1"));
  EXPECT_EQ(manifest.artifact_type, "");
  const Json config = Json::parse(layout.read(manifest.config, 10000));
  EXPECT_EQ(config["os"], "linux");
  ASSERT_EQ(config["rootfs"]["diff_ids"].size(), 2u);
  for (size_t i = 0; i < 2; ++i)
    EXPECT_EQ(config["rootfs"]["diff_ids"][i], "sha256:" + manifest.layers[i].digest);
  get("v1");
  expect_got_is_the_bundle();
}

TEST_F(ExportCar, GoesOverTheLayersThatAreThere) {
  send("v1");
  const ExportOciReport same = send("v1");
  EXPECT_EQ(same.new_bytes, 0u);
  EXPECT_EQ(same.hashed_bytes, 0u);
  get("v1");
  append(temp_ / "bundle", inputs({"c.onnx"}), {});
  const ExportOciReport more = send("v2");
  EXPECT_LT(more.new_bytes, 60000u);
  EXPECT_LT(more.hashed_bytes, 60000u);
  EXPECT_EQ(more.layers, 3u);
  const ImportOciReport update = get("v2");
  EXPECT_EQ(update.added, Names{"c"});
  EXPECT_LT(update.new_bytes, 60000u);
  expect_got_is_the_bundle();
  // A file that is gone is hidden; the layers stay.
  remove_models(temp_ / "bundle", {"a"}, {});
  const ExportOciReport less = send("v3");
  EXPECT_EQ(less.layers, 4u);
  EXPECT_LT(less.new_bytes, 60000u);
  EXPECT_EQ(get("v3").removed, Names{"a"});
  expect_got_is_the_bundle();
  const Names before = layers_of("v2"), after = layers_of("v3");
  EXPECT_TRUE(std::equal(before.begin(), before.end(), after.begin()));
}

TEST_F(ExportCar, TakesWhatIsLargeAgainWhereAllElseIsNew) {
  send("v1");
  fs::remove_all(temp_ / "bundle");
  add("a.onnx", {raw("trunk", noise(size_t{17} << 20, 1)), raw("head", noise(9000, 9))});
  dedupe(inputs({"a.onnx", "b.onnx"}), temp_ / "bundle", {});
  const ExportOciReport report = send("v1");
  EXPECT_LT(report.new_bytes, 100000u);
  get("v1");
  expect_got_is_the_bundle();
}

TEST(PlanCar, HasAtMostAHundredLayers) {
  const test::TempFolder temp;
  const std::string large(size_t{16} << 20, 'x');
  std::vector<CarFile> files;
  for (int i = 0; i < 150; ++i) files.push_back({"f" + std::to_string(i), bytes_of(large)});
  const CarPlan plan = plan_car(files, nullptr, nullptr);
  EXPECT_EQ(plan.added.size(), kMostCarLayers);
  size_t count = 0;
  for (const CarLayer& layer : plan.added) count += layer.files.size();
  EXPECT_EQ(count, files.size());
}

TEST_F(ExportCar, StaysBelowThatAlsoWhereItGrowsManyTimes) {
  start_anew();
  Names files;
  for (uint32_t i = 0; i < 105; ++i) {
    files.push_back("m" + std::to_string(i) + ".onnx");
    add(files.back(), {raw("head", noise(1200, i))});
  }
  dedupe(inputs(files), temp_ / "bundle", {});
  ExportOciOptions options;
  options.form = OciForm::kCar;
  uint64_t most = 0;
  for (uint32_t i = 0; i < 105; ++i) {
    options.models.push_back("m" + std::to_string(i));
    most = std::max(most, export_oci(temp_ / "bundle", temp_ / "layout", "v1", options).layers);
  }
  EXPECT_EQ(most, kMostCarLayers);
  send("v1");
  get("v1");
  expect_got_is_the_bundle();
}

TEST_F(ExportCar, IsRefusedWhereALayerIsNoneOfABundles) {
  start_anew();
  add("a.onnx", {raw("head", noise(3000, 1))});
  dedupe(inputs({"a.onnx"}), temp_ / "bundle", {});
  send("v1");
  const auto forge = [&](const std::string& layer, const std::string& type) {
    const fs::path blobs = temp_ / "layout/blobs/sha256";
    Json index = Json::parse(read_file(temp_ / "layout/index.json"));
    const std::string digest = index["manifests"][0]["digest"];
    Json manifest = Json::parse(read_file(blobs / digest.substr(7)));
    const auto put = [&](const std::string& bytes) {
      const std::string name = sha256_of(bytes_of(bytes));
      write_file(blobs / name, bytes);
      return "sha256:" + name;
    };
    manifest["layers"].push_back(
        {{"mediaType", type}, {"digest", put(layer)}, {"size", layer.size()}});
    const std::string text = manifest.dump();
    index["manifests"] =
        Json::array({index["manifests"][0],
                     {{"mediaType", oci::kManifestType},
                      {"digest", put(text)},
                      {"size", text.size()},
                      {"annotations", {{"org.opencontainers.image.ref.name", "bad"}}}}});
    write_file(temp_ / "layout/index.json", index.dump());
  };
  const std::string empty(1024, '\0'), tar_type = oci::kTarType;
  struct Case {
    const char* name;
    int code;
    std::string layer, type;
    Names texts;
  };
  for (const Case& c : std::vector<Case>{
           {"a path above", 5, tar::header("../x", 0, false) + empty, tar_type, {"'../x'"}},
           {"one above in models",
            4,
            tar::header("models/../x", 0, false) + empty,
            tar_type,
            {"'../x'"}},
           {"another folder", 5, tar::header("etc/", 0, true) + empty, tar_type, {"'etc/'"}},
           {"a folder in models",
            5,
            tar::header("models/x/", 0, true) + empty,
            tar_type,
            {"'models/x/'"}},
           {"a file too many", 4, tar::header("models/x", 0, false) + empty, tar_type, {"'x'"}},
           {"a file hidden",
            4,
            tar::header("models/.wh.a.onnx", 0, false) + empty,
            tar_type,
            {"no 'a.onnx'"}},
           {"no archive", 4, "text", tar_type, {"tar archive"}},
           {"compressed", 5, "text", tar_type + "+gzip", {"+gzip", "--preserve-digests"}}}) {
    SCOPED_TRACE(c.name);
    forge(c.layer, c.type);
    expect_refused({"import", "oci", path("layout:bad"), "-o", path("got")}, c.code, c.texts);
  }
}

}  // namespace
}  // namespace wshare

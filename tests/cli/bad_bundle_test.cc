// Damaged and hostile bundles: what verify, restore and dedupe --force say of them.

#include <functional>
#include <nlohmann/json.hpp>

#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "format/restore_record.h"
#include "support/cli_test.h"
#include "util/content_hash.h"

namespace wshare::test {
namespace {

using Json = nlohmann::ordered_json;

class BadBundle : public CliTest {
 protected:
  BadBundle() {
    add("a.onnx", {raw("trunk", noise(70000, 1)), raw("head", noise(5000, 2))});
    add("b.onnx", model_of({raw("trunk", noise(70000, 1)),
                            external("w", 3000, {{"location", "b.data"}, {"offset", "9"}})}));
    add("b.data", noise(3100, 4));
    EXPECT_EQ(run({"dedupe", path("in"), "-o", path("bundle")}), 0) << err_;
    manifest_ = read_file(temp_ / "bundle/manifest.json");
  }

  // Writes `text` as the manifest, with a manifest_hash that fits.
  void write_sealed(std::string text) {
    const size_t at = text.size() - 36;  // 32 digits, then a quote and the last brace on its line
    text.replace(at, 32, 32, '0');
    text.replace(at, 32, to_hex(hash_of(text)));
    write_file(temp_ / "bundle/manifest.json", text);
  }
  void write_sealed(Json json) {
    json["manifest_hash"] = std::string(32, '0');
    std::string text = json.dump();
    text.pop_back();
    write_sealed(text.substr(0, text.size() - 1) + "\"\n}\n");
  }

  // Changes the restore record of "b", and hashes and sizes with it.
  void change_record(const std::function<void(RestoreRecord&)>& change) {
    write_file(temp_ / "bundle/manifest.json", manifest_);
    Manifest manifest = load_manifest(temp_ / "bundle");
    ModelRecord& model = manifest.models.at(1);
    Extent& extent = model.source->record;
    BlobRecord& blob = manifest.blobs.at(extent.blob);
    std::string bytes = read_file(temp_ / "bundle" / blob.file).substr(0, blob.size);
    const std::string onnx = read_file(temp_ / "bundle" / model.file);
    RestoreRecord record = unpack_record(std::string_view(bytes).substr(extent.offset, extent.size),
                                         onnx, model.source->size);
    change(record);
    const std::string packed = pack_record(record, onnx);
    extent = {extent.blob, bytes.size(), packed.size()};
    model.source->record_hash = hash_of(packed);
    bytes += packed;
    blob.size = bytes.size();
    write_file(temp_ / "bundle" / blob.file, bytes);
    write_file(temp_ / "bundle/manifest.json", to_json(manifest));
  }

  void expect_restore_refused(int code, const std::vector<std::string>& texts) {
    expect_refused({"restore", path("bundle"), "-o", path("back")}, code, texts);
  }

  // Expects verify to answer "no" with a finding of `kind` about `file`.
  void expect_found(const std::string& kind, const std::string& file) {
    EXPECT_EQ(run({"verify", path("bundle"), "--json"}), 1) << err_;
    EXPECT_EQ(err_, "");
    const Json report = Json::parse(out_);
    EXPECT_TRUE(std::any_of(report.at("findings").begin(), report.at("findings").end(),
                            [&](const Json& finding) {
                              return finding.at("kind") == kind && finding.at("file") == file;
                            }))
        << "no " << kind << " of " << file << " in " << out_;
  }

  std::string manifest_;
};

TEST_F(BadBundle, IsNoBundle) {
  expect_refused({"verify", path("in")}, 3, {"in'", "is no bundle", "hint: "});
  expect_refused({"restore", path("in"), "-o", path("back")}, 3, {"in'", "is no bundle"});
  expect_refused({"verify", path("none")}, 3, {"none'", "is no bundle"});
  expect_refused({"restore", path("none"), "-o", path("none")}, 3, {"none'", "is no bundle"});
  expect_refused({"restore", path("bundle"), "z", "-o", path("back")}, 4, {"'z'", "'a', 'b'"});
}

TEST_F(BadBundle, IsOfANewerVersion) {
  const std::string from = "\"version\": 1";
  std::string text = manifest_;
  write_sealed(text.replace(text.find(from), from.size(), "\"version\": 12"));
  const std::vector<std::string> both = {"format 12", "up to 6", "hint: use a newer wshare"};
  expect_restore_refused(5, both);
  expect_refused({"verify", path("bundle")}, 5, both);
  expect_refused({"dedupe", path("in"), "-o", path("bundle"), "--force"}, 5, both);
}

TEST_F(BadBundle, HasAManifestThatIsCutOff) {
  for (size_t size = 0; size < manifest_.size(); size += size < 100 ? 1 : 13) {
    SCOPED_TRACE(size);
    write_file(temp_ / "bundle/manifest.json", manifest_.substr(0, size));
    expect_restore_refused(4, {"manifest.json'"});
    expect_found("manifest", "manifest.json");
  }
}

// Every value of the manifest in turn becomes one of another type, and the hash is made to fit.
TEST_F(BadBundle, HasAManifestOfWrongTypes) {
  const Json whole = Json::parse(manifest_);
  const Json flat = whole.flatten();
  std::vector<std::string> places;
  for (const auto& [place, value] : flat.items()) {
    for (std::string at = place; !at.empty(); at.resize(at.rfind('/'))) places.push_back(at);
  }
  std::sort(places.begin(), places.end());
  places.erase(std::unique(places.begin(), places.end()), places.end());
  ASSERT_GT(places.size(), 60u);
  for (const std::string& place : places) {
    // write_sealed() puts the hash right; versions have a test of their own; models[].blobs is for
    // people, tensors name theirs.
    if (place == "/manifest_hash" || place == "/version") continue;
    if (place.starts_with("/models/") && place.find("/blobs") != std::string::npos) continue;
    for (const Json& wrong : {Json(nullptr), Json(true), Json("../x"), Json(-1), Json(1.5),
                              Json(~uint64_t{0}), Json::array(), Json::object()}) {
      SCOPED_TRACE(place + " = " + wrong.dump());
      Json json = whole;
      json[Json::json_pointer(place)] = wrong;
      write_sealed(json);
      const int code = run({"restore", path("bundle"), "-o", path("back")});
      const Json& right = whole.at(Json::json_pointer(place));
      if (right.type() == wrong.type()) {  // another text, or a list of nothing
        EXPECT_TRUE(code == 0 || code == 4) << code << err_;
        fs::remove_all(temp_ / "back");
        continue;
      }
      EXPECT_EQ(code, 4) << err_;
      EXPECT_TRUE(err_.starts_with("wshare: ")) << err_;
      EXPECT_EQ(out_, "");
      EXPECT_FALSE(fs::exists(temp_ / "back"));
      EXPECT_EQ(run({"verify", path("bundle")}), 1) << out_ << err_;
    }
  }
}

TEST_F(BadBundle, HasHostileFileNames) {
  struct Case {
    const char* name;
    const char* place;
  };
  for (const Case& c : {Case{"a blob", "/blobs/0/file"}, Case{"a model", "/models/0/file"},
                        Case{"an original", "/models/0/source/file"},
                        Case{"a folder of originals", "/models/0/source/folder"}}) {
    for (const char* file :
         {"../evil", "..", ".", "/etc/evil", "x/../../evil", "a\\b", ".hidden"}) {
      SCOPED_TRACE(c.name + std::string(" ") + file);
      // What the user's own files may be called comes back as it was.
      const bool is_of_original = std::string_view(c.place).find("source") != std::string::npos;
      const bool is_a_path = std::string_view(file).find('/') != std::string::npos;
      if (is_of_original && !is_a_path && file != std::string_view("..") &&
          file != std::string_view(".")) {
        continue;
      }
      Json json = Json::parse(manifest_);
      json[Json::json_pointer(c.place)] = file;
      write_sealed(json);
      expect_restore_refused(4, {"unsafe", "manifest.json'"});
      expect_found("manifest", "manifest.json");
    }
  }
}

TEST_F(BadBundle, GivesTwoOriginalsOnePlace) {
  Json json = Json::parse(manifest_);
  json["models"][1]["source"]["file"] = "a.onnx";
  write_sealed(json);
  expect_restore_refused(4, {"a.onnx'", "two originals"});
}

// A restore record is compressed and has a hash, so each change is written anew.
TEST_F(BadBundle, HasAHostileRestoreRecord) {
  using Kind = ExternalPiece::Kind;
  constexpr uint64_t kMax = ~uint64_t{0};
  struct Case {
    const char* name;
    std::function<void(RestoreRecord&)> change;
    std::vector<std::string> texts;
  };
  const auto location = [](const char* text) {
    return [=](RestoreRecord& record) { record.external.at(0).location = text; };
  };
  const auto piece = [](Kind kind, uint64_t offset, uint64_t value) {
    return [=](RestoreRecord& record) {
      record.external.at(0).pieces.push_back({kind, offset, value});
    };
  };
  for (const Case& c :
       {Case{"above", location("../evil"), {"leaves its folder"}},
        Case{"absolute", location("/tmp/evil"), {"leaves its folder"}},
        Case{"above at last", location("x/../../evil"), {"leaves its folder"}},
        Case{"nowhere", location(""), {"leaves its folder"}},
        Case{"the model itself", location("b.onnx"), {"b.onnx'", "two originals"}},
        Case{"zeros past the end", piece(Kind::kZeros, 3100, 1), {"1 bytes at 3100", "of 3100"}},
        Case{"zeros that wrap", piece(Kind::kZeros, 2, kMax), {"at 2", "of 3100"}},
        Case{"tensor past the end", piece(Kind::kTensor, 101, 1), {"3000 bytes at 101"}},
        Case{"no such tensor", piece(Kind::kTensor, 0, 2), {"names tensor 2, there are 2"}},
        Case{"no such gap", piece(Kind::kGap, 0, kMax), {"names gap 18446744073709551615"}},
        Case{"huge file", [](RestoreRecord& r) { r.external.at(0).size = kMax; }, {"over 2^63"}},
        Case{"huge run",
             [](RestoreRecord& r) { r.runs.at(0).literal_size = kMax; },
             {"'b': its restore record ends early"}},
        Case{"run of no tensor",
             [](RestoreRecord& r) { r.runs.at(0).tensor = 9; },
             {"names tensor 9, there are 2"}},
        Case{"one run less",
             [](RestoreRecord& r) { r.runs.clear(); },
             {"'b': gives ", "the original had "}},
        Case{"other text",
             [](RestoreRecord& r) { r.literal += "x"; },
             {"'b': its restore record does not fit"}}}) {
    SCOPED_TRACE(c.name);
    change_record(c.change);
    expect_restore_refused(4, c.texts);
  }
}

TEST_F(BadBundle, HasFilesThatAreDamagedOrGone) {
  for (const auto& [name, bytes] : files_in(temp_ / "bundle")) {
    if (name == "manifest.json") continue;
    SCOPED_TRACE(name);
    const fs::path file = temp_ / "bundle" / name;
    std::string changed = bytes;
    changed[bytes.size() / 3] = static_cast<char>(changed[bytes.size() / 3] ^ 1);
    write_file(file, changed);
    expect_restore_refused(4, {name + "'", "damaged"});
    expect_found("hash", name);
    for (const size_t size : {size_t{0}, bytes.size() / 2, bytes.size() - 1}) {
      write_file(file, bytes.substr(0, size));
      expect_restore_refused(4, {name + "'", std::to_string(size), std::to_string(bytes.size())});
      expect_found("size", name);
    }
    fs::remove(file);
    expect_restore_refused(3, {name + "'", "is missing"});
    expect_found("missing", name);
    write_file(file, bytes);
  }
  EXPECT_EQ(run({"restore", path("bundle"), "-o", path("back")}), 0) << err_;
  EXPECT_EQ(files_in(temp_ / "back"), files_in(temp_ / "in"));
}

}  // namespace
}  // namespace wshare::test

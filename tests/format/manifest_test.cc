#include <gtest/gtest.h>
#include <malloc.h>
#include <stdlib.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "format/manifest/text.h"
#include "support/bytes.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

using test::hash_of;

Manifest small_manifest() {
  Manifest manifest;
  manifest.blobs = {{"weights.bin", 8192}, {"records.bin", 50}};
  ModelRecord model;
  model.name = "a";
  model.file = "a.onnx";
  model.size = 77;
  model.hash = hash_of("a.onnx");
  model.source =
      SourceRecord{"first", "orig.onnx", 99, hash_of("graph"), {1, 0, 20}, hash_of("record"), {}};
  model.tensors = {{"", "w", {2, 3}, {0, 64, 24}, hash_of("w"), 1, false},
                   {"If#3.then_branch", "s'\n", {3}, {0, 128, 2}, hash_of("s"), 22, true},
                   {"", "", {0}, {0, 8192, 0}, hash_of(""), 1, false}};
  manifest.models.push_back(model);
  manifest.gaps = {{{1, 20, 30}, hash_of("gap")}};
  return manifest;
}

// Makes the text's own hash fit again, as someone hostile would.
std::string rehashed(std::string text) {
  const size_t at = text.size() - 36;
  text.replace(at, 32, 32, '0');
  return text.replace(at, 32, to_hex(hash_of(text)));
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  EXPECT_EQ(text.find(from, at + 1), std::string::npos) << from << " is there twice";
  return text.replace(at, from.size(), to);
}

void expect_refused(const std::string& text, ErrorCode code) {
  try {
    parse_manifest(text);
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
  }
}

TEST(ToJson, RoundTrips) {
  const Manifest manifest = small_manifest();
  const std::string text = to_json(manifest);
  const Manifest read = parse_manifest(text);
  EXPECT_EQ(to_json(read), text);
  ASSERT_EQ(read.blobs.size(), 2U);
  EXPECT_EQ(read.blobs[0].file, "weights.bin");
  EXPECT_EQ(read.blobs[0].size, 8192U);
  ASSERT_EQ(read.models.size(), 1U);
  const ModelRecord& model = read.models[0];
  EXPECT_EQ(model.name, "a");
  EXPECT_EQ(model.size, 77U);
  EXPECT_EQ(model.hash, manifest.models[0].hash);
  EXPECT_EQ(model.source->folder, "first");
  EXPECT_EQ(model.source->record, (Extent{1, 0, 20}));
  EXPECT_EQ(model.source->record_hash, hash_of("record"));
  ASSERT_EQ(model.tensors.size(), 3U);
  EXPECT_EQ(model.tensors[1].scope, "If#3.then_branch");
  EXPECT_EQ(model.tensors[1].name, "s'\n");
  EXPECT_EQ(model.tensors[1].shape, (Shape{3}));
  EXPECT_TRUE(model.tensors[1].folded);
  EXPECT_FALSE(model.tensors[0].folded);
  ASSERT_EQ(read.gaps.size(), 1U);
  EXPECT_EQ(read.gaps[0].extent, (Extent{1, 20, 30}));
}

TEST(ToJson, NamesBlobsThatAreNeededAsAWhole) {
  Manifest manifest = small_manifest();
  manifest.models[0].source->blobs = {0};
  EXPECT_NE(to_json(manifest).find("\"version\": 4,"), std::string::npos);
  EXPECT_EQ(parse_manifest(to_json(manifest)).models[0].source->blobs, std::vector<uint32_t>{0});
  manifest.models[0].source->blobs = {2};
  expect_refused(to_json(manifest), ErrorCode::kInvalid);

  manifest = small_manifest();
  manifest.blobs.push_back({"side.bin", 4, hash_of("side")});
  manifest.models[0].files = {2};
  EXPECT_NE(to_json(manifest).find("\"version\": 4,"), std::string::npos);
  EXPECT_EQ(parse_manifest(to_json(manifest)).models[0].files, std::vector<uint32_t>{2});
  manifest.models[0].files = {1};  // has no hash
  expect_refused(to_json(manifest), ErrorCode::kInvalid);
}

TEST(ToJson, RoundTripsAnEmptyManifest) {
  const std::string text = to_json(Manifest{});
  EXPECT_EQ(to_json(parse_manifest(text)), text);
}

// They are shown as text, and their bytes follow in hex; older readers see the first.
TEST(ToJson, KeepsNamesThatAreNoUtf8) {
  Manifest manifest = small_manifest();
  manifest.models[0].tensors[0].name = "a\xff\xfe";
  manifest.models[0].tensors[1].scope = "f\xe9";
  manifest.models[0].source->file = "m\xe9.onnx";
  manifest.models[0].source->folder = "\xe9";
  const std::string text = to_json(manifest);
  EXPECT_TRUE(nlohmann::json::accept(text));
  const nlohmann::json tensor = nlohmann::json::parse(text)["models"][0]["tensors"][0];
  EXPECT_EQ(tensor["name"], "a\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(tensor["name_bytes"], "61fffe");
  const Manifest read = parse_manifest(text);
  EXPECT_EQ(read.models[0].tensors[0].name, "a\xff\xfe");
  EXPECT_EQ(read.models[0].tensors[1].scope, "f\xe9");
  EXPECT_EQ(read.models[0].source->file, "m\xe9.onnx");
  EXPECT_EQ(read.models[0].source->folder, "\xe9");
  EXPECT_NE(text.find("\"version\": 4,"), std::string::npos);  // older readers know no such source
  EXPECT_EQ(to_json(read), text);
  for (const char* bytes : {"61fffE", "61fff", "", "62fffe", "612f", "zz"}) {
    SCOPED_TRACE(bytes);
    expect_refused(rehashed(replaced(text, "\"61fffe\"", '"' + std::string(bytes) + '"')),
                   ErrorCode::kInvalid);
  }
}

TEST(ToJson, WritesTextsAsJsonDoes) {
  std::string all;
  for (int c = 0; c < 0x80; ++c) all += static_cast<char>(c);
  all += "é日😀";
  Manifest manifest = small_manifest();
  manifest.models[0].tensors[0].name = all;
  const std::string text = to_json(manifest);
  EXPECT_NE(text.find("\"name\":" + nlohmann::json(all).dump() + ","), std::string::npos);
  EXPECT_EQ(parse_manifest(text).models[0].tensors[0].name, all);
}

TEST(ToCheckedJson, RefusesWhatCannotBeRead) {
  EXPECT_EQ(to_checked_json(small_manifest(), 1), to_json(small_manifest()));
  Manifest manifest = small_manifest();
  manifest.models[0].source->file = "a/b";
  EXPECT_THROW(to_checked_json(manifest, 1), Error);
}

TEST(ParseManifest, RefusesEverySingleBitFlip) {
  const std::string text = to_json(small_manifest());
  for (size_t bit = 0; bit < text.size() * 8; ++bit) {
    std::string flipped = text;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_THROW(parse_manifest(flipped), Error) << "bit " << bit;
  }
}

TEST(ParseManifest, RefusesEveryTruncation) {
  const std::string text = to_json(small_manifest());
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_THROW(parse_manifest(text.substr(0, size)), Error) << size;
  }
}

TEST(ParseManifest, RefusesTextThatIsNoManifest) {
  const std::string text = to_json(small_manifest());
  for (const std::string& other :
       {std::string("{}"), std::string("[]"), std::string("null"), std::string("3"),
        std::string("\"a\""), text + " ", text + text, std::string(100000, '['),
        replaced(text, "wshare-bundle", "other")}) {
    SCOPED_TRACE(other.substr(0, 40));
    expect_refused(other, ErrorCode::kInvalid);
  }
}

TEST(ParseManifest, NamesBothVersionsOfANewerFormat) {
  const std::string text = to_json(small_manifest());
  try {
    parse_manifest(replaced(text, "\"version\": 1,", "\"version\": 27,"));
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    const std::string what = error.what();
    EXPECT_NE(what.find("27"), std::string::npos) << what;
    EXPECT_NE(what.find("up to " + std::to_string(kFormatVersion)), std::string::npos) << what;
    EXPECT_NE(error.hint(), "");
  }
}

TEST(ParseManifest, RefusesVersionsThatNeverWere) {
  const std::string text = to_json(small_manifest());
  for (const char* version : {"0", "-1", "1.5", "null", "\"1\"", "true", "18446744073709551615"}) {
    SCOPED_TRACE(version);
    EXPECT_THROW(parse_manifest(rehashed(replaced(text, "\"version\": 1,",
                                                  std::string("\"version\": ") + version + ","))),
                 Error);
  }
}

TEST(ParseManifest, IgnoresUnknownKeys) {
  const std::string text =
      replaced(to_json(small_manifest()), "\"version\": 1,", "\"version\": 1,\"later\": [1],");
  EXPECT_NO_THROW(parse_manifest(rehashed(text)));
}

// "format" says what the rest is, so it comes first; all else in any order.
TEST(ParseManifest, TakesKeysInAnyOrder) {
  const std::string text = to_json(small_manifest());
  nlohmann::ordered_json json = nlohmann::ordered_json::parse(text), other;
  other["format"] = json["format"];
  for (const char* key : {"models", "gaps", "blobs", "version"}) other[key] = json[key];
  other["manifest_hash"] = std::string(32, '0');
  EXPECT_EQ(to_json(parse_manifest(rehashed(other.dump(1) + "\n"))), text);
}

TEST(ParseManifest, RefusesKeysThatStandTwice) {
  const std::string text = to_json(small_manifest());
  for (const char* twice : {"\"gaps\": [],", "\"later\": 1, \"later\": 2,"}) {
    SCOPED_TRACE(twice);
    expect_refused(
        rehashed(replaced(text, "\"version\": 1,", "\"version\": 1," + std::string(twice))),
        ErrorCode::kInvalid);
  }
}

TEST(ParseManifest, EndsWithAnErrorWhereValuesNestDeeply) {
  const std::string deep(1000000, '[');
  const std::string text = to_json(small_manifest());
  expect_refused(replaced(text, "\"size\": 77", "\"size\": " + deep), ErrorCode::kInvalid);
  expect_refused(replaced(text, "\"version\": 1", "\"version\": 1,\"later\": " + deep),
                 ErrorCode::kInvalid);
}

uint64_t heap_bytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

// The figure is that of glibc's heap; sanitizers have their own, which says 0.
TEST(ParseManifest, TakesAtMost200BytesARecord) {
  constexpr size_t kTensors = 20000;
  Manifest manifest = small_manifest();
  ModelRecord& model = manifest.models[0];
  for (size_t t = 0; t < kTensors; ++t) {
    TensorRecord tensor = model.tensors[0];
    tensor.name = "model.layers." + std::to_string(t) + ".self_attn.q_proj.weight";
    model.tensors.push_back(tensor);
  }
  const std::string one = to_json(manifest);
  ModelRecord second = model;
  second.name = "b";
  second.file = "b.onnx";
  manifest.models.push_back(second);
  const std::string two = to_json(manifest);
  const auto kept = [](const std::string& text) {
    const uint64_t before = heap_bytes();
    const Manifest read = parse_manifest(text);
    return heap_bytes() - before;
  };
  const uint64_t first = kept(one);
  EXPECT_LE(first / kTensors, 200U);
  EXPECT_LE((kept(two) - first) / kTensors, 80U) << "names of both are held once";
}

struct Change {
  const char* name;
  const char* from;
  const char* to;
};

// Every change is refused even when the manifest's own hash fits again.
void expect_each_refused(std::span<const Change> changes) {
  const std::string text = to_json(small_manifest());
  for (const Change& change : changes) {
    SCOPED_TRACE(change.name);
    const std::string changed = replaced(text, change.from, change.to);
    expect_refused(changed, ErrorCode::kInvalid);
    expect_refused(rehashed(changed), ErrorCode::kInvalid);
  }
}

TEST(ParseManifest, RefusesWrongTypes) {
  constexpr Change kChanges[] = {
      {"format", "\"wshare-bundle\"", "1"},
      {"blobs", "\"blobs\": [\n", "\"blobs\": {}, \"x\": [\n"},
      {"blob", "{\"file\":\"weights.bin\",\"size\":8192}", "7"},
      {"blob file", "\"weights.bin\"", "7"},
      {"blob size text", ":8192}", ":\"8192\"}"},
      {"model size", "\"size\": 77", "\"size\": {}"},
      {"model file", "\"a.onnx\"", "null"},
      {"source", "\"source\": {", "\"source\": 1, \"x\": {"},
      {"source folder", "\"first\"", "1"},
      {"shape", "[2,3]", "6"},
      {"shape entry", "[2,3]", "[2,\"3\"]"},
      {"extent", "[0,64,24]", "{\"blob\":0}"},
      {"extent of two", "[0,64,24]", "[0,64]"},
      {"extent of four", "[0,64,24]", "[0,64,24,0]"},
      {"folded", "\"folded\":true", "\"folded\":1"},
      {"dtype", "\"int4\"", "22"},
      {"scope", "\"If#3.then_branch\"", "[]"},
      {"gap", "\"gaps\": [\n", "\"gaps\": [3,\n"},
  };
  expect_each_refused(kChanges);
}

TEST(ParseManifest, RefusesNumbersThatAreNoSizes) {
  constexpr Change kChanges[] = {
      {"negative blob size", ":8192}", ":-1}"},
      {"fractional blob size", ":8192}", ":8192.5}"},
      {"blob size of 1e30", ":8192}", ":1e30}"},
      {"negative model size", "\"size\": 77", "\"size\": -77"},
      {"blob index wraps to 0", "[0,64,24]", "[4294967296,64,24]"},
      {"blob index is true", "[1,0,20]", "[true,0,20]"},
  };
  expect_each_refused(kChanges);
}

TEST(ParseManifest, RefusesRecordsThatContradictEachOther) {
  constexpr Change kChanges[] = {
      {"extent ends past the blob", "[0,64,24]", "[0,8169,24]"},
      {"extent starts past the blob", "[0,64,24]", "[0,8193,24]"},
      {"extent wraps around", "[0,64,24]", "[0,18446744073709551592,24]"},
      {"no such blob", "[0,64,24]", "[2,0,24]"},
      {"size against shape", "[0,64,24]", "[0,64,23]"},
      {"negative dimension", "[2,3]", "[-2,-3]"},
      {"shape overflows", "[2,3]", "[4611686018427387904,4]"},
      {"unknown dtype", "\"int4\"", "\"int5\""},
      {"blob leaves the bundle", "weights.bin", "../weights.bin"},
      {"blob is absolute", "weights.bin", "/weights.bin"},
      {"blob is hidden", "weights.bin", ".weights"},
      {"blob is empty", "\"weights.bin\"", "\"\""},
      {"blob holds a zero", "weights.bin", "a\\u0000b"},
      {"model leaves the bundle", "a.onnx", "sub/a.onnx"},
      {"blob twice", "weights.bin", "records.bin"},
      {"model has a blob's file", "a.onnx", "weights.bin"},
      {"model has the manifest's file", "a.onnx", "manifest.json"},
      {"source leaves its folder", "orig.onnx", "../orig.onnx"},
      {"source folder climbs", "first", ".."},
      {"gap leaves its blob", "[1,20,30]", "[1,20,31]"},
      {"record leaves its blob", "[1,0,20]", "[1,0,51]"},
  };
  expect_each_refused(kChanges);
  std::string short_hash = to_json(small_manifest());
  short_hash.replace(short_hash.find("\"hash\": \""), 9, "\"hash\": \"0");
  expect_refused(rehashed(short_hash), ErrorCode::kInvalid);
}

TEST(LoadManifest, NamesTheFileAndHintsWhenThereIsNone) {
  std::string name = testing::TempDir() + "wshare-manifest-XXXXXX";
  ASSERT_NE(mkdtemp(name.data()), nullptr);
  try {
    load_manifest(name);
    ADD_FAILURE() << "loaded";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    EXPECT_NE(error.hint(), "");
  }
  const std::string text = to_json(small_manifest());
  std::ofstream(fs::path(name) / kManifestName, std::ios::binary) << text;
  EXPECT_EQ(to_json(load_manifest(name)), text);
  std::ofstream(fs::path(name) / kManifestName, std::ios::binary) << "{";
  try {
    load_manifest(name);
    ADD_FAILURE() << "loaded";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalid);
    EXPECT_NE(std::string(error.what()).find(kManifestName), std::string::npos);
  }
  fs::remove_all(name);
}

TEST(Slice, RefusesEveryByteOutside) {
  const std::vector<std::byte> blob(8);
  constexpr uint64_t kMax = ~uint64_t{0};
  struct Case {
    const char* name;
    Extent extent;
  };
  for (const Case& c :
       {Case{"one past the end", {0, 8, 1}}, Case{"size wraps around", {0, 4, kMax}},
        Case{"offset wraps around", {0, kMax, 4}}, Case{"starts past the end", {0, 9, 0}}}) {
    SCOPED_TRACE(c.name);
    EXPECT_THROW(slice(blob, c.extent), Error);
  }
  EXPECT_EQ(slice(blob, {0, 8, 0}).size(), 0U);
  EXPECT_EQ(slice(blob, {0, 2, 6}).data(), blob.data() + 2);
}

TEST(FindModel, ListsTheNamesWhenThereIsNoSuchModel) {
  const Manifest manifest = small_manifest();
  EXPECT_EQ(&find_model(manifest, "a"), &manifest.models[0]);
  try {
    find_model(manifest, "b");
    ADD_FAILURE() << "found";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalid);
    EXPECT_NE((error.what() + error.hint()).find("'a'"), std::string::npos);
  }
}

}  // namespace
}  // namespace wshare

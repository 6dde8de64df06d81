#include "wshare/verify.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "support/bundle_test.h"
#include "support/own_process.h"
#include "support/places.h"
#include "wshare/remove.h"

namespace wshare {
namespace {

using test::code_of;
using test::files_in;
using test::noise;
using test::raw;
using test::write_file;

class Verify : public test::BundleTest {
 protected:
  // Two models that share a tensor, have own ones, a Constant, and an external file with a gap.
  void make_small() {
    std::string data = noise(70, 9) + std::string(40, '\0') + noise(200, 8) + std::string(30, '\0');
    write_file(temp_ / "in/b.data", data);
    onnx::ModelProto a = test::model_of(
        {raw("trunk", noise(1100, 1)), raw("head", noise(100, 2)), raw("tiny", "abc")});
    test::add_constant(*a.mutable_graph(), raw("constant", noise(65, 3)));
    add("a.onnx", a);
    add("b.onnx", {raw("trunk", noise(1100, 1)), raw("head", noise(90, 4)),
                   test::external("outside", 200,
                                  {{"location", "b.data"}, {"offset", "110"}, {"length", "200"}})});
    make(64);
  }

  std::vector<Damage> findings() { return verify(temp_ / "bundle", {1}); }

  bool is_noticed() {
    try {
      return !findings().empty();
    } catch (const Error&) {
      return true;
    }
  }
};

TEST_F(Verify, FindsNothingInAFreshBundle) {
  make_small();
  for (const unsigned threads : {0u, 1u, 4u})
    EXPECT_TRUE(verify(temp_ / "bundle", {threads}).empty());
  EXPECT_GE(files_in(temp_ / "bundle").size(), 6u);
}

TEST_F(Verify, NoticesASingleBitChangeOfEveryByteOfEveryFile) {
  make_small();
  size_t total = 0;
  for (const auto& [name, bytes] : files_in(temp_ / "bundle")) {
    total += bytes.size();
    std::fstream file(temp_ / ("bundle/" + name), std::ios::in | std::ios::out | std::ios::binary);
    const auto put = [&](size_t at, int byte) {
      file.seekp(static_cast<std::streamoff>(at)).put(static_cast<char>(byte)).flush();
    };
    for (size_t at = 0; at < bytes.size(); ++at) {
      for (unsigned bit = 0; bit < 8; ++bit) {
        if (name != "manifest.json" && bit != at % 8) continue;
        put(at, bytes[at] ^ (1 << bit));
        ASSERT_TRUE(is_noticed()) << name << " byte " << at << " of " << bytes.size() << " bit "
                                  << bit;
      }
      put(at, bytes[at]);
    }
  }
  EXPECT_GT(total, 3000u);
  EXPECT_TRUE(findings().empty());
}

// Bundles as earlier versions wrote them: manifest versions 3 and 5.
TEST_F(Verify, NoticesASingleBitChangeOfPacks) {
  for (const auto& [made, file] : {std::pair("packed", "packed.bin"),
                                   {"packed", "linear.packed.onnx"},
                                   {"two_packs", "packed.bin"},
                                   {"archived", "moved.archive"},
                                   {"archived", "q4.archive"},
                                   {"two_packs", "linear.packed_2.onnx"}}) {
    SCOPED_TRACE(std::string(made) + "/" + file);
    test::fs::remove_all(temp_ / "bundle");
    test::fs::copy(std::string(test::kTestdata) + "/compat/" + made, temp_ / "bundle");
    EXPECT_TRUE(findings().empty());
    const test::fs::path path = temp_ / "bundle" / file;
    const std::string bytes = test::read_file(path);
    for (size_t at = 0; at < bytes.size(); at += 61) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(changed[at] ^ (1 << at % 8));
      write_file(path, changed);
      ASSERT_TRUE(is_noticed()) << "byte " << at;
    }
  }
}

TEST_F(Verify, NoticesEveryTruncationAndAnAppendedByte) {
  make_small();
  for (const auto& [name, bytes] : files_in(temp_ / "bundle")) {
    SCOPED_TRACE(name);
    for (size_t size = 0; size < bytes.size();
         size += size < 64 || size + 64 > bytes.size() ? 1 : 13) {
      write_file(temp_ / ("bundle/" + name), bytes.substr(0, size));
      ASSERT_TRUE(is_noticed()) << size << " of " << bytes.size();
    }
    for (const char byte : {'\0', '\n', 'x'}) {
      write_file(temp_ / ("bundle/" + name), bytes + byte);
      ASSERT_TRUE(is_noticed()) << "appended " << int{byte};
    }
    write_file(temp_ / ("bundle/" + name), bytes);
  }
}

TEST_F(Verify, NamesTheFileThatIsMissing) {
  make_small();
  for (const auto& [name, bytes] : files_in(temp_ / "bundle")) {
    if (name == "manifest.json") continue;
    SCOPED_TRACE(name);
    test::fs::remove(temp_ / ("bundle/" + name));
    const std::vector<Damage> found = findings();
    ASSERT_FALSE(found.empty());
    EXPECT_EQ(found[0].file, name);
    EXPECT_EQ(found[0].kind, "missing");
    write_file(temp_ / ("bundle/" + name), bytes);
  }
}

TEST_F(Verify, NamesTheTensorWhoseBytesChangedAndListsAllFindings) {
  make_small();
  std::string shared = test::read_file(temp_ / "bundle/shared.bin");
  shared[500] = static_cast<char>(~shared[500]);
  write_file(temp_ / "bundle/shared.bin", shared);
  write_file(temp_ / "bundle/a.onnx", "");
  const std::vector<Damage> found = findings();
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].file, "a.onnx");
  EXPECT_EQ(found[0].kind, "size");
  EXPECT_EQ(found[1].file, "shared.bin");
  EXPECT_EQ(found[1].kind, "hash");
  EXPECT_EQ(found[1].tensor, "trunk");
}

// The manifest cannot hold such names as they are.
TEST_F(Verify, TakesNamesThatAreNoUtf8) {
  add("a.onnx", {raw("w\xff\xfe", noise(1100, 1)), raw("gr\xc3\xb6\xc3", noise(1200, 2))});
  make(64);
  EXPECT_TRUE(findings().empty());
}

TEST_F(Verify, FindsBytesBetweenTensors) {
  // 65 bytes and 100 bytes on cache lines: there is padding in a's blob.
  make_small();
  std::string own = test::read_file(temp_ / "bundle/a.bin");
  const size_t padding = 100;  // "head" is first and ends here
  ASSERT_EQ(own[padding], '\0');
  own[padding] = 1;
  write_file(temp_ / "bundle/a.bin", own);
  const std::vector<Damage> found = findings();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].kind, "padding");
}

// What cannot be read says nothing of the bundle: an error, and no finding.
TEST_F(Verify, TakesAnErrorOfTheSystemForNoDamage) {
  make_small();
  for (const char* name : {"shared.bin", "a.onnx"}) {
    const std::string bytes = test::read_file(temp_ / (std::string("bundle/") + name));
    test::fs::remove(temp_ / (std::string("bundle/") + name));
    test::fs::create_symlink(name, temp_ / (std::string("bundle/") + name));  // to itself
    std::string message;
    EXPECT_EQ(code_of([&] { findings(); }, &message), 3);
    EXPECT_NE(message.find(name), std::string::npos) << message;
    test::fs::remove(temp_ / (std::string("bundle/") + name));
    write_file(temp_ / (std::string("bundle/") + name), bytes);
  }
}

TEST_F(Verify, WaitsForNoPipe) {
  make_small();
  for (const char* name : {"shared.bin", "manifest.json"}) {
    const std::string path = (temp_ / (std::string("bundle/") + name)).string();
    const std::string bytes = test::read_file(path);
    test::fs::remove(path);
    ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
    if (name == std::string("manifest.json")) {
      EXPECT_EQ(code_of([&] { findings(); }), 3);
    } else {
      ASSERT_EQ(findings().size(), 1u);
      EXPECT_EQ(findings()[0].message, "is not a regular file");
    }
    test::fs::remove(path);
    write_file(path, bytes);
  }
}

// One descriptor at a time, however many files a bundle has.
TEST_F(Verify, NeedsNoDescriptorForEachFile) {
  for (int i = 0; i < 60; ++i) {
    add("m" + std::to_string(i) + ".onnx",
        {raw("own", noise(2000, static_cast<uint32_t>(i) + 10)), raw("trunk", noise(1100, 1))});
  }
  EXPECT_IN_OWN_PROCESS({
    struct rlimit limit {};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 48;
    setrlimit(RLIMIT_NOFILE, &limit);
    make(64);
    EXPECT_TRUE(findings().empty());
    RemoveOptions options;
    options.compact = true;
    remove_models(temp_ / "bundle", {"m7"}, options);
    EXPECT_TRUE(findings().empty());
  });
}

// What another command takes away meanwhile is not missing.
TEST_F(Verify, GivesNoFalseAlarmWhileOthersWrite) {
  for (const bool compact : {false, true}) {
    SCOPED_TRACE(compact);
    test::fs::remove_all(temp_ / "bundle");
    make_small();
    bool done = false;
    const auto found = verify(temp_ / "bundle", {1, [&](const char*, uint64_t, uint64_t) {
                                                   if (std::exchange(done, true)) return;
                                                   RemoveOptions options;
                                                   options.compact = compact;
                                                   remove_models(temp_ / "bundle", {"b"}, options);
                                                 }});
    EXPECT_TRUE(done);
    EXPECT_TRUE(found.empty());
  }
}

TEST_F(Verify, SaysWhenAFolderIsNoBundle) {
  EXPECT_EQ(code_of([&] { verify(temp_ / "in", {1}); }), 3);
  EXPECT_EQ(code_of([&] { verify(temp_ / "none", {1}); }), 3);
}

// Names one extent, and ever shorter and shifted ones, with thousands of hashes.
TEST_F(Verify, HashesWhatManyRecordsNameOnce) {
  make_small();
  Manifest manifest = load_manifest(temp_ / "bundle");
  const TensorRecord trunk = manifest.models.at(0).tensors.at(0);
  ASSERT_GE(trunk.extent.size, 1100u);
  constexpr uint64_t kCount = 20'000;
  for (uint64_t i = 0; i < kCount; ++i) {
    TensorRecord& tensor = manifest.models[0].tensors.emplace_back(trunk);
    tensor.hash.bytes[0] = static_cast<uint8_t>(i);
    tensor.hash.bytes[1] = static_cast<uint8_t>(i >> 8);
    tensor.extent.size = 1100 - i % 1000;
    tensor.shape = {static_cast<int64_t>(tensor.extent.size)};
  }
  write_file(temp_ / "bundle/manifest.json", to_json(manifest));
  const auto count_findings = [&] {
    uint64_t read = 0;
    const std::vector<Damage> found =
        verify(temp_ / "bundle", {1, [&](const std::string& stage, uint64_t done, uint64_t) {
                                    if (stage == "checking") read = std::max(read, done);
                                  }});
    EXPECT_LT(read, 100'000u);  // each claim by itself: 12 million
    return found.size();
  };
  EXPECT_GT(count_findings(), kCount - 10);
  for (TensorRecord& tensor : manifest.models[0].tensors) {
    if (tensor.extent.blob == trunk.extent.blob) tensor.extent.offset += 1100 - tensor.extent.size;
  }
  write_file(temp_ / "bundle/manifest.json", to_json(manifest));
  count_findings();
  const std::vector<Damage> found = findings();
  EXPECT_TRUE(std::any_of(found.begin(), found.end(), [](const Damage& finding) {
    return finding.kind == "manifest" && finding.message.starts_with("names over 16 times the ");
  }));
}

}  // namespace
}  // namespace wshare

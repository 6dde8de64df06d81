// Bundles with tasks that are damaged, or made by someone hostile.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "extract_lora/extract_test.h"
#include "format/manifest/manifest.h"
#include "format/manifest/text.h"

namespace wshare::test {
namespace {

using nlohmann::ordered_json;

class HostileTask : public ExtractTest {
 protected:
  // A bundle with a merged task of two weights.
  void SetUp() override {
    add_merged({"0.q", "1.up"}, 2);
    extract({"task.onnx"}, "base.onnx");
    manifest_ = ordered_json::parse(read_file(temp_ / "bundle/manifest.json"));
    find_task();
  }

  void find_task() {
    task_ = &manifest_.at("tasks")[0];
    for (ordered_json& tensor : task_->at("tensors")) {
      if (tensor.contains("derived")) tensor_ = &tensor;
    }
  }

  // Writes the manifest with a hash that fits, as someone hostile would.
  void write_manifest() {
    manifest_["manifest_hash"] = std::string(32, '0');
    std::string text = manifest_.dump();
    text.replace(text.size() - 1, 1, "\n}\n");
    text.replace(seal_at(text), kSealDigits, seal_of(text));
    write_file(temp_ / "bundle/manifest.json", text);
  }

  // True if neither verify nor restore takes the bundle for whole; both must end orderly.
  bool is_noticed() {
    bool found = false, restored = true;
    try {
      found = !verify(temp_ / "bundle", {1}).empty();
    } catch (const Error&) {
      found = true;
    }
    fs::remove_all(temp_ / "back");
    try {
      restore(temp_ / "bundle", {"task"}, temp_ / "back", {});
    } catch (const Error&) {
      restored = false;
    }
    EXPECT_TRUE(restored || !fs::exists(temp_ / "back"));
    fs::remove_all(temp_ / "back");
    return found && !restored;
  }

  ordered_json& derived() { return tensor_->at("derived"); }

  ordered_json manifest_;
  ordered_json* task_ = nullptr;
  ordered_json* tensor_ = nullptr;  // a derived one
};

TEST_F(HostileTask, IsTakenWhereNothingIsWrong) {
  write_manifest();
  EXPECT_FALSE(is_noticed());
  expect_whole({"base.onnx", "task.onnx"});
}

TEST_F(HostileTask, IsRefusedWhenItsManifestContradictsItself) {
  const ordered_json before = manifest_;
  const auto size = derived().at("base").at("extent")[2].get<uint64_t>();
  struct Case {
    const char* name;
    std::function<void()> change;
  };
  const auto at = [&](const char* key) -> ordered_json& { return derived().at(key); };
  for (const Case& c : std::vector<Case>{
           {"no base", [&] { derived().erase("base"); }},
           {"base of another size", [&] { at("base")["extent"][2] = size - 4; }},
           {"base outside", [&] { at("base")["extent"][1] = uint64_t{1} << 62; }},
           {"base in no blob", [&] { at("base")["extent"][0] = 99; }},
           {"base of another type", [&] { at("base")["dtype"] = "float16"; }},
           {"base of integers", [&] { at("base")["dtype"] = "int32"; }},
           {"base of unknown type", [&] { at("base")["dtype"] = "float31"; }},
           {"base is a list", [&] { derived()["base"] = ordered_json::array(); }},
           {"base is null", [&] { derived()["base"] = nullptr; }},
           {"transposed is text", [&] { at("base")["transposed"] = "yes"; }},
           {"rank is too high", [&] { derived()["rank"] = 3; }},
           {"rank is huge", [&] { derived()["rank"] = 4294967295u; }},
           {"rank is beyond 32 bits", [&] { derived()["rank"] = uint64_t{1} << 32; }},
           {"rank is 0", [&] { derived()["rank"] = 0; }},
           {"rank is negative", [&] { derived()["rank"] = -2; }},
           {"rank is 1.5", [&] { derived()["rank"] = 1.5; }},
           {"no rank", [&] { derived().erase("rank"); }},
           {"no left", [&] { derived().erase("left"); }},
           {"no right", [&] { derived().erase("right"); }},
           {"left of another size", [&] { at("left")["extent"][2] = 4; }},
           {"right of another type", [&] { at("right")["dtype"] = "float64"; }},
           {"multiplier is text", [&] { derived()["multiplier"] = "1"; }},
           {"multiplier is null", [&] { derived()["multiplier"] = nullptr; }},
           {"residual outside",
            [&] {
              derived()["residual"] = {0, 0, uint64_t{1} << 60};
            }},
           {"residual in no blob", [&] { at("residual")[0] = 77; }},
           {"residual is a number", [&] { derived()["residual"] = 5; }},
           {"exact is a number", [&] { derived()["exact"] = ordered_json::array(); }},
           {"derived and an extent", [&] { (*tensor_)["extent"] = at("base")["extent"]; }},
           {"neither", [&] { tensor_->erase("derived"); }},
           {"derived is a list", [&] { (*tensor_)["derived"] = ordered_json::array(); }},
           {"integers are derived", [&] { (*tensor_)["dtype"] = "int32"; }},
           {"shape overflows",
            [&] {
              (*tensor_)["shape"] = {1ull << 62, 8};
            }},
           {"shape overflows behind 0",
            [&] {
              (*tensor_)["shape"] = {0, 1ull << 62, 8};
            }},
           {"shape is negative",
            [&] {
              (*tensor_)["shape"] = {-48, -48};
            }},
           {"shape is empty", [&] { (*tensor_)["shape"] = ordered_json::array(); }},
           {"shape of fractions",
            [&] {
              (*tensor_)["shape"] = {48.5, 48};
            }},
           {"shape of 1e300",
            [&] {
              (*tensor_)["shape"] = {1e300, 48};
            }},
           {"hash is short", [&] { (*tensor_)["hash"] = "00"; }},
           {"adapter out of range", [&] { (*task_)["adapter"] = 99; }},
           {"adapter is no whole file", [&] { (*task_)["adapter"] = 0; }},
           {"adapter is negative", [&] { (*task_)["adapter"] = -1; }},
           {"unknown base", [&] { (*task_)["base"] = "nobody"; }},
           {"no base model", [&] { task_->erase("base"); }},
           {"unknown model", [&] { (*task_)["model"] = "nobody"; }},
           {"hostile name", [&] { (*task_)["name"] = "../task"; }},
           {"empty name", [&] { (*task_)["name"] = ""; }},
           {"two of one name", [&] { manifest_["tasks"].push_back(*task_); }},
           {"parameters are null", [&] { (*task_)["parameters"] = nullptr; }},
           {"parameter without shape", [&] { (*task_)["parameters"][0].erase("shape"); }},
           {"parameter too large",
            [&] {
              (*task_)["parameters"][0]["shape"] = {1ull << 40, 1ull << 40};
            }},
           {"parameter of unknown type", [&] { (*task_)["parameters"][0]["dtype"] = "x"; }},
           {"source leaves its folder", [&] { (*task_)["source"]["file"] = "../x"; }},
           {"record outside", [&] { (*task_)["source"]["record"][2] = 1 << 30; }},
           {"tasks are an object", [&] { manifest_["tasks"] = ordered_json::object(); }},
           {"task is a number", [&] { manifest_["tasks"][0] = 3; }}}) {
    SCOPED_TRACE(c.name);
    c.change();
    write_manifest();
    EXPECT_EQ(code_of([&] { load_manifest(temp_ / "bundle"); }), 4);
    EXPECT_TRUE(is_noticed());
    manifest_ = before;
    find_task();
  }
}

TEST_F(HostileTask, IsNoticedWhenWhatItSaysIsNotSo) {
  const std::string text = manifest_.dump();
  for (const auto& [name, change] : std::vector<std::pair<const char*, std::function<void()>>>{
           {"another multiplier", [&] { derived()["multiplier"] = 0.5; }},
           {"a huge multiplier", [&] { derived()["multiplier"] = 1e308; }},
           {"another direction", [&] { derived()["base"]["transposed"] = true; }},
           {"no residual", [&] { derived().erase("residual"); }},
           {"half a residual",
            [&] {
              ordered_json& size = derived()["residual"][2];
              size = size.get<uint64_t>() / 2;
            }},
           {"the factors of the other weight", [&] { derived()["left"]["extent"][1] = 64; }},
           {"another hash", [&] { (*tensor_)["hash"] = std::string(32, '5'); }}}) {
    SCOPED_TRACE(name);
    change();
    write_manifest();
    EXPECT_TRUE(is_noticed());
    manifest_ = ordered_json::parse(text);
    find_task();
  }
}

TEST_F(HostileTask, IsNoticedWhenItsAdapterHoldsOtherParameters) {
  for (const char* key : {"name", "dtype"}) {
    ordered_json& parameter = task_->at("parameters")[0];
    const ordered_json before = parameter;
    parameter[key] = "float16";
    write_manifest();
    const std::vector<Damage> findings = verify(temp_ / "bundle", {1});
    ASSERT_EQ(findings.size(), 1u) << key;
    EXPECT_EQ(findings[0].kind, "adapter");
    EXPECT_EQ(findings[0].file, "task.onnx_adapter");
    parameter = before;
  }
}

TEST_F(HostileTask, IsNoticedWhenOneOfItsFilesIsDamaged) {
  for (const char* name : {"task.onnx_adapter", "task.residual"}) {
    SCOPED_TRACE(name);
    const std::string bytes = read_file(temp_ / "bundle" / name);
    for (size_t at = 0; at < bytes.size(); at += 1 + bytes.size() / 50) {
      std::string flipped = bytes;
      flipped[at] = static_cast<char>(flipped[at] ^ 4);
      write_file(temp_ / "bundle" / name, flipped);
      const std::vector<Damage> findings = verify(temp_ / "bundle", {1});
      ASSERT_EQ(findings.size(), 1u) << at;
      EXPECT_EQ(findings[0].kind, "hash");
      EXPECT_EQ(findings[0].file, name);
      write_file(temp_ / "bundle" / name, bytes.substr(0, at));
      ASSERT_TRUE(is_noticed()) << at;
    }
    fs::remove(temp_ / "bundle" / name);
    EXPECT_TRUE(is_noticed());
    write_file(temp_ / "bundle" / name, bytes);
  }
  EXPECT_FALSE(is_noticed());
}

// The hash of the residual fits, as if it had been written so.
TEST_F(HostileTask, IsNoticedWhenItsResidualIsHostile) {
  const std::string bytes = read_file(temp_ / "bundle/task.residual");
  for (size_t at = 0; at < bytes.size(); at += 1 + bytes.size() / 200) {
    for (const int bit : {1, 0x80}) {
      std::string flipped = bytes;
      flipped[at] = static_cast<char>(flipped[at] ^ bit);
      write_file(temp_ / "bundle/task.residual", flipped);
      for (ordered_json& blob : manifest_.at("blobs")) {
        if (blob.at("file") != "task.residual") continue;
        blob["hash"] = to_hex(hash_of(flipped));
      }
      write_manifest();
      ASSERT_TRUE(is_noticed()) << at;
      const std::vector<Damage> findings = verify(temp_ / "bundle", {1});
      ASSERT_EQ(findings.at(0).kind, "derived");
      ASSERT_EQ(findings.at(0).file, "task.residual");
    }
  }
}

// A record that names one tensor again and again.
TEST_F(HostileTask, WritesNoMoreThanTheOriginalHad) {
  ordered_json& source = task_->at("source");
  const auto size = source.at("size").get<uint64_t>();
  source["size"] = size - 20000;
  write_manifest();
  std::string message;
  EXPECT_EQ(code_of([&] { restore(temp_ / "bundle", {"task"}, temp_ / "back", {}); }, &message), 4);
  EXPECT_NE(message.find("bytes back, the original had " + std::to_string(size - 20000)),
            std::string::npos)
      << message;
  EXPECT_FALSE(fs::exists(temp_ / "back"));
}

}  // namespace
}  // namespace wshare::test

// thaw() makes archived models run again, with the graphs and tensors that they had.

#include "wshare/thaw.h"

#include <nlohmann/json.hpp>

#include "archive/family.h"
#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "support/bytes.h"
#include "wshare/remove.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

using test::bytes_below;
using test::code_of;
using test::files_in;
using test::floats;
using test::moved;
using test::Names;
using test::names_in;
using test::read_file;
using test::weight;

// What a model of the bundle is: its graph without places of external data, and its tensors' bytes.
std::map<std::string, std::string> contents_of(const fs::path& bundle, const std::string& name) {
  const Manifest manifest = load_manifest(bundle);
  const ModelRecord& model = find_model(manifest, name);
  onnx::ModelProto proto;
  EXPECT_TRUE(proto.ParseFromString(read_file(bundle / model.file)));
  for (onnx::TensorProto& tensor : *proto.mutable_graph()->mutable_initializer())
    tensor.clear_external_data();
  std::map<std::string, std::string> contents = {{"graph", proto.SerializeAsString()}};
  for (const TensorRecord& tensor : model.tensors) {
    const std::string blob = read_file(bundle / manifest.blobs[tensor.extent.blob].file);
    contents["tensor " + std::string(tensor.name) + (tensor.folded ? " folded" : "")] =
        blob.substr(tensor.extent.offset, tensor.extent.size);
  }
  return contents;
}

class Thaw : public test::FamilyTest {};

TEST_F(Thaw, GivesTheModelThatWasThere) {
  make_family();
  std::map<std::string, std::map<std::string, std::string>> before;
  for (const char* name : {"base", "one", "two", "other"})
    before[name] = contents_of(bundle(), name);
  put_away({"base", "one", "two", "other"});
  bring_back({"one", "base"});
  expect_whole(4);
  bring_back({"other", "two"});
  expect_whole(4);
  for (const auto& [name, contents] : before)
    EXPECT_TRUE(contents_of(bundle(), name) == contents) << name;
  EXPECT_TRUE(load_manifest(bundle()).archived.empty());
  for (const std::string& name : names_in(bundle()))
    EXPECT_FALSE(name.ends_with(".archive")) << name;
}

TEST_F(Thaw, SharesWhatTheBundleHas) {
  const test::Values values = weight(20000, 1), both = moved(values, 2);
  add("base.onnx", {floats("w", values), floats("x", weight(1000, 9))});
  add("a.onnx", {floats("w", both), floats("x", weight(1000, 10))});
  add("b.onnx", {floats("w", both), floats("x", weight(1000, 11))});
  make();
  put_away({"a", "b"});
  bring_back({"a"});
  const ThawReport second = bring_back({"b"});  // computed, and found where a has it
  EXPECT_GE(second.models.at(0).shared_bytes, 80000u);
  EXPECT_EQ(find_model(load_manifest(bundle()), "a").tensors[0].extent,
            find_model(load_manifest(bundle()), "b").tensors[0].extent);
  expect_whole(3);
  put_away({"a", "b"});
  bring_back({"a", "b"});  // both at once
  EXPECT_EQ(find_model(load_manifest(bundle()), "a").tensors[0].extent,
            find_model(load_manifest(bundle()), "b").tensors[0].extent);
  expect_whole(3);
}

TEST_F(Thaw, AfterCompactionTheBundleIsAsDedupeMadeIt) {
  make_family();
  const auto before = files_in(bundle());
  put_away();
  bring_back({"one", "two"});
  RemoveOptions compact;
  compact.compact = true;
  remove_models(bundle(), {}, compact);
  const auto after = files_in(bundle());
  ASSERT_EQ(names_in(bundle()).size(), before.size());
  for (const char* name : {"base.onnx", "one.onnx", "two.onnx", "one.bin", "two.bin"})
    EXPECT_TRUE(after.at(name) == before.at(name)) << name;
}

TEST_F(Thaw, SaysWhatItWouldDo) {
  make_family();
  put_away();
  const auto before = files_in(bundle());
  ThawOptions options;
  options.dry_run = true;
  const ThawReport planned = thaw(bundle(), {"one"}, options);
  EXPECT_TRUE(files_in(bundle()) == before);
  EXPECT_EQ(bring_back({"one"}).bytes_out, planned.bytes_out);
  EXPECT_EQ(planned.bytes_out, bytes_below(bundle()));
}

TEST_F(Thaw, RefusesWhatIsNotArchived) {
  make_family();
  expect_refused({"thaw", path("bundle"), "one"}, 4, {"'one': is not archived"});
  put_away();
  expect_refused({"thaw", path("bundle"), "on"}, 4, {"'on': no such archived model", "'one'"});
}

TEST_F(Thaw, JsonHasWhatTheContractSays) {
  make_family();
  put_away();
  ASSERT_EQ(run({"thaw", path("bundle"), "one", "--json"}), 0) << err_;
  const auto json = nlohmann::json::parse(out_);
  EXPECT_EQ(json["schema"], "wshare.thaw/1");
  EXPECT_EQ(json["models"][0]["name"], "one");
  EXPECT_EQ(json["bytes_out"], bytes_below(bundle()));
}

}  // namespace
}  // namespace wshare

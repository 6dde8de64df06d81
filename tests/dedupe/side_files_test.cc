// Files that nodes name in attributes come along under their names, and nothing
// else takes these.

#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "support/bundle_test.h"
#include "wshare/append.h"
#include "wshare/inspect.h"
#include "wshare/remove.h"
#include "wshare/restore.h"

namespace wshare {
namespace {

using test::files_in;
using test::noise;
using test::raw;
using test::read_file;
using test::write_file;

namespace fs = std::filesystem;

void add_text(onnx::NodeProto &node, const std::string &name, const std::string &text) {
  onnx::AttributeProto &attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(onnx::AttributeProto::STRING);
  attribute.set_s(text);
}

// A model with a weight and a node that names a context file.
onnx::ModelProto with_context(const std::string &file, uint32_t seed, int64_t embed_mode = 0) {
  onnx::ModelProto proto = test::model_of({raw("w", noise(5000, seed))});
  onnx::NodeProto &node = test::add_node(*proto.mutable_graph(), "EPContext", {"w"}, {"h"});
  node.set_domain("com.microsoft");
  *node.add_attribute() = test::integer("embed_mode", embed_mode);
  add_text(node, "ep_cache_context", file);
  return proto;
}

class SideFiles : public test::BundleTest {
 protected:
  // As models of one folder do: nothing more, nothing less comes back.
  void expect_all_back() {
    expect_sound();
    fs::remove_all(temp_ / "back");
    for (const RestoredModel &model : restore(temp_ / "bundle", {}, temp_ / "back", {}))
      EXPECT_TRUE(model.identical) << model.name;
    EXPECT_EQ(files_in(temp_ / "back"), files_in(temp_ / "in"));
  }
  int refusal(std::string *message) {
    return test::code_of([&] { make(); }, message);
  }
  void append_one(const std::string &file) {
    append(temp_ / "bundle", inputs({file}), AppendOptions());
  }
  std::string in_bundle(const std::string &name) { return read_file(temp_ / ("bundle/" + name)); }
};

TEST_F(SideFiles, ComeAlongUnderTheirNames) {
  add("m.onnx", with_context("m.bin", 1));  // the name that m's blob would have
  add("m.bin", noise(3000, 9));
  make();
  EXPECT_EQ(in_bundle("m.bin"), noise(3000, 9));
  expect_all_back();
  const Manifest manifest = load_manifest(temp_ / "bundle");
  ASSERT_EQ(manifest.models[0].files.size(), 1u);
  EXPECT_EQ(manifest.blobs[manifest.models[0].files[0]].file, "m.bin");
}

TEST_F(SideFiles, MayBeEmptyOrZero) {
  for (const std::string &bytes : {std::string(), std::string(100, '\0')}) {
    add("m.onnx", with_context("c.bin", 1));
    add("c.bin", bytes);
    make();
    EXPECT_EQ(in_bundle("c.bin"), bytes);
    expect_all_back();
    fs::remove_all(temp_ / "bundle");
  }
}

TEST_F(SideFiles, AreNoneWhereTheNodeHoldsItsContext) {
  add("m.onnx", with_context("no file", 1, 1));
  make();
  expect_all_back();
}

TEST_F(SideFiles, AreStoredOnceAndGoWithTheLastModelThatNamesThem) {
  add("a.onnx", with_context("c.bin", 1));
  add("b.onnx", with_context("c.bin", 2));
  add("d.onnx", {raw("x", noise(4000, 5))});
  add("c.bin", noise(3000, 9));
  make();
  expect_all_back();
  for (const bool compact : {true, false}) {
    RemoveOptions options;
    options.compact = compact;
    remove_models(temp_ / "bundle", {compact ? "a" : "b"}, options);
    fs::remove(temp_ / (compact ? "in/a.onnx" : "in/b.onnx"));
    if (!compact) fs::remove(temp_ / "in/c.bin");
    expect_all_back();
    EXPECT_EQ(fs::exists(temp_ / "bundle/c.bin"), compact);
  }
}

TEST_F(SideFiles, AreSharedWithModelsThatCome) {
  add("a.onnx", with_context("c.bin", 1));
  add("c.bin", noise(3000, 9));
  make();
  add("b.onnx", with_context("c.bin", 2));
  append_one("b.onnx");
  expect_sound();
  EXPECT_EQ(in_bundle("c.bin"), noise(3000, 9));
  add("c.bin", noise(3000, 10));
  std::string message;
  add("e.onnx", with_context("c.bin", 3));
  const auto before = files_in(temp_ / "bundle");
  EXPECT_EQ(test::code_of([&] { append_one("e.onnx"); }, &message), 4);
  EXPECT_NE(message.find("'c.bin'"), std::string::npos) << message;
  EXPECT_EQ(files_in(temp_ / "bundle"), before);
}

TEST_F(SideFiles, AreRefusedByNameWhereTheyCannotComeAlong) {
  std::string message;
  add("m.onnx", with_context("c.bin", 1));
  EXPECT_EQ(refusal(&message), 3);
  EXPECT_NE(message.find("'c.bin'"), std::string::npos) << message;
  add("m.onnx", with_context("sub/c.bin", 1));
  write_file(temp_ / "in/sub/c.bin", "context");
  EXPECT_EQ(refusal(&message), 5);
  EXPECT_NE(message.find("'sub/c.bin'"), std::string::npos) << message;
  add("m.onnx", with_context("../c.bin", 1));
  write_file(temp_ / "c.bin", "context");
  EXPECT_EQ(refusal(&message), 4);

  fs::remove(temp_ / "in/m.onnx");
  for (const std::string folder : {"x", "y"}) {
    add(folder + "/" + folder + ".onnx", with_context("c.bin", 1));
    write_file(temp_ / ("in/" + folder + "/c.bin"), "context of " + folder);
  }
  const auto both = [&] { dedupe(inputs({"x/x.onnx", "y/y.onnx"}), temp_ / "bundle", {}); };
  EXPECT_EQ(test::code_of(both, &message), 4);
  EXPECT_NE(message.find("'c.bin'"), std::string::npos) << message;
}

TEST_F(SideFiles, KeepNamesFreeThatNodesSay) {
  onnx::ModelProto proto = with_context("M.BIN", 1, 1);
  add_text(*proto.mutable_graph()->mutable_node(0), "path", "restore.bin");
  add("m.onnx", proto);
  make();
  EXPECT_EQ(test::names_in(temp_ / "bundle"),
            (std::vector<std::string>{"m.onnx", "m_2.bin", "manifest.json", "restore_2.bin"}));
  expect_all_back();
}

TEST_F(SideFiles, AreShownByInspect) {
  add("m.onnx", with_context("c.bin", 1));
  const auto look = [&] { return inspect({(temp_ / "in/m.onnx").string()}, InspectOptions()); };
  EXPECT_EQ(look().findings.at(0).id, "WS001");
  add("c.bin", noise(3000, 9));
  const Inspection inspection = look();
  EXPECT_EQ(inspection.models[0].external.at(0).file, "c.bin");
  for (const Finding &finding : inspection.findings) EXPECT_NE(finding.id, "WS002");
}

}  // namespace
}  // namespace wshare

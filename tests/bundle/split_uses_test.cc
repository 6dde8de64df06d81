#include <map>
#include <sstream>

#include "cli.h"
#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "support/bundle_test.h"
#include "wshare/restore.h"
#include "wshare/verify.h"

namespace wshare {
namespace {

namespace fs = std::filesystem;

using test::add_node;
using test::noise;
using test::raw;
using test::read_file;

constexpr size_t kRows = 128, kBytes = kRows * kRows * 4;  // 64 KiB: what sessions take from maps
using Names = std::vector<std::string>;

onnx::TensorProto square(const std::string& name, uint32_t seed) {
  return raw(name, noise(kBytes, seed), onnx::TensorProto::FLOAT, {kRows, kRows});
}

// Nodes 0 and 2 multiply by "w", node 1 gathers from it, an If's branch does both.
onnx::ModelProto make_model() {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  onnx::GraphProto& graph = *model.mutable_graph();
  graph.set_name("g");
  for (const char* name : {"x", "rows", "yes"}) graph.add_input()->set_name(name);
  graph.add_output()->set_name("c");
  *graph.add_initializer() = square("w", 1);
  add_node(graph, "MatMul", {"x", "w"}, {"a"});
  add_node(graph, "Gather", {"w", "rows"}, {"b"});
  add_node(graph, "MatMul", {"a", "w"}, {"c"});
  onnx::AttributeProto& branch = *add_node(graph, "If", {"yes"}, {"d"}).add_attribute();
  branch.set_name("then_branch");
  branch.set_type(onnx::AttributeProto::GRAPH);
  add_node(*branch.mutable_g(), "Gather", {"w", "rows"}, {"e"});
  add_node(*branch.mutable_g(), "MatMul", {"e", "w"}, {"f"});
  branch.mutable_g()->add_output()->set_name("f");
  return model;
}

class SplitUsesOf : public test::BundleTest {
 protected:
  // Makes a bundle of `model`, and returns what stands in the place of the model in it.
  onnx::ModelProto split(const onnx::ModelProto& model, SplitUses kinds,
                         const std::string& bundle = "bundle") {
    add("m.onnx", model);
    DedupeOptions options;
    options.split_uses = kinds;
    dedupe(resolve_inputs({(temp_ / "in").string()}), temp_ / bundle, options);
    onnx::ModelProto made;
    EXPECT_TRUE(made.ParseFromString(read_file(temp_ / (bundle + "/m.onnx"))));
    return made;
  }

  // What nodes read, in the order of make_model(): two of the branch come last.
  static Names inputs_of(const onnx::ModelProto& model) {
    const onnx::GraphProto& graph = model.graph();
    const onnx::GraphProto& branch = graph.node(3).attribute(0).g();
    return {graph.node(0).input(1), graph.node(1).input(0), graph.node(2).input(1),
            branch.node(0).input(0), branch.node(1).input(1)};
  }

  std::map<std::string, TensorRecord> tensors() const {
    const Manifest manifest = load_manifest(temp_ / "bundle");
    std::map<std::string, TensorRecord> result;
    for (const TensorRecord& tensor : manifest.models.at(0).tensors) result[tensor.name] = tensor;
    return result;
  }

  // That it lies once, is sound, and gives the original back.
  void expect_whole(size_t names) {
    const auto records = tensors();
    EXPECT_EQ(records.size(), names);
    for (const auto& [name, record] : records) EXPECT_EQ(record.extent, records.at("w").extent);
    EXPECT_EQ(fs::file_size(temp_ / "bundle/m.bin"), kBytes);
    EXPECT_TRUE(verify(temp_ / "bundle", {1}).empty());
    EXPECT_TRUE(restore(temp_ / "bundle", {}, temp_ / "out", {}).at(0).identical);
    EXPECT_EQ(read_file(temp_ / "out/m.onnx"), read_file(temp_ / "in/m.onnx"));
  }
};

TEST_F(SplitUsesOf, OperatorsGivesEachOperatorAName) {
  const onnx::ModelProto made = split(make_model(), SplitUses::kByOperator);
  EXPECT_EQ(inputs_of(made), (Names{"w", "w/Gather", "w", "w/Gather", "w"}));
  expect_whole(2);
}

TEST_F(SplitUsesOf, NodesGivesEachNodeAName) {
  const onnx::ModelProto made = split(make_model(), SplitUses::kByNode);
  EXPECT_EQ(inputs_of(made), (Names{"w", "w/Gather", "w/MatMul", "w/Gather_2", "w/MatMul_2"}));
  expect_whole(5);
}

TEST_F(SplitUsesOf, NeverLeavesNames) {
  const onnx::ModelProto made = split(make_model(), SplitUses::kNever);
  EXPECT_EQ(inputs_of(made), Names(5, "w"));
  expect_whole(1);
}

TEST_F(SplitUsesOf, AConstantIsAWeightToo) {
  onnx::ModelProto model = make_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  graph.clear_initializer();
  onnx::AttributeProto& value = *add_node(graph, "Constant", {}, {"w"}).add_attribute();
  value.set_name("value");
  value.set_type(onnx::AttributeProto::TENSOR);
  *value.mutable_t() = square("", 1);
  for (int i = 4; i > 0; --i) graph.mutable_node()->SwapElements(i, i - 1);
  const onnx::ModelProto made = split(model, SplitUses::kByOperator);
  EXPECT_EQ(inputs_of(made), (Names{"w", "w/Gather", "w", "w/Gather", "w"}));
  expect_whole(2);
}

TEST_F(SplitUsesOf, ANameThatIsTakenIsNotTakenTwice) {
  onnx::ModelProto model = make_model();
  model.mutable_graph()->mutable_node(1)->set_output(0, "w/Gather");
  EXPECT_EQ(inputs_of(split(model, SplitUses::kByOperator)).at(1), "w/Gather_2");
}

// Of "w" the Transpose computes with constants alone; of the other name nobody does.
TEST_F(SplitUsesOf, OnlyOneOfTheNamesIsFolded) {
  onnx::ModelProto model = make_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  add_node(graph, "Transpose", {"w"}, {"turned"});
  add_node(graph, "MatMul", {"c", "turned"}, {"g"});
  split(model, SplitUses::kNever);
  EXPECT_TRUE(tensors().at("w").folded);
  fs::remove_all(temp_ / "bundle");
  split(model, SplitUses::kByOperator);
  EXPECT_FALSE(tensors().at("w").folded);
  EXPECT_FALSE(tensors().at("w/Gather").folded);
  EXPECT_TRUE(tensors().at("w/Transpose").folded);
}

TEST_F(SplitUsesOf, SomeWeightsKeepTheirName) {
  struct Case {
    const char* name;
    void (*change)(onnx::ModelProto& model);
  };
  for (const Case& c : {
           Case{"small",
                [](onnx::ModelProto& model) {
                  *model.mutable_graph()->mutable_initializer(0) = raw(
                      "w", noise(kBytes - 512, 1), onnx::TensorProto::FLOAT, {kRows - 1, kRows});
                }},
           Case{"an input's default",
                [](onnx::ModelProto& model) { model.mutable_graph()->add_input()->set_name("w"); }},
           Case{
               "an output",
               [](onnx::ModelProto& model) { model.mutable_graph()->add_output()->set_name("w"); }},
           Case{"a name with two meanings",
                [](onnx::ModelProto& model) {
                  *model.mutable_graph()
                       ->mutable_node(3)
                       ->mutable_attribute(0)
                       ->mutable_g()
                       ->add_initializer() = square("w", 2);
                }},
           Case{"initializers must be inputs",
                [](onnx::ModelProto& model) {
                  model.set_ir_version(3);
                  model.mutable_graph()->add_input()->set_name("w");
                }},
       }) {
    SCOPED_TRACE(c.name);
    onnx::ModelProto model = make_model();
    c.change(model);
    EXPECT_EQ(inputs_of(split(model, SplitUses::kByNode)), Names(5, "w"));
    fs::remove_all(temp_ / "bundle");
  }
}

TEST_F(SplitUsesOf, IsAnOptionOfTheCommand) {
  add("m.onnx", make_model());
  const auto run = [&](const std::string& kinds) {
    std::ostringstream out, err;
    const std::string in = (temp_ / "in").string(), bundle = (temp_ / "bundle").string();
    return run_cli({"dedupe", in, "-o", bundle, "--force", "--split-device-uses", kinds}, out, err);
  };
  EXPECT_EQ(run("operators"), 0);
  expect_whole(2);
  EXPECT_EQ(run("nodes"), 0);
  EXPECT_EQ(tensors().size(), 5u);
  EXPECT_EQ(run("both"), 2);
}

TEST_F(SplitUsesOf, AnAppendedModelIsSplitAlikeOverTheBytesThatAreThere) {
  add("m.onnx", make_model());
  const std::string bundle = (temp_ / "bundle").string();
  std::ostringstream out, err;
  ASSERT_EQ(run_cli({"dedupe", (temp_ / "in").string(), "-o", bundle}, out, err), 0) << err.str();
  fs::create_directory(temp_ / "later");
  fs::copy_file(temp_ / "in/m.onnx", temp_ / "later/n.onnx");
  const auto append = [&](const std::string& kinds, const std::string& model) {
    return run_cli({"append", bundle, model, "--split-device-uses", kinds}, out, err);
  };
  ASSERT_EQ(append("operators", (temp_ / "later/n.onnx").string()), 0) << err.str();
  const Manifest manifest = load_manifest(bundle);
  Names names;
  for (const TensorRecord& tensor : manifest.models.at(1).tensors) {
    names.push_back(tensor.name);
    EXPECT_EQ(tensor.extent, manifest.models.at(0).tensors.at(0).extent);
  }
  EXPECT_EQ(names, (Names{"w", "w/Gather"}));
  EXPECT_TRUE(verify(bundle, {1}).empty());
  restore(bundle, {"n"}, temp_ / "out", {});
  EXPECT_EQ(read_file(temp_ / "out/n.onnx"), read_file(temp_ / "in/m.onnx"));
}

TEST_F(SplitUsesOf, ATaskHasTheNamesOfItsBase) {
  add("m.onnx", make_model());
  const std::string bundle = (temp_ / "bundle").string(), model = (temp_ / "in/m.onnx").string();
  std::ostringstream out, err;
  ASSERT_EQ(run_cli({"dedupe", model, "-o", bundle}, out, err), 0) << err.str();
  EXPECT_EQ(
      run_cli({"append", bundle, "n=" + model, "--base=m", "--split-device-uses=nodes"}, out, err),
      4);
  EXPECT_NE(err.str().find("tasks over 'm', which has names of its own"), std::string::npos)
      << err.str();
}

TEST_F(SplitUsesOf, BytesDependOnTheModelOnly) {
  split(make_model(), SplitUses::kByNode);
  split(make_model(), SplitUses::kByNode, "again");
  for (const char* file : {"m.onnx", "m.bin", "manifest.json", "restore.bin"}) {
    EXPECT_EQ(read_file(temp_ / "bundle" / file), read_file(temp_ / "again" / file)) << file;
  }
}

}  // namespace
}  // namespace wshare

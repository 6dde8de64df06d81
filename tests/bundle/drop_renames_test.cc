#include "bundle/drop_renames.h"

#include <set>
#include <sstream>

#include "cli.h"
#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "model/walk.h"
#include "support/bundle_test.h"
#include "support/renamed_weights.h"
#include "wshare/inspect.h"
#include "wshare/restore.h"
#include "wshare/verify.h"

namespace wshare {
namespace {

namespace fs = std::filesystem;

using test::add_node;
using test::add_value;
using test::kRows;
using test::model_with_renames;
using test::noise;
using test::raw;
using test::read_file;
using test::square;

constexpr size_t kBytes = kRows * kRows * 4;
using Names = std::vector<std::string>;

class DropRenames : public test::BundleTest {
 protected:
  onnx::ModelProto bundled(const onnx::ModelProto& model, const DedupeOptions& options = {}) {
    add("m.onnx", model);
    fs::remove_all(temp_ / "bundle");
    report_ = dedupe(resolve_inputs({(temp_ / "in").string()}), temp_ / "bundle", options);
    onnx::ModelProto made;
    EXPECT_TRUE(made.ParseFromString(read_file(temp_ / "bundle/m.onnx")));
    return made;
  }

  // That the bundle is sound and gives the original back.
  void expect_whole() {
    EXPECT_TRUE(verify(temp_ / "bundle", {1}).empty());
    fs::remove_all(temp_ / "out");
    EXPECT_TRUE(restore(temp_ / "bundle", {}, temp_ / "out", {}).at(0).identical);
    EXPECT_EQ(read_file(temp_ / "out/m.onnx"), read_file(temp_ / "in/m.onnx"));
  }

  bool is_folded() const {
    return load_manifest(temp_ / "bundle").models.at(0).tensors.at(0).folded;
  }

  DedupeReport report_;
};

Names operators_of(const onnx::GraphProto& graph) {
  Names names;
  for (const onnx::NodeProto& node : graph.node()) names.push_back(node.op_type());
  return names;
}

TEST_F(DropRenames, WhatReadsARenamedWeightReadsTheWeight) {
  const onnx::ModelProto made = bundled(model_with_renames());
  const onnx::GraphProto& graph = made.graph();
  EXPECT_EQ(operators_of(graph), (Names{"MatMul", "MatMul", "Gemm", "MatMul", "MatMul", "If"}));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(graph.node(i).input(1), "w") << i;
  for (int i = 0; i < 2; ++i) {
    const onnx::GraphProto& branch = graph.node(5).attribute(i).g();
    EXPECT_EQ(operators_of(branch), Names{"MatMul"});
    EXPECT_EQ(branch.node(0).input(1), "w");
  }
  EXPECT_EQ(graph.value_info_size(), 0);
  EXPECT_EQ(report_.models.at(0).renames, 6u);
  EXPECT_FALSE(is_folded());
  expect_whole();
}

TEST_F(DropRenames, NodesAreKeptWhenAskedFor) {
  DedupeOptions options;
  options.keep_identity = true;
  EXPECT_EQ(bundled(model_with_renames(), options).graph().node_size(),
            model_with_renames().graph().node_size());
  EXPECT_EQ(report_.models.at(0).renames, 0u);
  EXPECT_TRUE(is_folded());
  expect_whole();
}

TEST_F(DropRenames, AConstantIsAWeightToo) {
  onnx::ModelProto model = model_with_renames();
  onnx::GraphProto& graph = *model.mutable_graph();
  graph.mutable_initializer()->DeleteSubrange(0, 1);
  onnx::AttributeProto& value = *add_node(graph, "Constant", {}, {"w"}).add_attribute();
  value.set_name("value");
  value.set_type(onnx::AttributeProto::TENSOR);
  *value.mutable_t() = square("", 1);
  for (int i = graph.node_size() - 1; i > 0; --i) graph.mutable_node()->SwapElements(i, i - 1);
  const onnx::ModelProto made = bundled(model);
  EXPECT_EQ(made.graph().node_size(), 6);
  expect_whole();
}

// Each case keeps some nodes of model_with_renames(): those that stay, by their output.
TEST_F(DropRenames, SomeNodesStay) {
  struct Case {
    const char* name;
    void (*change)(onnx::ModelProto& model);
    Names stay;
  };
  for (const Case& c : {
           Case{"an output of the graph",
                [](onnx::ModelProto& model) {
                  add_value(*model.mutable_graph()->add_output(), "w_1", onnx::TensorProto::FLOAT,
                            {kRows, kRows});
                },
                {"w_1"}},
           Case{"a weight that is an output",
                [](onnx::ModelProto& model) {
                  add_value(*model.mutable_graph()->add_output(), "w", onnx::TensorProto::FLOAT,
                            {kRows, kRows});
                },
                {"w_1", "w_2", "w_3", "w_4", "w_5", "mine"}},
           Case{"the default of an input",
                [](onnx::ModelProto& model) {
                  add_value(*model.mutable_graph()->add_input(), "w", onnx::TensorProto::FLOAT,
                            {kRows, kRows});
                },
                {"w_1", "w_2", "w_3", "w_4", "w_5", "mine"}},
           Case{"a small weight",
                [](onnx::ModelProto& model) {
                  *model.mutable_graph()->mutable_initializer(0) =
                      raw("w", noise(kBytes - 4 * kRows, 1), onnx::TensorProto::FLOAT,
                          {kRows - 1, kRows});
                },
                {"w_1", "w_2", "w_3", "w_4", "w_5", "mine"}},
           // In the second branch "w" is another weight, so "w_1" is needed to read the first one.
           Case{"a name that means something else where it is read",
                [](onnx::ModelProto& model) {
                  onnx::NodeProto& branches = *model.mutable_graph()->mutable_node(10);
                  onnx::GraphProto& other = *branches.mutable_attribute(1)->mutable_g();
                  *other.add_initializer() = square("w", 2);
                  add_node(other, "MatMul", {"g", "w"}, {"h"});
                  other.mutable_output(0)->set_name("h");
                },
                {"w_1"}},
           Case{"another type",
                [](onnx::ModelProto& model) {
                  model.mutable_graph()->mutable_node(1)->mutable_attribute(0)->set_i(
                      onnx::TensorProto::FLOAT16);
                },
                {"w_2"}},
           Case{"another shape",
                [](onnx::ModelProto& model) {
                  const int64_t shape[] = {64, 256};
                  model.mutable_graph()->mutable_initializer(1)->set_raw_data(
                      std::string(reinterpret_cast<const char*>(shape), sizeof(shape)));
                },
                {"w_3", "w_4", "w_5"}},
           Case{"a shape that is computed",
                [](onnx::ModelProto& model) {
                  model.mutable_graph()->mutable_node(2)->set_input(1, "yes");
                },
                {"w_3", "w_4", "w_5"}},
           Case{"an operator of an extension",
                [](onnx::ModelProto& model) {
                  model.mutable_graph()->mutable_node(0)->set_domain("mine");
                },
                {"w_1"}},
           Case{"a reader before the node",
                [](onnx::ModelProto& model) {
                  model.mutable_graph()->mutable_node()->SwapElements(0, 6);
                },
                {"w_1"}},
           Case{"a training graph",
                [](onnx::ModelProto& model) {
                  model.add_training_info()->mutable_algorithm()->set_name("step");
                },
                {"w_1", "w_2", "w_3", "w_4", "w_5", "mine"}},
           Case{"initializers must be inputs",
                [](onnx::ModelProto& model) { model.set_ir_version(3); },
                {"w_1", "w_2", "w_3", "w_4", "w_5", "mine"}},
       }) {
    SCOPED_TRACE(c.name);
    onnx::ModelProto model = model_with_renames();
    c.change(model);
    const onnx::ModelProto made = bundled(model);
    std::set<std::string> stay;
    for_each_node(made.graph(), [&](const onnx::NodeProto& node, const onnx::GraphProto&) {
      const bool renames =
          node.op_type() == "Identity" || node.op_type() == "Cast" || node.op_type() == "Reshape";
      if (renames) stay.insert(node.output(0));
    });
    EXPECT_EQ(stay, std::set<std::string>(c.stay.begin(), c.stay.end()));
    expect_whole();
  }
}

TEST_F(DropRenames, AFunctionIsLeftAlone) {
  onnx::ModelProto model = model_with_renames();
  onnx::FunctionProto& function = *model.add_functions();
  function.set_domain("mine");
  function.set_name("Layer");
  function.add_input("w");
  function.add_output("y");
  onnx::GraphProto nodes;
  add_node(nodes, "Identity", {"w"}, {"same"});
  add_node(nodes, "MatMul", {"same", "same"}, {"y"});
  function.mutable_node()->CopyFrom(nodes.node());
  EXPECT_EQ(bundled(model).functions(0).node_size(), 2);
  expect_whole();
}

TEST_F(DropRenames, GoesBeforeWeightsAreSplit) {
  DedupeOptions options;
  options.split_uses = SplitUses::kByOperator;
  const onnx::ModelProto made = bundled(model_with_renames(), options);
  Names read;
  for (int i = 0; i < 5; ++i) read.push_back(made.graph().node(i).input(1));
  EXPECT_EQ(read, (Names{"w", "w", "w/Gemm", "w", "w"}));
  expect_whole();
}

TEST_F(DropRenames, IsAnOptionOfTheCommands) {
  add("m.onnx", model_with_renames());
  const std::string model = (temp_ / "in/m.onnx").string(), bundle = (temp_ / "bundle").string();
  std::ostringstream out, err;
  ASSERT_EQ(run_cli({"dedupe", model, "-o", bundle}, out, err), 0) << err.str();
  EXPECT_NE(out.str().find("'m': reads weights without 6 nodes that only rename them"),
            std::string::npos)
      << out.str();
  out.str("");
  ASSERT_EQ(run_cli({"append", bundle, "kept=" + model, "--keep-identity", "--json"}, out, err), 0);
  EXPECT_NE(out.str().find("\"renames\":0"), std::string::npos) << out.str();
  ASSERT_EQ(run_cli({"append", bundle, "same=" + model, "--json"}, out, err), 0);
  EXPECT_NE(out.str().find("\"renames\":6"), std::string::npos) << out.str();
  const Manifest manifest = load_manifest(bundle);
  EXPECT_EQ(manifest.models.at(0).hash, manifest.models.at(2).hash);
  EXPECT_NE(manifest.models.at(0).hash, manifest.models.at(1).hash);
  EXPECT_TRUE(verify(bundle, {1}).empty());
  ASSERT_EQ(run_cli({"remove", bundle, "m", "--compact"}, out, err), 0) << err.str();
  EXPECT_TRUE(verify(bundle, {1}).empty());
  for (const RestoredModel& restored : restore(bundle, {}, temp_ / "out", {}))
    EXPECT_TRUE(restored.identical) << restored.name;
  ASSERT_EQ(run_cli({"dedupe", model, "-o", bundle, "--force", "--keep-identity"}, out, err), 0);
  EXPECT_EQ(load_manifest(bundle).models.at(0).hash, manifest.models.at(1).hash);
}

TEST_F(DropRenames, InspectKnowsTheSizeOfTheBundle) {
  bundled(model_with_renames());
  const Inspection inspection = inspect({(temp_ / "in/m.onnx").string()}, {});
  EXPECT_EQ(inspection.predicted_bundle_bytes, report_.bytes_out);
}

TEST_F(DropRenames, DiffFindsTheWeightsAndTasksStayTasks) {
  // Only Identity: a task with other nodes than its base becomes a model of its own.
  onnx::ModelProto model = model_with_renames();
  onnx::GraphProto& graph = *model.mutable_graph();
  for (const int node : {1, 2, 4}) {
    onnx::NodeProto& rename = *graph.mutable_node(node);
    rename.set_op_type("Identity");
    rename.clear_attribute();
    rename.mutable_input()->DeleteSubrange(1, rename.input_size() - 1);
  }
  bundled(model);
  const std::string original = (temp_ / "in/m.onnx").string();
  const std::string bundle = (temp_ / "bundle").string();
  std::ostringstream out, err;
  EXPECT_EQ(run_cli({"diff", original, bundle + "/m.onnx"}, out, err), 1);
  EXPECT_TRUE(out.str().starts_with("same weights ")) << out.str();
  EXPECT_EQ(run_cli({"append", bundle, "task=" + original, "--base=m"}, out, err), 0) << err.str();
  const Manifest manifest = load_manifest(bundle);
  ASSERT_EQ(manifest.tasks.size(), 1u);
  EXPECT_EQ(manifest.tasks[0].model, "");
  for (const RestoredModel& restored : restore(bundle, {}, temp_ / "out", {}))
    EXPECT_TRUE(restored.identical) << restored.name;
}

}  // namespace
}  // namespace wshare

#include "bundle/tie_transposed.h"

#include <sstream>

#include "cli.h"
#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "support/bundle_test.h"
#include "support/tied_models.h"
#include "wshare/append.h"
#include "wshare/remove.h"
#include "wshare/restore.h"
#include "wshare/verify.h"

namespace wshare {
namespace {

namespace fs = std::filesystem;

using test::add_node;
using test::decoder;
using test::encoder;
using test::kTiedBytes;
using test::kWidth;
using test::kWords;
using test::raw;
using test::read_file;
using test::square;
using test::turned;

class TieTransposedOf : public test::BundleTest {
 protected:
  onnx::ModelProto tied(const onnx::ModelProto& model, TieTransposed how = TieTransposed::kFused,
                        bool other_bits = false) {
    add("m.onnx", model);
    DedupeOptions options;
    options.tie_transposed = how;
    options.allow_other_bits = other_bits;
    options.replace = true;
    report_ = dedupe(resolve_inputs({(temp_ / "in").string()}), temp_ / "bundle", options);
    return load("m.onnx");
  }

  void expect_whole() {
    expect_sound();
    fs::remove_all(temp_ / "out");
    for (const RestoredModel& restored : restore(temp_ / "bundle", {}, temp_ / "out", {})) {
      EXPECT_TRUE(restored.identical) << restored.name;
      const std::string file = "/" + restored.name + ".onnx";
      EXPECT_EQ(read_file(temp_.path() / ("out" + file)), read_file(temp_.path() / ("in" + file)));
    }
  }

  std::string why_not() const {
    return report_.transposed.empty() ? "no pair" : report_.transposed.at(0).why_not;
  }

  DedupeReport report_;
};

const onnx::NodeProto& last_node(const onnx::ModelProto& model) {
  return model.graph().node(model.graph().node_size() - 1);
}

int64_t attribute(const onnx::NodeProto& node, const std::string& name) {
  for (const onnx::AttributeProto& each : node.attribute()) {
    if (each.name() == name) return each.i();
  }
  return -1;
}

TEST_F(TieTransposedOf, OneModelReadsItsEmbeddingBothWays) {
  const onnx::ModelProto made = tied(decoder());
  const onnx::NodeProto& node = last_node(made);
  EXPECT_EQ(node.op_type(), "FusedMatMul");
  EXPECT_EQ(node.domain(), "com.microsoft");
  EXPECT_EQ(attribute(node, "transB"), 1);
  EXPECT_EQ(made.opset_import(1).domain(), "com.microsoft");
  const onnx::TensorProto& head = made.graph().initializer(2);
  EXPECT_EQ(head.dims(0), kWords);
  EXPECT_EQ(head.dims(1), kWidth);
  EXPECT_EQ(fs::file_size(temp_ / "bundle/m.bin"), kTiedBytes);
  EXPECT_EQ(why_not(), "");
  const Manifest manifest = load_manifest(temp_ / "bundle");
  EXPECT_EQ(manifest.models.at(0).tensors.at(0).extent, manifest.models.at(0).tensors.at(1).extent);
  EXPECT_FALSE(manifest.models.at(0).tensors.at(0).turned);
  EXPECT_TRUE(manifest.models.at(0).tensors.at(1).turned);
  EXPECT_NE(read_file(temp_ / "bundle/manifest.json").find("\"version\": 6"), std::string::npos);
  expect_whole();
}

TEST_F(TieTransposedOf, ATransposeNodeDoesWithoutAnExtension) {
  const onnx::ModelProto made = tied(decoder(), TieTransposed::kTransposeNode);
  EXPECT_EQ(made.graph().node(0).op_type(), "Transpose");
  EXPECT_EQ(made.graph().node(0).input(0), "head");
  EXPECT_EQ(last_node(made).op_type(), "MatMul");
  EXPECT_EQ(last_node(made).input(1), "head/Transpose");
  EXPECT_EQ(made.opset_import_size(), 1);
  EXPECT_TRUE(load_manifest(temp_ / "bundle").models.at(0).tensors.at(1).folded);
  expect_whole();
}

TEST_F(TieTransposedOf, GemmTakesAWeightEitherWay) {
  for (const int64_t before : {0, 1}) {
    onnx::ModelProto model = test::empty_model();
    onnx::GraphProto& graph = *model.mutable_graph();
    for (const char* name : {"x", "ids"}) graph.add_input()->set_name(name);
    for (const char* name : {"y", "z"}) graph.add_output()->set_name(name);
    // One of the two is read by Gather, and by no Gemm, so the other one is turned.
    *graph.add_initializer() = before == 0 ? test::words("table") : test::words_turned("table");
    *graph.add_initializer() = before == 0 ? test::words_turned("w") : test::words("w");
    add_node(graph, "Gather", {"table", "ids"}, {"z"});
    onnx::NodeProto& gemm = add_node(graph, "Gemm", {"x", "w"}, {"y"});
    if (before == 1) *gemm.add_attribute() = test::integer("transB", 1);
    const onnx::ModelProto made = tied(model, TieTransposed::kTransposeNode);
    EXPECT_EQ(last_node(made).op_type(), "Gemm");
    EXPECT_EQ(attribute(last_node(made), "transB"), 1 - before);
    EXPECT_EQ(made.graph().node_size(), 2);
    EXPECT_EQ(fs::file_size(temp_ / "bundle/m.bin"), kTiedBytes);
    expect_whole();
  }
}

TEST_F(TieTransposedOf, ModelsShareAcross) {
  add("encoder.onnx", encoder());
  onnx::ModelProto head = decoder();
  head.mutable_graph()->mutable_node(0)->set_op_type("Sum");  // reads no embedding
  head.mutable_graph()->mutable_node(0)->clear_input();
  head.mutable_graph()->mutable_node(0)->add_input("ids");
  head.mutable_graph()->mutable_initializer()->DeleteSubrange(0, 1);
  tied(head);
  ASSERT_EQ(report_.transposed.size(), 1u);
  EXPECT_EQ(report_.transposed[0].model, "m");
  EXPECT_EQ(report_.transposed[0].of_model, "encoder");
  EXPECT_EQ(fs::file_size(temp_ / "bundle/shared.bin"), kTiedBytes);
  expect_whole();
}

TEST_F(TieTransposedOf, TheOtherOfTheTwoIsTurnedWhereOnlyThatCanBe) {
  onnx::ModelProto model = decoder();
  model.mutable_graph()->mutable_initializer()->SwapElements(0, 2);  // the head comes first
  tied(model);
  const Manifest manifest = load_manifest(temp_ / "bundle");
  EXPECT_EQ(std::string(manifest.models.at(0).tensors.at(0).name), "head");
  EXPECT_TRUE(manifest.models.at(0).tensors.at(0).turned);
  expect_whole();
}

TEST_F(TieTransposedOf, IsRefusedWithTheReason) {
  struct Case {
    const char* name;
    void (*change)(onnx::ModelProto& model);
    const char* why;  // a part of it
    bool may_be_allowed;
  };
  for (const Case& c : {
           Case{"a bias, which makes a Gemm of MatMul",
                [](onnx::ModelProto& model) {
                  onnx::GraphProto& graph = *model.mutable_graph();
                  graph.mutable_node(2)->set_output(0, "product");
                  *graph.add_initializer() = raw("bias", std::string(4, '\0'), 1, {1});
                  add_node(graph, "Add", {"product", "bias"}, {"out"});
                },
                "gives a product to 'Add'", true},
           Case{"both are looked up",
                [](onnx::ModelProto& model) {
                  add_node(*model.mutable_graph(), "Gather", {"head", "ids"}, {"more"});
                },
                "is read by 'Gather'", false},
           Case{"the first factor",
                [](onnx::ModelProto& model) {
                  model.mutable_graph()->mutable_node(2)->mutable_input()->SwapElements(0, 1);
                },
                "is read by 'MatMul'", false},
           Case{"in a branch",
                [](onnx::ModelProto& model) {
                  onnx::GraphProto& graph = *model.mutable_graph();
                  onnx::NodeProto& node = add_node(graph, "If", {"yes"}, {"more"});
                  onnx::GraphProto& branch = test::add_branch(node, "then_branch");
                  branch.add_initializer()->Swap(graph.mutable_initializer(2));
                  graph.mutable_initializer()->RemoveLast();
                  add_node(branch, "MatMul", {"scaled", "head"}, {"o"});
                  branch.add_output()->set_name("o");
                  graph.mutable_node(2)->set_input(1, "ids");
                },
                "is no weight of the main graph", false},
       }) {
    SCOPED_TRACE(c.name);
    onnx::ModelProto model = decoder();
    c.change(model);
    const int nodes = model.graph().node_size();
    const onnx::ModelProto made = tied(model);
    EXPECT_NE(why_not().find(c.why), std::string::npos) << why_not();
    EXPECT_EQ(made.graph().node_size(), nodes);
    EXPECT_EQ(fs::file_size(temp_ / "bundle/m.bin") > 2 * kTiedBytes - 4096, true);
    expect_whole();
    tied(model, TieTransposed::kFused, true);
    EXPECT_EQ(why_not().empty(), c.may_be_allowed);
    expect_whole();
  }
}

TEST_F(TieTransposedOf, AModelThatIsAppendedTakesWhatTheBundleHas) {
  add("encoder.onnx", encoder());
  make();
  onnx::ModelProto head = decoder();
  head.mutable_graph()->mutable_node(0)->set_input(0, "ids");  // no look-up
  head.mutable_graph()->mutable_initializer()->DeleteSubrange(0, 1);
  add("m.onnx", head);
  AppendOptions options;
  options.tie_transposed = TieTransposed::kFused;
  const AppendReport report = append(temp_ / "bundle", inputs({"m.onnx"}), options);
  ASSERT_EQ(report.transposed.size(), 1u);
  EXPECT_EQ(report.transposed[0].why_not, "");
  EXPECT_FALSE(fs::exists(temp_ / "bundle/m.bin"));
  expect_whole();
  RemoveOptions compact;
  compact.compact = true;
  remove_models(temp_ / "bundle", {"encoder"}, compact);
  fs::remove(temp_ / "in/encoder.onnx");
  EXPECT_EQ(fs::file_size(temp_ / "bundle/m.bin"), kTiedBytes);
  expect_whole();
}

TEST_F(TieTransposedOf, SquareMatricesAndExternalFilesComeBack) {
  onnx::ModelProto model = test::empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  graph.add_input()->set_name("x");
  graph.add_output()->set_name("y");
  const std::string bytes = test::floats(test::kRows * test::kRows, 3);
  const std::string other = turned(bytes, test::kRows, test::kRows);
  test::write_file(temp_ / "in/w.bin", std::string(64, 'h') + bytes + other);
  size_t at = 64;
  for (const char* name : {"a", "b"}) {
    onnx::TensorProto& tensor = *graph.add_initializer();
    tensor = test::external(name, 1, {{"location", "w.bin"}, {"offset", std::to_string(at)}});
    tensor.set_data_type(onnx::TensorProto::FLOAT);
    tensor.clear_dims();
    for (int i = 0; i < 2; ++i) tensor.add_dims(test::kRows);
    at += bytes.size();
  }
  add_node(graph, "MatMul", {"x", "a"}, {"z"});
  add_node(graph, "MatMul", {"z", "b"}, {"o"});
  add_node(graph, "Softmax", {"o"}, {"y"});
  graph.mutable_node(0)->set_op_type("Gemm");
  tied(model);
  EXPECT_EQ(why_not(), "");
  EXPECT_EQ(fs::file_size(temp_ / "bundle/m.bin"), bytes.size());
  expect_whole();
  EXPECT_EQ(read_file(temp_ / "out/w.bin"), read_file(temp_ / "in/w.bin"));
}

TEST_F(TieTransposedOf, BytesDependOnTheModelOnly) {
  tied(decoder());
  const std::string first = read_file(temp_ / "bundle/manifest.json");
  tied(decoder());
  EXPECT_EQ(read_file(temp_ / "bundle/manifest.json"), first);
}

TEST_F(TieTransposedOf, IsAnOptionOfTheCommands) {
  add("m.onnx", decoder());
  const std::string model = (temp_ / "in/m.onnx").string(), bundle = (temp_ / "bundle").string();
  std::ostringstream out, err;
  ASSERT_EQ(run_cli({"dedupe", model, "-o", bundle, "--tie-transposed"}, out, err), 0) << err.str();
  EXPECT_NE(out.str().find("tied: 'head' of 'm' is 'embedding' of 'm' turned, 150.0 KiB less"),
            std::string::npos)
      << out.str();
  out.str("");
  ASSERT_EQ(run_cli({"append", bundle, "n=" + model, "--tie-with-transpose", "--json"}, out, err),
            0);
  EXPECT_NE(out.str().find("\"transposed\":[{\"model\":\"n\",\"tensor\":\"head\""),
            std::string::npos)
      << out.str();
  EXPECT_EQ(run_cli({"dedupe", model, "-o", bundle, "--force", "--tie-transposed",
                     "--split-device-uses=nodes"},
                    out, err),
            2);
  EXPECT_EQ(run_cli({"dedupe", model, "-o", bundle, "--force", "--tie-transposed",
                     "--tie-with-transpose"},
                    out, err),
            2);
  EXPECT_TRUE(verify(bundle, {1}).empty());
}

}  // namespace
}  // namespace wshare

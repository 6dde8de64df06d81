// One model per home of a tensor: same bits from original and bundle, and the large weight, "w" in
// all of them, is handed over where it can be.

#include <onnx/defs/parser.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "parity/parity.h"
#include "run/graphs.h"
#include "support/bundle_test.h"

namespace wshare::test {
namespace {

constexpr int64_t kRows = 256, kColumns = 80;  // 80 KiB of float32: large enough to be handed over
constexpr size_t kCount = kRows * kColumns;

onnx::TensorProto weight(const std::string& name, uint32_t seed) {
  return raw(name, floats(kCount, seed), onnx::TensorProto::FLOAT, {kRows, kColumns});
}

// Every model takes three row numbers and a condition, and gives three rows of 80 columns.
onnx::ModelProto parse(const std::string& body, const std::string& functions = "") {
  const std::string text =
      "<ir_version: 8, opset_import: [\"\" : 17, \"own\" : 1]>\n"
      "g (int64[3] rows, bool yes) => (float[3,80] y) {" +
      body + "}" + functions;
  onnx::ModelProto model;
  const onnx::Common::Status status = onnx::OnnxParser::Parse(model, text.c_str());
  EXPECT_TRUE(status.IsOK()) << status.ErrorMessage();
  return model;
}

onnx::NodeProto& node_of(onnx::GraphProto& graph, const std::string& op) {
  for (onnx::NodeProto& node : *graph.mutable_node()) {
    if (node.op_type() == op) return node;
  }
  throw std::runtime_error("no node " + op);
}

onnx::GraphProto& subgraph(onnx::GraphProto& graph, const std::string& op, const char* attribute) {
  for (onnx::AttributeProto& each : *node_of(graph, op).mutable_attribute()) {
    if (each.name() == attribute) return *each.mutable_g();
  }
  throw std::runtime_error("no graph " + std::string(attribute));
}

onnx::TensorProto& constant_of(onnx::NodeProto& node) {
  onnx::AttributeProto& value = *node.add_attribute();
  value.set_name("value");
  value.set_type(onnx::AttributeProto::TENSOR);
  return *value.mutable_t();
}

class Homes : public BundleTest {
 protected:
  static Values inputs(bool yes) {
    Ort::AllocatorWithDefaultOptions allocator;
    const int64_t three = 3;
    Values values;
    values.push_back(Ort::Value::CreateTensor<int64_t>(allocator, &three, 1));
    const std::array<int64_t, 3> rows = {kRows - 1, 0, 77};
    std::memcpy(values[0].GetTensorMutableRawData(), rows.data(), sizeof rows);
    values.push_back(Ort::Value::CreateTensor<bool>(allocator, nullptr, 0));
    *values[1].GetTensorMutableData<bool>() = yes;
    return values;
  }

  // Expects parity of the model "a", and that a session takes exactly `handed_over` from the maps.
  void expect_home(const std::vector<std::string>& handed_over) {
    for (const bool yes : {true, false}) {
      expect_parity(temp_ / "in/a.onnx", temp_ / "bundle", "a", inputs(yes));
    }
    EXPECT_EQ(handed("a"), handed_over);
  }

  std::vector<std::string> handed(const std::string& model) {
    Bundle bundle = Bundle::open(temp_ / "bundle");
    const Session session = bundle.session(model);
    std::vector<std::string> names = bundle.report().models.at(0).shared_tensors;
    std::sort(names.begin(), names.end());
    return names;
  }

  void bundle(const onnx::ModelProto& model) {
    add("a.onnx", model);
    make();
  }
};

TEST_F(Homes, Initializer) {
  onnx::ModelProto model = parse("y = Gather(w, rows)");
  *model.mutable_graph()->add_initializer() = weight("w", 1);
  bundle(model);
  expect_home({"w"});
}

TEST_F(Homes, ConstantNode) {
  onnx::ModelProto model = parse("w = Constant() y = Gather(w, rows)");
  constant_of(node_of(*model.mutable_graph(), "Constant")) = weight("other name", 1);
  bundle(model);
  expect_home({"w"});
}

// Up to IR 3 an initializer must be an input, so the node stays and ONNX Runtime maps its value.
TEST_F(Homes, ConstantNodeOfIr3) {
  onnx::ModelProto model = parse("w = Constant() y = Gather(w, rows)");
  model.set_ir_version(3);
  constant_of(node_of(*model.mutable_graph(), "Constant")) = weight("other name", 1);
  bundle(model);
  EXPECT_EQ(load("a.onnx").graph().node(0).attribute(0).t().data_location(),
            onnx::TensorProto::EXTERNAL);
  expect_home({});
}

constexpr char kIf[] =
    "y = If (yes) <then_branch = t () => (float[3,80] ty) { ty = Gather(w, rows) },"
    "              else_branch = e () => (float[3,80] ey) { ey = Gather(v, rows) }>";

TEST_F(Homes, BothBranchesOfAnIf) {
  onnx::ModelProto model = parse(kIf);
  *subgraph(*model.mutable_graph(), "If", "then_branch").add_initializer() = weight("w", 1);
  *subgraph(*model.mutable_graph(), "If", "else_branch").add_initializer() = weight("v", 2);
  bundle(model);
  expect_home({"v", "w"});
}

// AddInitializer would replace both.
TEST_F(Homes, OneNameInBothBranches) {
  onnx::ModelProto model = parse(
      "y = If (yes) <then_branch = t () => (float[3,80] ty) { ty = Gather(w, rows) },"
      "              else_branch = e () => (float[3,80] ey) { ey = Gather(w, rows) }>");
  *subgraph(*model.mutable_graph(), "If", "then_branch").add_initializer() = weight("w", 1);
  *subgraph(*model.mutable_graph(), "If", "else_branch").add_initializer() = weight("w", 2);
  bundle(model);
  expect_home({});
}

TEST_F(Homes, ConstantNodeInABranch) {
  onnx::ModelProto model = parse(
      "y = If (yes) <then_branch = t () => (float[3,80] ty) { w = Constant() ty = Gather(w, rows)},"
      "              else_branch = e () => (float[3,80] ey) { ey = Gather(v, rows) }>");
  onnx::GraphProto& graph = *model.mutable_graph();
  constant_of(node_of(subgraph(graph, "If", "then_branch"), "Constant")) = weight("w", 1);
  *graph.add_initializer() = weight("v", 2);
  bundle(model);
  expect_home({"v", "w"});
}

constexpr char kLoop[] =
    "n = Constant <value_int = 3> () start = ConstantOfShape (size)"
    "y = Loop (n, , start) <body = b (int64 i, bool c, float[3,80] a) => (bool d, float[3,80] z)"
    "{ d = Identity(c) ";

onnx::TensorProto size_of_output() {
  return raw("size", std::string("\3\0\0\0\0\0\0\0\x50\0\0\0\0\0\0\0", 16),
             onnx::TensorProto::INT64, {2});
}

TEST_F(Homes, BodyOfALoop) {
  onnx::ModelProto model = parse(kLoop + std::string("r = Gather(w, rows) z = Add(a, r) }>"));
  onnx::GraphProto& graph = *model.mutable_graph();
  *graph.add_initializer() = size_of_output();
  *subgraph(graph, "Loop", "body").add_initializer() = weight("w", 1);
  bundle(model);
  expect_home({"w"});
}

TEST_F(Homes, IfInALoop) {
  onnx::ModelProto model = parse(
      kLoop +
      std::string("r = If (yes) <then_branch = t () => (float[3,80] ty) { ty = Gather(w, rows) },"
                  "  else_branch = e () => (float[3,80] ey) { ey = Gather(v, rows) }>"
                  "z = Add(a, r) }>"));
  onnx::GraphProto& graph = *model.mutable_graph();
  *graph.add_initializer() = size_of_output();
  onnx::GraphProto& body = subgraph(graph, "Loop", "body");
  *subgraph(body, "If", "then_branch").add_initializer() = weight("w", 1);
  *subgraph(body, "If", "else_branch").add_initializer() = weight("v", 2);
  bundle(model);
  expect_home({"v", "w"});
}

TEST_F(Homes, BodyOfAScan) {
  onnx::ModelProto model = parse(
      "least = ReduceMin <keepdims = 0> (rows)"
      "last, y = Scan (least, rows) <num_scan_inputs = 1, body = b (int64 s, int64 row) =>"
      " (int64 t, float[80] z) { t = Identity(s) z = Gather(w, row) }>");
  *subgraph(*model.mutable_graph(), "Scan", "body").add_initializer() = weight("w", 1);
  bundle(model);
  expect_home({"w"});
}

// Each call of a function has names of its own, so ONNX Runtime maps the weight itself.
TEST_F(Homes, ConstantInAFunction) {
  onnx::ModelProto model =
      parse("a = own.Rows(rows) b = own.Rows(rows) y = Add(a, b)",
            "<domain: \"own\", opset_import: [\"\" : 17]> Rows (r) => (z) { z = Gather(w, r) }");
  onnx::FunctionProto& function = *model.mutable_functions(0);
  *function.add_node() = function.node(0);
  function.mutable_node(0)->Clear();
  function.mutable_node(0)->set_op_type("Constant");
  function.mutable_node(0)->add_output("w");
  constant_of(*function.mutable_node(0)) = weight("", 1);
  bundle(model);
  EXPECT_EQ(load("a.onnx").functions(0).node(0).attribute(0).t().raw_data(), "");
  expect_home({});
}

TEST_F(Homes, OverridableInitializer) {
  onnx::ModelProto model = parse("y = Gather(w, rows)");
  onnx::GraphProto& graph = *model.mutable_graph();
  *graph.add_initializer() = weight("w", 1);
  onnx::ValueInfoProto& input = *graph.add_input();
  input = graph.output(0);
  input.set_name("w");
  input.mutable_type()->mutable_tensor_type()->mutable_shape()->mutable_dim(0)->set_dim_value(
      kRows);
  bundle(model);
  expect_home({"w"});

  Bundle opened = Bundle::open(temp_ / "bundle");
  Session session = opened.session("a");
  Ort::Session plain(environment(), (temp_ / "in/a.onnx").c_str(), plain_options());
  const std::string other = floats(kCount, 2);
  const auto run_with_other_weight = [&](Ort::Session& any) {
    Values values = inputs(true);
    const std::vector<int64_t> shape = {kRows, kColumns};
    Ort::AllocatorWithDefaultOptions allocator;
    values.push_back(Ort::Value::CreateTensor<float>(allocator, shape.data(), shape.size()));
    std::memcpy(values.back().GetTensorMutableRawData(), other.data(), other.size());
    const std::array<const char*, 3> in = {"rows", "yes", "w"};
    const char* out = "y";
    return text_of(
        any.Run(Ort::RunOptions{nullptr}, in.data(), values.data(), in.size(), &out, 1).at(0));
  };
  EXPECT_TRUE(run_with_other_weight(*session) == run_with_other_weight(plain));
  EXPECT_FALSE(run_with_other_weight(*session) == outputs_of(*session, inputs(true)).at(0));
}

TEST_F(Homes, ExternalData) {
  onnx::ModelProto model = parse("y = Gather(w, rows)");
  onnx::TensorProto& w = *model.mutable_graph()->add_initializer();
  w = external("w", kRows, {{"location", "w.data"}, {"offset", "4096"}});
  w.set_data_type(onnx::TensorProto::FLOAT);
  w.add_dims(kColumns);
  add("w.data", std::string(4096, '\0') + floats(kCount, 1));
  bundle(model);
  expect_home({"w"});
}

TEST_F(Homes, TypedFields) {
  onnx::ModelProto model = parse(
      "r = Gather(w, rows) s = Gather(v, rows) c = Cast <to = 1> (s) "
      "y = Add(r, c)");
  onnx::GraphProto& graph = *model.mutable_graph();
  onnx::TensorProto& w = *graph.add_initializer();
  w = weight("w", 1);
  for (size_t i = 0; i < kCount; ++i) w.add_float_data(static_cast<float>(i) / 7);
  w.clear_raw_data();
  onnx::TensorProto& v = *graph.add_initializer();
  v = weight("v", 1);
  v.set_data_type(onnx::TensorProto::INT64);
  for (size_t i = 0; i < kCount; ++i) v.add_int64_data(static_cast<int64_t>(i) - 5000);
  v.clear_raw_data();
  bundle(model);
  expect_home({"v", "w"});
}

TEST_F(Homes, SharedUnderOtherNamesShapesAndTypes) {
  onnx::ModelProto model = parse("y = Gather(w, rows)");
  *model.mutable_graph()->add_initializer() = weight("w", 1);
  add("a.onnx", model);
  onnx::ModelProto other =
      parse("r = Gather(v, rows) c = Cast <to = 1> (r) y = Concat <axis = 1> (c, c)");
  *other.mutable_graph()->add_initializer() =
      raw("v", floats(kCount, 1), onnx::TensorProto::INT32, {kRows * 2, kColumns / 2});
  add("b.onnx", other);
  const DedupeReport report = make();
  EXPECT_EQ(report.distinct_tensors, 1u);
  expect_home({"w"});
  for (const bool yes : {true, false}) {
    expect_parity(temp_ / "in/b.onnx", temp_ / "bundle", "b", inputs(yes));
  }
  EXPECT_EQ(handed("b"), std::vector<std::string>{"v"});
}

}  // namespace
}  // namespace wshare::test

// Tensors inside model-local functions: what moves into blobs, in place, and what stays.

#include "support/bundle_test.h"
#include "wshare/restore.h"

namespace wshare {
namespace {

using test::add_constant;
using test::add_node;
using test::add_used;
using test::files_in;
using test::noise;
using test::raw;

onnx::TensorProto shape_of_two(const std::string& name) {
  return raw(name, std::string("\2\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0", 16), onnx::TensorProto::INT64,
             {2});
}

// A Constant node of `function` whose tensor has a name of its own.
void add_value(onnx::FunctionProto& function, const std::string& output, onnx::TensorProto tensor) {
  onnx::NodeProto& node = *function.add_node();
  node.set_op_type("Constant");
  node.add_output(output);
  onnx::AttributeProto& value = *node.add_attribute();
  value.set_name("value");
  value.set_type(onnx::AttributeProto::TENSOR);
  tensor.set_name("unlike the output");
  *value.mutable_t() = std::move(tensor);
}

void add_call(onnx::FunctionProto& function, const std::string& op,
              const std::vector<std::string>& inputs, const std::string& output) {
  onnx::NodeProto& node = *function.add_node();
  node.set_op_type(op);
  if (op == "Inner") node.set_domain("d");
  for (const std::string& input : inputs) node.add_input(input);
  node.add_output(output);
}

onnx::FunctionProto& add_function(onnx::ModelProto& model, const std::string& name,
                                  const std::vector<std::string>& inputs) {
  onnx::FunctionProto& function = *model.add_functions();
  function.set_name(name);
  function.set_domain("d");
  for (const std::string& input : inputs) function.add_input(input);
  function.add_output("y");
  return function;
}

class Functions : public test::BundleTest {
 protected:
  void expect_whole() {
    expect_sound();
    restore(temp_ / "bundle", {}, temp_ / "back", {});
    EXPECT_EQ(files_in(temp_ / "back"), files_in(temp_ / "in"));
  }
};

TEST_F(Functions, KeepTheirConstantNodesWhoseValuesReferToTheBlob) {
  onnx::ModelProto model = test::model_of({raw("outside", noise(5000, 1))});
  onnx::FunctionProto& function = add_function(model, "F", {"x"});
  add_value(function, "inside", raw("", noise(5000, 1)));
  add_call(function, "Add", {"x", "inside"}, "y");
  add("a.onnx", model);
  const DedupeReport report = make();
  EXPECT_EQ(report.tensors, 2u);
  EXPECT_EQ(report.distinct_tensors, 1u);
  const onnx::NodeProto node = load("a.onnx").functions(0).node(0);
  ASSERT_EQ(node.op_type(), "Constant");
  const onnx::TensorProto& value = node.attribute(0).t();
  EXPECT_EQ(value.data_location(), onnx::TensorProto::EXTERNAL);
  EXPECT_EQ(value.name(), "inside");
  EXPECT_FALSE(value.has_raw_data());
  EXPECT_EQ(value.external_data(0).value(), "a.bin");
  expect_whole();
}

TEST_F(Functions, MoveTheInitializersOfTheirSubgraphs) {
  onnx::ModelProto model = test::empty_model();
  onnx::FunctionProto& function = add_function(model, "F", {"x"});
  add_call(function, "If", {"x"}, "y");
  onnx::AttributeProto& branch = *function.mutable_node(0)->add_attribute();
  branch.set_name("then_branch");
  branch.set_type(onnx::AttributeProto::GRAPH);
  add_used(*branch.mutable_g(), raw("deep", noise(5000, 1)));
  add_constant(*branch.mutable_g(), raw("deep constant", noise(5000, 2)));
  add("a.onnx", model);
  EXPECT_EQ(make().tensors, 2u);
  const onnx::GraphProto made = load("a.onnx").functions(0).node(0).attribute(0).g();
  EXPECT_EQ(made.initializer(0).data_location(), onnx::TensorProto::EXTERNAL);
  EXPECT_EQ(made.node(1).attribute(0).t().data_location(), onnx::TensorProto::EXTERNAL);
  expect_whole();
}

TEST_F(Functions, KeepWhatShapeInferenceReads) {
  onnx::ModelProto model = test::empty_model();
  onnx::FunctionProto& outer = add_function(model, "Outer", {"x", "outer_shape"});
  add_call(outer, "Inner", {"x", "outer_shape"}, "y");
  onnx::FunctionProto& inner = add_function(model, "Inner", {"x", "inner_shape"});
  add_value(inner, "own_shape", shape_of_two(""));
  add_call(inner, "Reshape", {"x", "own_shape"}, "z");
  add_call(inner, "Reshape", {"z", "inner_shape"}, "y");
  onnx::GraphProto& graph = *model.mutable_graph();
  *graph.add_initializer() = shape_of_two("given_shape");
  *graph.add_initializer() = raw("plain", noise(16, 1));
  add_node(graph, "Outer", {"plain", "given_shape"}, {"out"}).set_domain("d");
  add("a.onnx", model);
  const DedupeReport report = make(1);
  EXPECT_EQ(reason(report, "own_shape"), "shape-inference");
  EXPECT_EQ(reason(report, "given_shape"), "shape-inference");
  EXPECT_EQ(reason(report, "plain"), "");
  expect_whole();
}

TEST_F(Functions, KeepOutputsAndTensorsOfOtherAttributes) {
  onnx::ModelProto model = test::empty_model();
  onnx::FunctionProto& function = add_function(model, "F", {"x"});
  add_value(function, "y", raw("", noise(5000, 1)));
  add_call(function, "LabelEncoder", {"x"}, "z");
  onnx::AttributeProto& keys = *function.mutable_node(1)->add_attribute();
  keys.set_name("keys_tensor");
  keys.set_type(onnx::AttributeProto::TENSOR);
  *keys.mutable_t() = raw("", noise(5000, 2));
  add("a.onnx", model);
  const DedupeReport report = make();
  EXPECT_EQ(reason(report, "y"), "graph-output");
  EXPECT_EQ(reason(report, "keys_tensor"), "attribute");
  EXPECT_EQ(load("a.onnx").functions(0).node(1).attribute(0).t().raw_data(), noise(5000, 2));
  expect_whole();
}

// FunctionProto.attribute_proto (field 11), which the protobuf classes of ONNX 1.12 do not know.
TEST_F(Functions, KeepTheDefaultsOfTheirAttributes) {
  onnx::AttributeProto weight;
  weight.set_name("weight");
  weight.set_type(onnx::AttributeProto::TENSOR);
  *weight.mutable_t() = raw("w", noise(5000, 1));
  const std::string function = test::wire_field(11, weight.SerializeAsString());
  add("a.onnx", test::bytes_of({raw("used", noise(5000, 2))}) + test::wire_field(25, function));
  make();
  EXPECT_NE(test::read_file(temp_ / "bundle/a.onnx").find(noise(5000, 1)), std::string::npos);
  expect_whole();
}

}  // namespace
}  // namespace wshare

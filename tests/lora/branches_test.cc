#include "lora/branches.h"

#include <onnx/checker.h>

#include <set>

#include "lora/layers.h"
#include "lora/remove_branches.h"
#include "support/bundle_test.h"

namespace wshare {
namespace {

using namespace test;

std::string reason(onnx::ModelProto& model, const std::string& name = "w",
                   const std::string& scope = "") {
  const FoundSite found = SiteFinder(model).find(scope, name);
  EXPECT_NE(found.site.has_value(), !found.reason.empty());
  return found.reason;
}

class BranchForms : public testing::TestWithParam<Form> {};

TEST_P(BranchForms, AreFoundWithTheirShapes) {
  const Form& form = GetParam();
  onnx::ModelProto model = model_of(form, values_of(form.shape, 1));
  const FoundSite found = SiteFinder(model).find(form.scope, "w");
  ASSERT_TRUE(found.site) << found.reason;
  EXPECT_EQ(found.site->name, "w");
  EXPECT_EQ(found.site->scope, form.scope);
  EXPECT_EQ(found.layers.size(), form.sites);
  EXPECT_EQ(found.site->layout == FactorLayout::kOutIn, form.transposed);
  EXPECT_EQ(found.site->a_shape, form.a);
  EXPECT_EQ(found.site->b_shape, form.b);
  EXPECT_EQ(found.site->dtype, form.branch_type());
}

std::set<std::string> outputs_of(const onnx::GraphProto& graph) {
  std::set<std::string> names;
  for (const onnx::NodeProto& node : graph.node()) {
    names.insert(node.output().begin(), node.output().end());
  }
  return names;
}

TEST_P(BranchForms, LeaveAValidModelWithAllItsNames) {
  const Form& form = GetParam();
  const onnx::ModelProto before = model_of(form, values_of(form.shape, 1));
  onnx::ModelProto model = before;
  const Branch branch = branch_of(model, "w", form.scope);
  add_branches(model, {branch});
  // The checker wants some shape for y. It also looks at the order of nodes.
  model.mutable_graph()->mutable_output(0)->mutable_type()->mutable_tensor_type()->mutable_shape();
  EXPECT_NO_THROW(onnx::checker::check_model(model));

  const std::set<std::string> names = outputs_of(model.graph());
  for (const std::string& name : outputs_of(before.graph())) EXPECT_EQ(names.count(name), 1u);
  const int inputs = before.graph().input_size();
  ASSERT_EQ(model.graph().input_size(), inputs + 2);
  EXPECT_EQ(model.graph().input(inputs).name(), "w.lora_A.weight");
  EXPECT_EQ(model.graph().input(inputs + 1).name(), "w.lora_B.weight");
  int index = 0;
  for (const Shape& shape : {form.a, form.b}) {
    const onnx::TypeProto::Tensor& type =
        model.graph().input(inputs + index++).type().tensor_type();
    EXPECT_EQ(type.elem_type(), form.branch_type());
    for (int i = 0; i < type.shape().dim_size(); ++i) {
      const auto& dim = type.shape().dim(i);
      const int64_t expected = shape[static_cast<size_t>(i)];
      EXPECT_EQ(dim.has_dim_param() ? -1 : dim.dim_value(), expected);
      EXPECT_EQ(dim.dim_param(), expected < 0 ? "w.lora_r" : "");
    }
  }
}

TEST_P(BranchForms, LeaveNothingBehindWhenTheyAreRemoved) {
  const Form& form = GetParam();
  const onnx::ModelProto before = model_of(form, values_of(form.shape, 1));
  onnx::ModelProto model = before;
  const Branch branch = branch_of(model, "w", form.scope);
  add_branches(model, {branch});
  remove_branches(model, {branch.site.names.a, branch.site.names.b}, {});
  // A bias whose operands changed places keeps its new ones, which is the same sum.
  const auto text = [](onnx::ModelProto proto) {
    for (onnx::NodeProto& node : *proto.mutable_graph()->mutable_node()) {
      if (node.op_type() == "Add" && node.input_size() == 2 && node.input(1) < node.input(0))
        node.mutable_input()->SwapElements(0, 1);
    }
    return proto.DebugString();
  };
  EXPECT_EQ(text(model), text(before));
}

INSTANTIATE_TEST_SUITE_P(Forms, BranchForms, testing::ValuesIn(forms()),
                         [](const testing::TestParamInfo<Form>& param) {
                           std::string name = param.param.name;
                           std::erase_if(name, [](char c) { return std::isalnum(c) == 0; });
                           return name;
                         });

TEST(SiteFinder, SaysWhyAWeightCanHaveNone) {
  struct Case {
    const char* body;
    Shape shape;
    const char* reason;
  };
  for (const Case& c : {
           Case{"y = MatMul (w, x)", {4, 4}, "is read by MatMul as operand 0"},
           Case{"y = MatMul (x, w)",
                {2, 4, 4},
                "is read by MatMul as operand 1 and has no two "
                "dimensions"},
           Case{"z = MatMul (x, w) y = Add (z, w)", {4, 4}, "is read by Add as operand 1"},
           Case{"v = Identity (w) y = Mul (x, v)", {4, 4}, "is read by Mul as operand 1"},
           Case{"y = Conv <group = 2> (x, w)", {4, 2, 3, 3}, "Conv has 2 groups"},
           Case{"y = Conv (x, w)", {4, 2}, "is read by Conv and has no kernel"},
           Case{"y = Gather <axis = 1> (w, x)", {4, 4}, "Gather gathers along its columns"},
           Case{"y = Gather (w, x)", {4, 4, 4}, "is gathered from and has no two dimensions"},
           Case{"t = Transpose (w) y = MatMul (x, t)",
                {4, 4, 4},
                "is transposed and has no two dimensions"},
           Case{"i = Cast <to = 7> (w) y = MatMul (x, i)", {4, 4}, "Cast makes it no float type"},
           Case{"d = Cast <to = 11> (w) z = MatMul (x, w) y = MatMul (z, d)",
                {4, 4},
                "is read with two element types"},
           Case{"y = Identity (w)", {4, 4}, "is an output of a graph"},
           Case{"v = Identity (w) y = Neg (x)", {4, 4}, "is read by no layer"},
           Case{"y = MatMul (x, w)", {4, 0}, "has no elements"},
           Case{"w = Neg (x) y = MatMul (x, w)", {4, 4}, "has a name that is defined twice"},
       }) {
    SCOPED_TRACE(c.body);
    onnx::ModelProto model = parse_model("float[n,4] x", c.body);
    *model.mutable_graph()->add_initializer() = raw("w", "", onnx::TensorProto::FLOAT, c.shape);
    EXPECT_EQ(reason(model), c.reason);
  }
}

onnx::ModelProto plain_model(int opset = 17, const char* body = "y = MatMul (x, w)") {
  onnx::ModelProto model = parse_model("float[n,4] x", body, opset);
  *model.mutable_graph()->add_initializer() = raw("w", "", onnx::TensorProto::FLOAT, {4, 4});
  return model;
}

TEST(SiteFinder, RefusesWhatTheModelForbids) {
  onnx::ModelProto model = plain_model();
  model.set_ir_version(3);
  EXPECT_EQ(reason(model), "the model has IR version 3, a branch needs 4");
  model = plain_model(6);
  EXPECT_EQ(reason(model), "the model has opset 6, a branch needs 7");
  model = plain_model(10, "y = Gemm <alpha = 0.5> (x, w, w2)");
  EXPECT_EQ(reason(model), "Gemm has alpha or transA, which needs opset 11, not 10");
  model = plain_model(10, "y = Gemm (x, w, w2)");
  EXPECT_EQ(reason(model), "");
  model = plain_model();
  model.mutable_graph()->add_input()->set_name("w");
  EXPECT_EQ(reason(model), "can be overridden: it is a graph input, too");
  model = plain_model();
  model.mutable_graph()->mutable_initializer(0)->set_data_type(onnx::TensorProto::INT8);
  EXPECT_EQ(reason(model), "has no float type");
  model = plain_model();
  model.mutable_graph()->mutable_node(0)->set_domain("com.example");
  EXPECT_EQ(reason(model), "is read by com.example:MatMul");
  model = plain_model();
  EXPECT_EQ(reason(model, "x"), "can be overridden: it is a graph input, too");
  EXPECT_EQ(reason(model, "y"), "is no initializer and no Constant");
  EXPECT_EQ(reason(model, "w", "If#0.then_branch"), "the model has no scope 'If#0.then_branch'");
  EXPECT_EQ(reason(model, "w", "function:own:f"), "stands in a model-local function");
}

TEST(SiteFinder, EndsWhereIdentitiesGoInACircle) {
  onnx::ModelProto model = plain_model(17, "v = Identity (w) y = MatMul (x, v)");
  *model.mutable_graph()->mutable_node(0)->mutable_input(0) = "v";
  add_node(*model.mutable_graph(), "Identity", {"w"}, {"v"});
  EXPECT_EQ(reason(model), "");
}

TEST(SiteFinder, TellsNamesOfOtherScopesApart) {
  onnx::ModelProto model = parse_model(
      "float[n,4] x, bool c",
      "z = MatMul (x, w) y = If (c) <then_branch = t () => (float[n,4] a)"
      " { w = Neg (x) a = Mul (w, w) }, else_branch = e () => (float[n,4] b) { b = Neg (x) }>");
  *model.mutable_graph()->add_initializer() = raw("w", "", onnx::TensorProto::FLOAT, {4, 4});
  const FoundSite found = SiteFinder(model).find("", "w");
  ASSERT_TRUE(found.site) << found.reason;
  EXPECT_EQ(found.layers.size(), 1u);
}

TEST(AddBranches, PutsThemBehindTheLayer) {
  onnx::ModelProto model = plain_model(17, "h = MatMul (x, w) y = Neg (h)");
  add_branches(model, {branch_of(model, "w")});
  EXPECT_EQ(
      texts_of(model.graph()),
      (std::vector<std::string>{"h_before_lora = MatMul x w", "h_lora_A = MatMul x w.lora_A.weight",
                                "h_lora_B = MatMul h_lora_A w.lora_B.weight",
                                "h = Add h_before_lora h_lora_B", "y = Neg h"}));
}

TEST(AddBranches, PutsThemBehindTheBiasOfAMatrix) {
  onnx::ModelProto model = plain_model(17, "h = MatMul (x, w) y = Add (c, h)");
  *model.mutable_graph()->add_initializer() = raw("c", "", onnx::TensorProto::FLOAT, {4});
  add_branches(model, {branch_of(model, "w")});
  const std::vector<std::string> texts = texts_of(model.graph());
  EXPECT_EQ(texts[1], "y_before_lora = Add c h");
  EXPECT_EQ(texts[4], "y = Add y_before_lora y_lora_B");
}

TEST(AddBranches, KeepTheOrderWhereTwoLayersJoin) {
  onnx::ModelProto model =
      parse_model("float[n,4] x", "h = MatMul (x, w) k = MatMul (x, v) y = Add (h, k)");
  std::vector<Branch> branches;
  for (const char* name : {"w", "v"}) {
    *model.mutable_graph()->add_initializer() = raw(name, "", onnx::TensorProto::FLOAT, {4, 4});
    branches.push_back(branch_of(model, name));
  }
  add_branches(model, branches);
  EXPECT_EQ(texts_of(model.graph()).back(), "y = Add y_before_lora y_lora_B");
  model.mutable_graph()->mutable_output(0)->mutable_type()->mutable_tensor_type()->mutable_shape();
  for (onnx::TensorProto& tensor : *model.mutable_graph()->mutable_initializer()) {
    if (tensor.dims(0) == 4 && tensor.dims(1) == 4) tensor.set_raw_data(std::string(64, 'x'));
  }
  EXPECT_NO_THROW(onnx::checker::check_model(model));
}

TEST(AddBranches, ExchangeABiasBeforeANormalisation) {
  onnx::ModelProto model =
      parse_model("float[b,s,4] x, float[b,s,4] r",
                  "h = MatMul (x, w) k = Add (c, h) m = Add (k, r) y = LayerNormalization (m, c)");
  *model.mutable_graph()->add_initializer() = raw("w", "", onnx::TensorProto::FLOAT, {4, 4});
  *model.mutable_graph()->add_initializer() = raw("c", "", onnx::TensorProto::FLOAT, {4});
  add_branches(model, {branch_of(model, "w")});
  EXPECT_EQ(texts_of(model.graph())[4], "k = Add h c");
}

TEST(AddBranches, TakesNoNameThatIsUsedAnywhere) {
  onnx::ModelProto model =
      parse_model("float[n,4] x, bool c",
                  "h = MatMul (x, w) y = If (c) <then_branch = t () => (float[n,4] h_before_lora)"
                  " { h_before_lora = Neg (h) }, else_branch = e () => (float[n,4] h_lora_A)"
                  " { h_lora_A = Tanh (h) }>");
  *model.mutable_graph()->add_initializer() = raw("w", "", onnx::TensorProto::FLOAT, {4, 4});
  Branch branch = branch_of(model, "w");
  add_branches(model, {branch});
  const std::vector<std::string> texts = texts_of(model.graph());
  EXPECT_EQ(texts[0], "h_before_lora_2 = MatMul x w");
  EXPECT_EQ(texts[1], "h_lora_A_2 = MatMul x w.lora_A.weight");

  onnx::ModelProto other = plain_model();
  branch = branch_of(other, "w");
  branch.site.names.b = "x";
  std::string message;
  EXPECT_EQ(code_of([&] { add_branches(other, {branch}); }, &message), 4);
  EXPECT_EQ(message, "'x': the model has this name already");
}

TEST(AddBranches, CopiesConstantsAsTheyStand) {
  onnx::ModelProto model = plain_model();
  Branch branch = branch_of(model, "w");
  const onnx::TensorProto a = external("some", 8, {{"location", "t.bin"}, {"offset", "64"}});
  const onnx::TensorProto b = raw("other", "12345678", onnx::TensorProto::FLOAT, {1, 2});
  branch.a = &a;
  branch.b = &b;
  add_branches(model, {branch});
  EXPECT_EQ(model.graph().input_size(), 1);
  ASSERT_EQ(model.graph().initializer_size(), 3);
  onnx::TensorProto expected = a;
  expected.set_name("w.lora_A.weight");
  EXPECT_EQ(model.graph().initializer(1).SerializeAsString(), expected.SerializeAsString());
  EXPECT_EQ(model.graph().initializer(2).raw_data(), "12345678");
  EXPECT_EQ(model.graph().initializer(2).name(), "w.lora_B.weight");
}

TEST(AddBranches, RefusesInputsForFloat16Conv) {
  onnx::ModelProto model = parse_model("float16[n,4,h] x", "y = Conv (x, w)");
  *model.mutable_graph()->add_initializer() = raw("w", "", onnx::TensorProto::FLOAT16, {4, 4, 3});
  Branch branch = branch_of(model, "w");
  EXPECT_EQ(code_of([&] { add_branches(model, {branch}); }), 5);
  branch.a = branch.b = &model.graph().initializer(0);
  EXPECT_EQ(code_of([&] { add_branches(model, {branch}); }), 0);
}

TEST(AddBranches, GivesTheSameBytesAgain) {
  const Form& form = forms().back();
  onnx::ModelProto one = model_of(form, values_of(form.shape, 1)), two = one;
  add_branches(one, {branch_of(one, "w", form.scope)});
  add_branches(two, {branch_of(two, "w", form.scope)});
  EXPECT_EQ(one.SerializeAsString(), two.SerializeAsString());
}

}  // namespace
}  // namespace wshare

#pragma once

#include <gtest/gtest.h>
#include <onnx/defs/parser.h>

#include <string>
#include <utility>
#include <vector>

#include "compare/weights.h"
#include "lora/branches.h"
#include "lora/module_names.h"
#include "lora/site_layers.h"
#include "support/models.h"

namespace wshare::test {

using Shape = std::vector<int64_t>;

// One way in which a graph reads a weight, "w".
struct Form {
  const char* name;
  const char* inputs;  // of the model
  const char* body;    // in ONNX's text form; gives y
  Shape shape;         // of w
  Shape a, b;          // expected shapes of the branch, -1 for the rank
  size_t sites = 1;
  bool transposed = false;              // A · B is the transpose of w
  std::vector<Shape> constants = {};    // more initializers: c0, c1, ...
  int type = onnx::TensorProto::FLOAT;  // of w and the constants
  int layer_type = 0;                   // of A and B, where it is not `type`
  const char* scope = "";               // of w
  bool in_constant_node = false;

  int branch_type() const { return layer_type == 0 ? type : layer_type; }
};

inline void PrintTo(const Form& form, std::ostream* out) { *out << form.name; }

inline const std::vector<Form>& forms() {
  static const std::vector<Form> all = {
      {"MatMul", "float[n,24] x", "y0 = MatMul (x, w) y = Relu (y0)", {24, 32}, {24, -1}, {-1, 32}},
      {"MatMul, bias",
       "float[n,24] x",
       "y0 = MatMul (x, w) y1 = Add (y0, c0) y = Tanh (y1)",
       {24, 32},
       {24, -1},
       {-1, 32},
       1,
       false,
       {{32}}},
      {"MatMul, fixed shape, bias, norm",
       "float[2,7,24] x, float[2,7,32] r",
       "y0 = MatMul (x, w) y1 = Add (c0, y0) y2 = Add (y1, r)"
       " y = LayerNormalization <axis = -1> (y2, c1, c2)",
       {24, 32},
       {24, -1},
       {-1, 32},
       1,
       false,
       {{32}, {32}, {32}}},
      {"MatMul, fixed shape, hidden bias",
       "float[2,7,24] x",
       "c = Identity (c0) y0 = MatMul (x, w) y1 = Add (c, y0) y = Relu (y1)",
       {24, 32},
       {24, -1},
       {-1, 32},
       1,
       false,
       {{32}}},
      {"MatMul, bias, gelu",
       "float[b,s,24] x",
       "y0 = MatMul (x, w) y1 = Add (c0, y0) root = Constant <value_float = 1.4142135> ()"
       " one = Constant <value_float = 1.0> () half = Constant <value_float = 0.5> ()"
       " g1 = Div (y1, root) g2 = Erf (g1) g3 = Add (g2, one) g4 = Mul (y1, g3) y = Mul (g4, half)",
       {24, 32},
       {24, -1},
       {-1, 32},
       1,
       false,
       {{32}}},
      {"MatMul, bias first, norm",
       "float[b,s,24] x, float[b,s,32] r",
       "y0 = MatMul (x, w) y1 = Add (c0, y0) y2 = Add (y1, r)"
       " y = LayerNormalization <axis = -1> (y2, c1, c2)",
       {24, 32},
       {24, -1},
       {-1, 32},
       1,
       false,
       {{32}, {32}, {32}}},
      {"MatMul, bias, norm",
       "float[b,s,24] x, float[b,s,32] r",
       "y0 = MatMul (x, w) y1 = Add (y0, c0) y2 = Add (r, y1)"
       " y = LayerNormalization <axis = -1> (y2, c1, c2)",
       {24, 32},
       {24, -1},
       {-1, 32},
       1,
       false,
       {{32}, {32}, {32}}},
      {"MatMul, sum",
       "float[n,24] x, float[n,24] r",
       "y0 = MatMul (x, w) y1 = MatMul (r, c0) y2 = Add (y1, y0) y3 = Add (y2, c1) y = Tanh (y3)",
       {24, 32},
       {24, -1},
       {-1, 32},
       1,
       false,
       {{24, 32}, {32}}},
      {"MatMul, factor",
       "float[b,s,600] x",
       "y0 = MatMul (x, w) f = Constant <value_float = 0.3> () y1 = Div (y0, f) y = Neg (y1)",
       {600, 32},
       {600, -1},
       {-1, 32}},
      {"MatMul, normalisation",
       "float[n,24] x",
       "y0 = MatMul (x, w) y1 = BatchNormalization (y0, c0, c1, c2, c3) y = Tanh (y1)",
       {24, 32},
       {24, -1},
       {-1, 32},
       1,
       false,
       {{32}, {32}, {32}, {32}}},
      {"Gemm, transposed after",
       "float[n,24] x",
       "y0 = Gemm (x, w) y1 = Transpose <perm = [1, 0]> (y0) y = Tanh (y1)",
       {24, 32},
       {24, -1},
       {-1, 32}},
      {"Gemm, Sum",
       "float[n,24] x, float[n,32] r",
       "y0 = Gemm (x, w) y1 = Sum (r, y0) y = Tanh (y1)",
       {24, 32},
       {24, -1},
       {-1, 32}},
      {"Gemm",
       "float[n,24] x",
       "y0 = Gemm (x, w, c0) y = Relu (y0)",
       {24, 32},
       {24, -1},
       {-1, 32},
       1,
       false,
       {{32}}},
      {"Gemm, transB",
       "float[n,24] x",
       "y0 = Gemm <transB = 1> (x, w) y = Add (y0, c0)",
       {32, 24},
       {24, -1},
       {-1, 32},
       1,
       true,
       {{32}}},
      {"Gemm, alpha, transA",
       "float[24,n] x",
       "y = Gemm <alpha = 0.5, beta = 2.0, transA = 1, transB = 1> (x, w, c0)",
       {32, 24},
       {24, -1},
       {-1, 32},
       1,
       true,
       {{32}}},
      {"Identity and Transpose",
       "float[b,s,24] x",
       "v = Identity (w) t = Transpose <perm = [1, 0]> (v) y = MatMul (x, t)",
       {32, 24},
       {24, -1},
       {-1, 32},
       1,
       true},
      {"Cast",
       "float[b,s,24] x",
       "v = Cast <to = 1> (w) y = MatMul (x, v)",
       {24, 32},
       {24, -1},
       {-1, 32},
       1,
       false,
       {},
       onnx::TensorProto::FLOAT16,
       onnx::TensorProto::FLOAT},
      {"float16",
       "float16[b,s,24] x",
       "y0 = MatMul (x, w) y = Add (y0, c0)",
       {24, 32},
       {24, -1},
       {-1, 32},
       1,
       false,
       {{32}},
       onnx::TensorProto::FLOAT16},
      {"Constant node",
       "float[b,s,24] x",
       "y = MatMul (x, w)",
       {24, 32},
       {24, -1},
       {-1, 32},
       1,
       false,
       {},
       onnx::TensorProto::FLOAT,
       0,
       "",
       true},
      {"Conv 1x1",
       "float[b,8,h,v] x",
       "y0 = Conv (x, w) y = Relu (y0)",
       {16, 8, 1, 1},
       {-1, 8, 1, 1},
       {16, -1, 1, 1}},
      {"Conv 3x3, bias",
       "float[b,8,h,v] x",
       "y0 = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, w) y1 = Add (y0, c0) y = Relu (y1)",
       {16, 8, 3, 3},
       {-1, 8, 3, 3},
       {16, -1, 1, 1},
       1,
       false,
       {{1, 16, 1, 1}}},
      {"Conv, bias, normalisation",
       "float[b,8,h,v] x",
       "y0 = Conv <pads = [1, 1, 1, 1]> (x, w) y1 = Add (y0, c0)"
       " y2 = BatchNormalization (y1, c1, c2, c3, c4) y = Relu (y2)",
       {16, 8, 3, 3},
       {-1, 8, 3, 3},
       {16, -1, 1, 1},
       1,
       false,
       {{1, 16, 1, 1}, {16}, {16}, {16}, {16}}},
      {"Conv, factor",
       "float[b,8,h,v] x",
       "y0 = Conv (x, w, c1) y1 = Mul (c0, y0) y = Relu (y1)",
       {16, 8, 3, 3},
       {-1, 8, 3, 3},
       {16, -1, 1, 1},
       1,
       false,
       {{1, 16, 1, 1}, {16}}},
      {"Conv, auto_pad",
       "float[b,5,h,v] x",
       "y = Conv <auto_pad = \"SAME_UPPER\", strides = [2, 2], kernel_shape = [3, 3]> (x, w, c0)",
       {7, 5, 3, 3},
       {-1, 5, 3, 3},
       {7, -1, 1, 1},
       1,
       false,
       {{7}}},
      {"Conv, one dimension",
       "float[b,8,h] x",
       "y = Conv <pads = [2, 2]> (x, w)",
       {16, 8, 5},
       {-1, 8, 5},
       {16, -1, 1}},
      {"Gather", "int64[b,s] ids", "y = Gather (w, ids)", {40, 24}, {40, -1}, {-1, 24}},
      {"Gather and Transpose",
       "int64[b,s] ids",
       "x = Gather (w, ids) h = Tanh (x) t = Transpose (w) y = MatMul (h, t)",
       {40, 24},
       {24, -1},
       {-1, 40},
       2,
       true},
      {"Gather and Gemm",
       "int64[n] ids",
       "x = Gather (w, ids) h = Tanh (x) y = Gemm <transB = 1> (h, w)",
       {40, 24},
       {24, -1},
       {-1, 40},
       2,
       true},
      {"Two layers",
       "float[b,s,24] x",
       "h = MatMul (x, w) g = Tanh (h) y = MatMul (g, w)",
       {24, 24},
       {24, -1},
       {-1, 24},
       2},
      {"Read in If",
       "float[n,24] x, bool yes",
       "y = If (yes) <then_branch = t () => (float[n,32] y1) { y1 = MatMul (x, w) },"
       " else_branch = e () => (float[n,32] y2) { z = MatMul (x, w) y2 = Neg (z) }>",
       {24, 32},
       {24, -1},
       {-1, 32},
       2},
      {"Inside If",
       "float[n,24] x, bool yes",
       "y = If (yes) <then_branch = t () => (float[n,32] y1) { y1 = MatMul (x, w) },"
       " else_branch = e () => (float[n,32] y2) { y2 = MatMul (x, c0) }>",
       {24, 32},
       {24, -1},
       {-1, 32},
       1,
       false,
       {{24, 32}},
       onnx::TensorProto::FLOAT,
       0,
       "If#0.then_branch"},
      {"Read in Loop",
       "float[n,24] x, int64 count, bool yes",
       "y = Loop (count, yes, x) <body = l (int64 i, bool go, float[n,24] h)"
       " => (bool more, float[n,24] next) "
       "{ more = Identity (go) z = MatMul (h, w) next = Tanh (z) }>",
       {24, 24},
       {24, -1},
       {-1, 24}},
  };
  return all;
}

// Random values of `shape`, as a matrix of the first dimension against the others.
inline Matrix values_of(const Shape& shape, uint64_t seed, double deviation = 0.2) {
  const int64_t columns = count_of(Shape(shape.begin() + 1, shape.end()));
  return random_matrix(shape[0], columns, seed, deviation);
}

inline onnx::TensorProto tensor_of(const std::string& name, const Shape& shape,
                                   const Matrix& values, int type) {
  return raw(name, float_bytes(values.values, type), type, shape);
}

inline onnx::ModelProto parse_model(const std::string& inputs, const std::string& body,
                                    int opset = 17) {
  onnx::ModelProto model;
  const std::string text = "<ir_version: 8, opset_import: [\"\" : " + std::to_string(opset) +
                           "]>\ng (" + inputs + ") => (float y) {" + body + "}";
  const onnx::Common::Status status = onnx::OnnxParser::Parse(model, text.c_str());
  EXPECT_TRUE(status.IsOK()) << status.ErrorMessage() << "\n" << text;
  // Of any shape.
  model.mutable_graph()->mutable_output(0)->mutable_type()->mutable_tensor_type()->clear_shape();
  return model;
}

// The graph of `form` with `weight` for w.
inline onnx::ModelProto model_of(const Form& form, const Matrix& weight) {
  onnx::ModelProto model = parse_model(form.inputs, form.body);
  model.mutable_graph()->mutable_output(0)->mutable_type()->mutable_tensor_type()->set_elem_type(
      form.branch_type());
  const onnx::TensorProto w = tensor_of("w", form.shape, weight, form.type);
  onnx::GraphProto* home = model.mutable_graph();
  if (*form.scope != '\0') home = home->mutable_node(0)->mutable_attribute(0)->mutable_g();
  if (form.in_constant_node) {
    onnx::NodeProto& node = add_node(*home, "Constant", {}, {"w"});
    onnx::AttributeProto& value = *node.add_attribute();
    value.set_name("value");
    value.set_type(onnx::AttributeProto::TENSOR);
    *value.mutable_t() = w;
    for (int i = home->node_size() - 1; i > 0; --i) home->mutable_node()->SwapElements(i, i - 1);
  } else {
    *home->add_initializer() = w;
  }
  uint64_t seed = 100;
  for (const Shape& shape : form.constants) {
    Matrix values = values_of(shape, seed);
    // Some are variances.
    for (double& value : values.values) value = std::abs(value) + 0.5;
    *model.mutable_graph()->add_initializer() =
        tensor_of("c" + std::to_string(seed - 100), shape, values, form.type);
    ++seed;
  }
  return model;
}

inline Branch branch_of(onnx::ModelProto& model, const std::string& name,
                        const std::string& scope = "") {
  FoundSite found = SiteFinder(model).find(scope, name);
  EXPECT_TRUE(found.site) << name << " " << found.reason;
  found.site->names = name_branches(model, {module_path(name, found.layers)})[0];
  return {std::move(*found.site), nullptr, nullptr};
}

// `shape` with `rank` for -1.
inline Shape ranked(Shape shape, int64_t rank) {
  for (int64_t& dim : shape) dim = dim < 0 ? rank : dim;
  return shape;
}

// The nodes of `graph` as "y = MatMul x w".
inline std::vector<std::string> texts_of(const onnx::GraphProto& graph) {
  std::vector<std::string> texts;
  for (const onnx::NodeProto& node : graph.node()) {
    std::string text = node.output(0) + " = " + node.op_type();
    for (const std::string& input : node.input()) text += " " + input;
    texts.push_back(text);
  }
  return texts;
}

}  // namespace wshare::test

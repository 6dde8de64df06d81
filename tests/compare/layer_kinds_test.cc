// A merged LoRA in every kind of layer that exporters write.

#include "compare/compare_models.h"
#include "compare/weights.h"

namespace wshare {
namespace {

using test::add_node;
using test::Matrix;
using test::Proto;
using test::random_matrix;

using LayerKinds = test::CompareTest;

onnx::AttributeProto& add_graph(onnx::NodeProto& node, const std::string& name) {
  onnx::AttributeProto& body = *node.add_attribute();
  body.set_name(name);
  body.set_type(onnx::AttributeProto::GRAPH);
  return body;
}

// One layer with the weight `w` between an input and an output.
onnx::ModelProto around(const std::function<void(onnx::GraphProto&)>& layer) {
  onnx::ModelProto model = test::empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  graph.add_input()->set_name("x");
  layer(graph);
  graph.add_output()->set_name("z");
  add_node(graph, "Relu", {"y"}, {"z"});
  return model;
}

onnx::TensorProto shaped(onnx::TensorProto tensor, const std::vector<int64_t>& dims) {
  tensor.clear_dims();
  for (const int64_t dim : dims) tensor.add_dims(dim);
  return tensor;
}

TEST_F(LayerKinds, ShowAMergedLoraAsLowRank) {
  using Layer = std::function<void(onnx::GraphProto&, const onnx::TensorProto&)>;
  struct Case {
    const char* name;
    int64_t rows, cols;
    Layer layer;
  };
  const auto simple = [](const std::string& op, const std::vector<std::string>& inputs) -> Layer {
    return [=](onnx::GraphProto& graph, const onnx::TensorProto& weight) {
      *graph.add_initializer() = weight;
      add_node(graph, op, inputs, {"y"});
    };
  };
  for (const Case& c :
       {Case{"MatMul, as GPT-2's Conv1D", 40, 56, simple("MatMul", {"x", "w"})},
        Case{"Gemm", 40, 56, simple("Gemm", {"x", "w"})},
        Case{"Gemm, transB", 40, 56,
             [](onnx::GraphProto&graph, const onnx::TensorProto&weight) {
               *graph.add_initializer() = weight;
               *add_node(graph, "Gemm", {"x", "w"}, {"y"}).add_attribute() =
                   test::integer("transB", 1);
             }},
        Case{"Gather, an embedding", 90, 32, simple("Gather", {"w", "x"})},
        Case{"Conv 1 x 1", 40, 32,
             [](onnx::GraphProto&graph, const onnx::TensorProto&weight) {
               *graph.add_initializer() = shaped(weight, {40, 32, 1, 1});
               add_node(graph, "Conv", {"x", "w"}, {"y"});
             }},
        Case{"Conv 3 x 3", 40, 16 * 9,
             [](onnx::GraphProto&graph, const onnx::TensorProto&weight) {
               *graph.add_initializer() = shaped(weight, {40, 16, 3, 3});
               add_node(graph, "Conv", {"x", "w"}, {"y"});
             }},
        Case{"in a Constant", 40, 56,
             [](onnx::GraphProto&graph, const onnx::TensorProto&weight) {
               onnx::NodeProto& constant = add_node(graph, "Constant", {}, {"w"});
               onnx::AttributeProto& value = *constant.add_attribute();
               value.set_name("value");
               value.set_type(onnx::AttributeProto::TENSOR);
               *value.mutable_t() = weight;
               add_node(graph, "MatMul", {"x", "w"}, {"y"});
             }},
        Case{"in the body of a Loop", 40, 40,
             [](onnx::GraphProto&graph, const onnx::TensorProto&weight) {
               graph.add_input()->set_name("trips");
               onnx::NodeProto& loop = add_node(graph, "Loop", {"trips", "", "x"}, {"y"});
               onnx::GraphProto& body = *add_graph(loop, "body").mutable_g();
               for (const char* name : {"i", "go_on", "state"}) body.add_input()->set_name(name);
               *body.add_initializer() = weight;
               add_node(body, "Identity", {"go_on"}, {"still"});
               add_node(body, "MatMul", {"state", "w"}, {"next"});
               for (const char* name : {"still", "next"}) body.add_output()->set_name(name);
             }},
        Case{"behind an Identity", 40, 56,
             [](onnx::GraphProto&graph, const onnx::TensorProto&weight) {
               *graph.add_initializer() = weight;
               add_node(graph, "Identity", {"w"}, {"copy"});
               add_node(graph, "MatMul", {"x", "copy"}, {"y"});
             }}}) {
    SCOPED_TRACE(c.name);
    const Matrix base = random_matrix(c.rows, c.cols, 1);
    const auto model = [&](const std::string& name, const Matrix& weight) {
      onnx::ModelProto proto =
          around([&](onnx::GraphProto& graph) { c.layer(graph, test::tensor("w", weight)); });
      proto.set_producer_name(name);
      return proto;
    };
    const auto said = compare(model("a", base),
                              model("b", sum(base, test::low_rank(c.rows, c.cols, 3, 2, 0.02))));
    ASSERT_EQ(said.count("w"), 1u);
    EXPECT_EQ(said.at("w"), (Said{"w", "low_rank", 3, false, false}));
  }
}

TEST_F(LayerKinds, ShowANewHeadOfAnotherSizeAsReplaced) {
  const auto model = [](int64_t classes) {
    return around([&](onnx::GraphProto& graph) {
      *graph.add_initializer() = test::tensor("w", random_matrix(32, 32, 3));
      *graph.add_initializer() = test::tensor("head", random_matrix(32, classes, 4));
      add_node(graph, "MatMul", {"x", "w"}, {"h"});
      add_node(graph, "MatMul", {"h", "head"}, {"y"});
    });
  };
  const auto said = compare(model(2), model(5));
  EXPECT_EQ(said.at("head"), (Said{"head", "replaced", 0, false, false}));
  EXPECT_EQ(said.at("w").tensor_class, "same");
}

// The weight of x -> DequantizeLinear(w) -> MatMul, or of another operator, in two versions.
class QuantizedWeights : public test::BundleTest {
 protected:
  struct Weight {
    std::string bytes;  // int8, [2,2]
    std::vector<double> scales = {0.5};
    std::string zeros = {};
    int64_t axis = 1;
    std::string op = "DequantizeLinear";
  };

  static onnx::ModelProto model(const Weight& weight) {
    return around([&](onnx::GraphProto& graph) {
      *graph.add_initializer() = test::raw("w", weight.bytes, Proto::INT8, {2, 2});
      const auto channels = static_cast<int64_t>(weight.scales.size());
      *graph.add_initializer() = test::raw("scale", test::float_bytes(weight.scales, Proto::FLOAT),
                                           Proto::FLOAT, {channels});
      std::vector<std::string> inputs = {"w", "scale"};
      if (!weight.zeros.empty()) {
        *graph.add_initializer() = test::raw("zero", weight.zeros, Proto::INT8, {channels});
        inputs.push_back("zero");
      }
      if (weight.op != "DequantizeLinear") {
        add_node(graph, weight.op, {"x", "w"}, {"y"});
        return;
      }
      *add_node(graph, "DequantizeLinear", inputs, {"floats"}).add_attribute() =
          test::integer("axis", weight.axis);
      add_node(graph, "MatMul", {"x", "floats"}, {"y"});
    });
  }

  std::optional<QuantizedChange> change(const onnx::ModelProto& a, const onnx::ModelProto& b) {
    add("a.onnx", a);
    add("b.onnx", b);
    const ScannedModel in_a = scan_model(temp_ / "in/a.onnx");
    const ScannedModel in_b = scan_model(temp_ / "in/b.onnx");
    for (const TensorMatch& match : compare_models(ComparisonBase(in_a), in_b, {}).tensors) {
      if (in_b.tensors[static_cast<size_t>(match.b)].name == "w") return match.quantized;
    }
    return std::nullopt;
  }
};

TEST_F(QuantizedWeights, AreComparedAsTheNumbersThatTheyStandFor) {
  const Weight before{std::string("\x01\x02\x03\x04", 4)};
  struct Case {
    const char* name;
    Weight a, b;
    std::optional<double> max_abs;
  };
  const std::string moved("\x01\x02\x03\x07", 4);
  for (const Case& c :
       {Case{"one scale", before, {moved}, 1.5}, Case{"other scales", before, {moved, {1}}, 5},
        Case{"by column", {before.bytes, {1, 10}}, {moved, {1, 10}}, 30},
        Case{"by row", {before.bytes, {1, 100}, "", 0}, {moved, {1, 100}, "", 0}, 300},
        Case{"negative axis", {before.bytes, {1, 10}, "", -1}, {moved, {1, 10}, "", -1}, 30},
        Case{"zero points", {before.bytes, {1}, "\x01"}, {moved, {1}, "\xff"}, 5},
        Case{"too many scales", before, {moved, {1, 2, 3}}, std::nullopt},
        Case{"integers only",
             {before.bytes, {1}, "", 1, "MatMulInteger"},
             {moved, {1}, "", 1, "MatMulInteger"},
             std::nullopt}}) {
    SCOPED_TRACE(c.name);
    const std::optional<QuantizedChange> found = change(model(c.a), model(c.b));
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->max_abs, c.max_abs);
  }
}

TEST_F(QuantizedWeights, AreComparedWithFloats) {
  const onnx::ModelProto floats = around([&](onnx::GraphProto& graph) {
    *graph.add_initializer() = test::tensor("w", Matrix{2, 2, {0.5, 1, 1.75, 2}});
    add_node(graph, "MatMul", {"x", "w"}, {"y"});
  });
  const std::optional<QuantizedChange> found =
      change(floats, model({std::string("\x01\x02\x03\x04", 4)}));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->max_abs, 0.25);
}

TEST_F(QuantizedWeights, AreNotSeenInOtherIntegers) {
  const Weight a{"\x01\x02\x03\x04", {1}, "", 1, "Gather"};
  const Weight b{"\x01\x02\x03\x05", {1}, "", 1, "Gather"};
  EXPECT_FALSE(change(model(a), model(b)).has_value());
}

}  // namespace
}  // namespace wshare

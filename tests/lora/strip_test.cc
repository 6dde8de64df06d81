#include "lora/strip.h"

#include <onnx/checker.h>

#include "lora/layers.h"
#include "support/bundle_test.h"
#include "support/places.h"

namespace wshare {
namespace {

using namespace test;

class StripLora : public BundleTest {
 protected:
  // Strips a model with these nodes and with initializers w [24,32], a [24,4], b [4,32], bias [32],
  // scale [1].
  std::vector<std::string> strip(const std::string& body, const std::string& outputs,
                                 const std::string& inputs = "float[n,24] x") {
    const std::string text = "<ir_version: 8, opset_import: [\"\" : 17]>\ng (" + inputs + ") => (" +
                             outputs + ") {" + body + "}";
    const onnx::Common::Status status = onnx::OnnxParser::Parse(model_, text.c_str());
    EXPECT_TRUE(status.IsOK()) << status.ErrorMessage();
    for (const auto& [name, shape] : {std::pair<const char*, Shape>{"w", {24, 32}},
                                      {"a", {24, 4}},
                                      {"b", {4, 32}},
                                      {"a2", {24, 2}},
                                      {"b2", {2, 32}},
                                      {"bias", {32}},
                                      {"scale", {1}}}) {
      *model_.mutable_graph()->add_initializer() =
          tensor_of(name, shape, values_of(shape, 3), onnx::TensorProto::FLOAT);
    }
    add("m.onnx", model_);
    const ScannedModel scanned = scan_model(temp_ / "in/m.onnx");
    const ComputeGraph graph = build_graph(scanned);
    const std::vector<LoraModule> modules = find_lora_modules(graph, scanned);
    pairs_ = modules.size();
    strip_lora(model_, graph, modules);
    EXPECT_NO_THROW(onnx::checker::check_model(model_));
    return texts_of(model_.graph());
  }

  std::string initializers() const {
    std::string names;
    for (const onnx::TensorProto& tensor : model_.graph().initializer())
      names += tensor.name() + " ";
    return names;
  }

  using Texts = std::vector<std::string>;
  onnx::ModelProto model_;
  size_t pairs_ = 0;
};

TEST_F(StripLora, LetsReadersOfTheSumReadTheLayer) {
  EXPECT_EQ(
      strip("base = MatMul (x, w) biased = Add (base, bias) down = MatMul (x, a)"
            " up = MatMul (down, b) scaled = Mul (up, scale) sum = Add (biased, scaled)"
            " y = Relu (sum) z = Tanh (sum)",
            "float[n,32] y, float[n,32] z"),
      (Texts{"base = MatMul x w", "biased = Add base bias", "y = Relu biased", "z = Tanh biased"}));
  // a2 and b2 were unread before.
  EXPECT_EQ(initializers(), "w a2 b2 bias ");
}

TEST_F(StripLora, RemovesConstantsAndDropoutOfThePair) {
  EXPECT_EQ(strip("base = MatMul (x, w) dropped = Dropout (x) down = MatMul (dropped, a)"
                  " up = MatMul (down, b) factor = Constant <value_float = 2.0> ()"
                  " scaled = Mul (up, scale) sum = Add (scaled, base) y = Mul (sum, factor)",
                  "float[n,32] y"),
            (Texts{"base = MatMul x w", "factor = Constant", "y = Mul base factor"}));
}

TEST_F(StripLora, KeepsWhatOthersRead) {
  EXPECT_EQ(strip("base = MatMul (x, w) down = MatMul (x, a) up = MatMul (down, b)"
                  " scaled = Mul (up, scale) sum = Add (base, scaled) y = Mul (sum, scale)"
                  " z = Neg (a)",
                  "float[n,32] y, float[24,4] z"),
            (Texts{"base = MatMul x w", "y = Mul base scale", "z = Neg a"}));
  EXPECT_EQ(initializers(), "w a a2 b2 bias scale ");
}

TEST_F(StripLora, KeepsTheNamesOfOutputs) {
  EXPECT_EQ(strip("base = MatMul (x, w) down = MatMul (x, a) up = MatMul (down, b)"
                  " y = Add (base, up) z = Relu (y)",
                  "float[n,32] y, float[n,32] z"),
            (Texts{"y = MatMul x w", "z = Relu y"}));
}

TEST_F(StripLora, PutsAnIdentityBetweenTwoOutputs) {
  EXPECT_EQ(strip("base = MatMul (x, w) down = MatMul (x, a) up = MatMul (down, b)"
                  " y = Add (base, up)",
                  "float[n,32] y, float[n,32] base"),
            (Texts{"base = MatMul x w", "y = Identity base"}));
}

TEST_F(StripLora, TakesAllPairsOfALayerOff) {
  EXPECT_EQ(strip("base = MatMul (x, w) down = MatMul (x, a) up = MatMul (down, b)"
                  " sum = Add (base, up) y = Relu (sum) down2 = MatMul (x, a2)"
                  " up2 = MatMul (down2, b2) sum2 = Add (base, up2) z = Tanh (sum2)",
                  "float[n,32] y, float[n,32] z"),
            (Texts{"base = MatMul x w", "y = Relu base", "z = Tanh base"}));
  EXPECT_EQ(pairs_, 2u);
}

TEST_F(StripLora, WorksInsideSubgraphs) {
  strip(
      "one = Neg (x) y = If (c) <then_branch = t () => (float[n,32] sum)"
      " { base = MatMul (one, w) down = MatMul (one, a) up = MatMul (down, b)"
      " sum = Add (base, up) }, else_branch = e () => (float[n,32] sum2)"
      " { base = MatMul (x, w) down = MatMul (x, a2) up = MatMul (down, b2)"
      " both = Add (base, up) sum2 = Relu (both) }>",
      "float[n,32] y", "float[n,24] x, bool c");
  EXPECT_EQ(pairs_, 2u);
  const onnx::NodeProto& node = model_.graph().node(1);
  EXPECT_EQ(texts_of(node.attribute(0).g()), (Texts{"sum = MatMul one w"}));
  EXPECT_EQ(texts_of(node.attribute(1).g()), (Texts{"base = MatMul x w", "sum2 = Relu base"}));
  EXPECT_EQ(initializers(), "w bias scale ");
}

TEST_F(StripLora, MakesTheTaskItsBase) {
  const fs::path folder = fs::path(test::kTestdata) / "t5-lora";
  onnx::ModelProto base;
  ASSERT_TRUE(base.ParseFromString(read_file(folder / "base.onnx")));
  for (const char* task : {"summarize", "translate", "classify"}) {
    SCOPED_TRACE(task);
    const fs::path path = folder / (task + std::string(".onnx"));
    ASSERT_TRUE(model_.ParseFromString(read_file(path)));
    const ScannedModel scanned = scan_model(path);
    const ComputeGraph graph = build_graph(scanned);
    strip_lora(model_, graph, find_lora_modules(graph, scanned));
    EXPECT_EQ(model_.graph().initializer_size(), base.graph().initializer_size());
    std::map<std::string, int> difference;
    for (const onnx::NodeProto& node : model_.graph().node()) ++difference[node.op_type()];
    for (const onnx::NodeProto& node : base.graph().node()) --difference[node.op_type()];
    for (const auto& [op, count] : difference) {
      // A Cast to the type that a value has already stays behind each sum.
      EXPECT_TRUE(count == 0 || op == "Cast") << op << " " << count;
    }
  }
}

}  // namespace
}  // namespace wshare

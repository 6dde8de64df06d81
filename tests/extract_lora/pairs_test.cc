// Unmerged LoRA pairs whose scale stands in the graph.

#include <gtest/gtest.h>

#include "extract_lora/linear.h"
#include "format/adapter_file.h"
#include "util/mapped_file.h"

namespace wshare::test {
namespace {

// An unmerged pair beside w, scaled by `scale`.
class ExtractPair : public ExtractChange {
 protected:
  ExtractedTask pair(double scale, int type, bool exact, double size = 0.05) {
    const std::string name = type == Proto::FLOAT16 ? "float16" : "float";
    const std::string body =
        "y0 = MatMul (x, w) a0 = MatMul (x, a) b0 = MatMul (a0, b) s0 = Mul (b0, s)"
        " y1 = Add (y0, s0) y = Relu (y1)";
    Tensor w = weight();
    w.type = type;
    return change(model(kLinear, {w}, name),
                  model(body,
                        {w,
                         {"a", {24, 4}, random_matrix(24, 4, 11, size), type},
                         {"b", {4, 32}, random_matrix(4, 32, 12, size), type},
                         {"s", {1}, Matrix{1, 1, {scale}}, type}},
                        name),
                  [&](ExtractOptions& options) { options.exact = exact; });
  }
};

TEST_F(ExtractPair, IsAnAdapterWhateverTheScale) {
  for (const double scale : {1.0, 2.0, 0.25, 0.3, 16.0 / 7}) {
    for (const int type : {Proto::FLOAT, Proto::FLOAT16}) {
      SCOPED_TRACE(scale);
      const ExtractedTask task = pair(scale, type, false);
      EXPECT_EQ(first_reason(task), "");
      EXPECT_EQ(task.adapter, "task.onnx_adapter");
      ASSERT_EQ(task.tensors.size(), 1u);
      EXPECT_EQ(task.tensors[0].tensor_class, TensorClass::kLora);
      EXPECT_EQ(task.tensors[0].rank, 4);
    }
  }
}

TEST_F(ExtractPair, IsExactOnlyWhereScalingDoesNotRound) {
  for (const double scale : {1.0, 2.0, 0.25}) {
    EXPECT_EQ(pair(scale, Proto::FLOAT, true).adapter, "task.onnx_adapter") << scale;
  }
  EXPECT_EQ(pair(0.3, Proto::FLOAT, true).adapter, "");
  // 2^-12 pushes halves of 0.0001 below the normal ones.
  const ExtractedTask small = pair(0x1p-12, Proto::FLOAT16, true, 1e-4);
  EXPECT_EQ(small.adapter, "");
  EXPECT_NE(first_reason(small).find("loses bits"), std::string::npos) << first_reason(small);
}

TEST_F(ExtractPair, IsNoAdapterWhereScalingOverflows) {
  const ExtractedTask task = pair(32768, Proto::FLOAT16, false, 2);
  EXPECT_EQ(task.adapter, "");
  EXPECT_NE(first_reason(task).find("is not finite when scaled"), std::string::npos)
      << first_reason(task);
}

// Two adapters at one weight, one after the other, as PEFT writes those that are active together.
class ExtractTwoPairs : public ExtractChange {
 protected:
  static Tensor factor(const std::string& name, int64_t rows, int64_t cols, uint64_t seed,
                       int type) {
    return {name, {rows, cols}, random_matrix(rows, cols, seed, 0.05), type};
  }

  ExtractedTask two_pairs(int type, double second_scale, bool exact) {
    const std::string body =
        "y0 = MatMul (x, w) a0 = MatMul (x, a) b0 = MatMul (a0, b) y1 = Add (y0, b0)"
        " c0 = MatMul (x, c) d0 = MatMul (c0, d) s0 = Mul (d0, s) y2 = Add (y1, s0) y = Relu (y2)";
    const std::string name = type == Proto::FLOAT16 ? "float16" : "float";
    Tensor w = weight();
    w.type = type;
    return change(model(kLinear, {w}, name),
                  model(body,
                        {w,
                         factor("a", 24, 4, 11, type),
                         factor("b", 4, 32, 12, type),
                         factor("c", 24, 2, 13, type),
                         factor("d", 2, 32, 14, type),
                         {"s", {1}, Matrix{1, 1, {second_scale}}, type}},
                        name),
                  [&](ExtractOptions& options) { options.exact = exact; });
  }
};

TEST_F(ExtractTwoPairs, AreOneOfTheSumOfTheirRanks) {
  for (const int type : {Proto::FLOAT, Proto::FLOAT16}) {
    for (const double scale : {1.0, 0.3}) {
      SCOPED_TRACE(scale);
      const ExtractedTask task = two_pairs(type, scale, false);
      EXPECT_EQ(first_reason(task), "");
      EXPECT_EQ(task.adapter, "task.onnx_adapter");
      ASSERT_EQ(task.tensors.size(), 2u);
      EXPECT_EQ(task.tensors[0].rank + task.tensors[1].rank, 6);
      const MappedFile file = MappedFile::open(temp_ / "bundle/task.onnx_adapter");
      const std::vector<NamedTensor> got = read_adapter(file.bytes());
      ASSERT_EQ(got.size(), 2u);
      EXPECT_EQ(got[0].shape, (Shape{24, 6}));
      EXPECT_EQ(got[1].shape, (Shape{6, 32}));
    }
  }
}

TEST_F(ExtractTwoPairs, AreNoneWhereTheSumMustBeExact) {
  const ExtractedTask task = two_pairs(Proto::FLOAT, 1, true);
  EXPECT_EQ(task.adapter, "");
  EXPECT_NE(first_reason(task).find("is the second one at its weight"), std::string::npos)
      << first_reason(task);
}

TEST_F(ExtractTwoPairs, OfAConvolutionAreOne) {
  const auto conv = [](const std::string& body, const std::vector<Tensor>& tensors) {
    onnx::ModelProto model = parse_model("float[n,6,5,5] x", body);
    for (const Tensor& each : tensors) {
      *model.mutable_graph()->add_initializer() =
          tensor_of(each.name, each.shape, each.values, each.type);
    }
    return model;
  };
  const Tensor w{"w", {8, 6, 3, 3}, random_matrix(8, 54, 1)};
  const ExtractedTask task =
      change(conv("y0 = Conv (x, w) y = Relu (y0)", {w}),
             conv("y0 = Conv (x, w) a0 = Conv (x, a) b0 = Conv (a0, b) y1 = Add (y0, b0)"
                  " c0 = Conv (x, c) d0 = Conv (c0, d) y2 = Add (y1, d0) y = Relu (y2)",
                  {w,
                   {"a", {3, 6, 3, 3}, random_matrix(3, 54, 2)},
                   {"b", {8, 3, 1, 1}, random_matrix(8, 3, 3)},
                   {"c", {2, 6, 3, 3}, random_matrix(2, 54, 4)},
                   {"d", {8, 2, 1, 1}, random_matrix(8, 2, 5)}}));
  EXPECT_EQ(first_reason(task), "");
  EXPECT_EQ(task.adapter, "task.onnx_adapter");
  const MappedFile file = MappedFile::open(temp_ / "bundle/task.onnx_adapter");
  const std::vector<NamedTensor> got = read_adapter(file.bytes());
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].shape, (Shape{5, 6, 3, 3}));
  EXPECT_EQ(got[1].shape, (Shape{8, 5, 1, 1}));
}

}  // namespace
}  // namespace wshare::test

// Unmerged LoRA pairs whose scale stands in the graph.

#include <gtest/gtest.h>

#include "extract_lora/linear.h"

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

}  // namespace
}  // namespace wshare::test

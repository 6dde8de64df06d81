// Heads that were trained along with an adapter: where they travel in it, and what comes back.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "extract_lora/linear.h"

namespace wshare::test {
namespace {

constexpr char kHeaded[] =
    "t = MatMul (h, trunk) y0 = MatMul (x, w) h0 = Relu (y0) y = MatMul (h0, head)";
constexpr char kHeadTurned[] =
    "t = MatMul (h, trunk) y0 = MatMul (x, w) h0 = Relu (y0) v = Transpose <perm = [1, 0]> (head) "
    "y = MatMul (h0, v)";

Tensor head(uint64_t seed, int64_t width = 10) {
  return {"head", {32, width}, random_matrix(32, width, seed)};
}

onnx::ModelProto headed(const char* body, const Tensor& w, const Tensor& head_of) {
  onnx::ModelProto proto = model(body, {trunk(), w, head_of});
  // The trunk is needed, or nothing is known of it.
  proto.mutable_graph()->add_output()->CopyFrom(proto.graph().output(0));
  proto.mutable_graph()->mutable_output(1)->set_name("t");
  return proto;
}

class ExtractHead : public ExtractChange {};

TEST_F(ExtractHead, TravelsInTheAdapter) {
  const Tensor turned{"head", {10, 32}, transposed(head(5).values)};
  const Tensor base_turned{"head", {10, 32}, transposed(head(4).values)};
  for (const auto& [base, task] : {std::pair(headed(kHeaded, weight(), head(4)),
                                             headed(kHeaded, with(weight(), low()), head(5))),
                                   std::pair(headed(kHeaded, weight(), head(4)),
                                             headed(kHeadTurned, with(weight(), low()), turned)),
                                   std::pair(headed(kHeadTurned, weight(), base_turned),
                                             headed(kHeadTurned, with(weight(), low()), turned)),
                                   std::pair(headed(kHeadTurned, weight(), base_turned),
                                             headed(kHeaded, with(weight(), low()), head(5)))}) {
    const ExtractedTask found = change(base, task);
    EXPECT_EQ(first_reason(found), "");
    EXPECT_EQ(found.adapter, "task.onnx_adapter");
    EXPECT_EQ(found.model, "");
    ASSERT_EQ(found.tensors.size(), 2u);
    const ExtractedTensor& whole = found.tensors[1];
    EXPECT_EQ(whole.task_tensor, "head");
    EXPECT_EQ(whole.tensor_class, TensorClass::kReplaced);
    EXPECT_EQ(whole.rank, 10);
    EXPECT_EQ(whole.stored_bytes, (32u * 10 + 10 * 10) * 4);  // the difference and an identity
    EXPECT_GT(whole.relative_error, 0);
    EXPECT_LT(whole.relative_error, 1e-7);
  }
}

TEST_F(ExtractHead, OfFewLabelsTakesItsBiasAlong) {
  const char* body =
      "t = MatMul (h, trunk) y0 = MatMul (x, w) h0 = Relu (y0) y = Gemm (h0, head, bias)";
  const auto labels = [&](const Tensor& w, uint64_t seed) {
    onnx::ModelProto proto = headed(body, w, head(seed, 3));
    *proto.mutable_graph()->add_initializer() =
        tensor_of("bias", {3}, random_matrix(1, 3, seed + 50), Proto::FLOAT);
    return proto;
  };
  const ExtractedTask found = change(labels(weight(), 4), labels(with(weight(), low()), 5));
  EXPECT_EQ(first_reason(found), "");
  EXPECT_EQ(found.adapter, "task.onnx_adapter");
  EXPECT_EQ(found.tensors.size(), 3u);
}

TEST_F(ExtractHead, OfOneTaskLeavesAnotherOneWithTheBases) {
  add("base.onnx", headed(kHeaded, weight(), head(4)));
  add("one.onnx", headed(kHeaded, with(weight(), low()), head(5)));
  add("two.onnx", headed(kHeaded, with(weight(), low(11)), head(4)));
  add("three.onnx", headed(kHeaded, weight(), head(6)));
  const ExtractReport report = extract({"one.onnx", "two.onnx", "three.onnx"}, "base.onnx");
  for (const ExtractedTask& task : report.tasks) {
    EXPECT_EQ(first_reason(task), "");
    EXPECT_EQ(task.model, "");
  }
  EXPECT_EQ(report.tasks.at(0).tensors.size(), 2u);
  EXPECT_EQ(report.tasks.at(1).tensors.size(), 1u);
  EXPECT_EQ(report.tasks.at(2).tensors.size(), 1u);
  expect_whole({"base.onnx", "one.onnx", "two.onnx", "three.onnx"});
}

TEST_F(ExtractHead, IsStoredWholeInAModelOfTheTasksOwn) {
  const onnx::ModelProto base = headed(kHeaded, weight(), head(4));
  const onnx::ModelProto task = headed(kHeaded, with(weight(), low()), head(5));
  for (const bool exact : {false, true}) {
    SCOPED_TRACE(exact);
    const ExtractedTask found = change(base, task, [&](ExtractOptions& options) {
      options.exact = exact;
      options.emit = {exact, !exact};
    });
    EXPECT_EQ(found.model, "task.onnx");
    const auto whole = std::find_if(found.tensors.begin(), found.tensors.end(),
                                    [](const auto& t) { return t.task_tensor == "head"; });
    ASSERT_NE(whole, found.tensors.end());
    EXPECT_EQ(whole->stored_bytes, 32u * 10 * 4);
    EXPECT_EQ(first_reason(found).empty(), !exact);
  }
}

TEST_F(ExtractHead, OfAnotherShapeOrTooLargeStaysAModelOfItsOwn) {
  struct Case {
    const char* name;
    Tensor base, task;
    const char* reason;
  };
  for (const Case& c :
       {Case{"another shape", head(4), head(5, 12), "'head' has another shape than the base's"},
        Case{"large", head(4, 100), head(5, 100), "'head' is not the base's tensor plus a low"}}) {
    SCOPED_TRACE(c.name);
    const ExtractedTask found =
        change(headed(kHeaded, weight(), c.base), headed(kHeaded, with(weight(), low()), c.task));
    std::string reasons;
    for (const std::string& reason : found.reasons) reasons += reason + "\n";
    EXPECT_NE(reasons.find(c.reason), std::string::npos) << reasons;
    EXPECT_EQ(found.model, "task.onnx");
    EXPECT_EQ(found.adapter, "");
  }
}

TEST_F(ExtractHead, IsNothingForPeft) {
  const ExtractedTask found =
      change(headed(kHeaded, weight(), head(4)), headed(kHeaded, with(weight(), low()), head(5)),
             [&](ExtractOptions& options) { options.peft.folder = temp_ / "peft"; });
  EXPECT_EQ(found.adapter, "task.onnx_adapter");
  EXPECT_EQ(found.peft, "");
  EXPECT_NE(found.no_peft.find("1 weights of its own that were trained whole"), std::string::npos);
}

TEST_F(ExtractHead, MayBeAnOutputOfAnotherName) {
  const onnx::ModelProto base = headed(kHeaded, weight(), head(4));
  onnx::ModelProto task = headed(kHeaded, with(weight(), low()), head(5));
  task.mutable_graph()->mutable_node(3)->set_output(0, "MatMul_451_o");
  task.mutable_graph()->mutable_output(0)->set_name("MatMul_451_o");
  const ExtractedTask found = change(base, task);
  EXPECT_EQ(first_reason(found), "");
  EXPECT_EQ(found.adapter, "task.onnx_adapter");
  EXPECT_EQ(found.renamed_outputs, (std::map<std::string, std::string>{{"MatMul_451_o", "y"}}));
  ASSERT_EQ(run({"extract-lora", "--base", path("in/base.onnx"), path("in/task.onnx"), "-n"}), 0);
  EXPECT_NE(out_.find("  its output 'MatMul_451_o' is the base's 'y'\n"), std::string::npos)
      << out_;
}

}  // namespace
}  // namespace wshare::test

#include "runtime/absent_weights.h"

#include <gtest/gtest.h>

#include "runtime/empty_inputs.h"
#include "runtime/task_models.h"

namespace wshare::test {
namespace {

std::string offset_of(const onnx::TensorProto& tensor) {
  std::string offset;
  for (const onnx::StringStringEntryProto& entry : tensor.external_data()) {
    if (entry.key() == "offset") offset = entry.value();
  }
  return offset;
}

std::span<const std::byte> bytes_of_text(const std::string& text) {
  return std::as_bytes(std::span(text));
}

// The last word of two for one key counts, as for ONNX Runtime.
TEST(AbsentWeights, LieBehindTheEndOfTheirFile) {
  onnx::ModelProto model = model_with_branches();
  onnx::GraphProto& graph = *model.mutable_graph();
  *graph.add_initializer() = external("far", 100, {{"location", "w"}, {"offset", "4096"}});
  *graph.add_initializer() = external("near", 100, {{"location", "w"}, {"offset", "8192"}});
  onnx::GraphProto& body = *graph.mutable_node(0)->mutable_attribute(0)->mutable_g();
  *body.add_initializer() = external("inside", 100, {{"location", "w"}});
  const std::string before = model.SerializeAsString();
  const std::string after =
      without_weights(bytes_of_text(before), {"far", "inside", "outer", "nobody"});
  onnx::ModelProto changed;
  ASSERT_TRUE(changed.ParseFromString(after));
  const auto far = [](const onnx::TensorProto& tensor) {
    return std::stoull(offset_of(tensor)) > uint64_t{1} << 49;
  };
  EXPECT_TRUE(far(changed.graph().initializer(1)));
  EXPECT_EQ(offset_of(changed.graph().initializer(2)), "8192");
  EXPECT_TRUE(far(changed.graph().node(0).attribute(0).g().initializer(1)));
  EXPECT_EQ(changed.graph().initializer(0).SerializeAsString(),  // inline: as it was
            model.graph().initializer(0).SerializeAsString());
  EXPECT_EQ(without_weights(bytes_of_text(before), {}), before);
}

TEST(EmptyInputs, BecomeZerosOfRankOne) {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  set_type(*graph.add_input(), "A", Proto::FLOAT, {"3", "rank"});
  *graph.add_initializer() = raw("A", "", Proto::FLOAT, {3, 0});
  *graph.add_initializer() = raw("constant", "", Proto::FLOAT, {0});  // no input
  *graph.add_initializer() = raw("full", floats(2, 1), Proto::FLOAT, {2});
  const std::string bytes = model.SerializeAsString();
  std::vector<NamedTensor> tensors = empty_inputs(bytes_of_text(bytes));
  ASSERT_EQ(tensors.size(), 1u);
  EXPECT_EQ(tensors[0].name, "A");
  const std::vector<std::byte> zeros = fill_empty(tensors);
  EXPECT_EQ(tensors[0].shape, (std::vector<int64_t>{3, 1}));
  ASSERT_EQ(tensors[0].bytes.size(), 12u);
  for (const std::byte byte : tensors[0].bytes) EXPECT_EQ(byte, std::byte{0});
  const Ort::Value filled = fill_empty(value_of(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {0, 2}, ""));
  EXPECT_EQ(filled.GetTensorTypeAndShapeInfo().GetShape(), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(bytes_in(filled), std::string(8, '\0'));
}

}  // namespace
}  // namespace wshare::test

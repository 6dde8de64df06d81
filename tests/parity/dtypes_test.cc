// One model per element type: same bits from original and bundle, and a large weight is handed over
// where ONNX Runtime has a tensor of that type over foreign memory. (No kernel reads complex
// numbers; a complex initializer that nothing reads is in testdata/homes.)

#include <cstring>

#include "format/dtype.h"
#include "parity/parity.h"
#include "support/bundle_test.h"

namespace wshare::test {
namespace {

// How a model of the type reads its weight, so that its output depends on every byte of it.
enum class Reader { kGather, kDequantize };

struct DtypeCase {
  const char* dtype;
  Reader reader;
  bool handed_over;
};
void PrintTo(const DtypeCase& c, std::ostream* out) { *out << c.dtype; }

constexpr int64_t kColumns = 64;
constexpr int64_t kRows = 2048;  // 64 KiB of 4-bit numbers

void describe(onnx::ValueInfoProto& value, const std::string& name, int32_t type,
              const std::vector<int64_t>& shape) {
  value.set_name(name);
  onnx::TypeProto::Tensor& tensor = *value.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(type);
  for (const int64_t dim : shape) tensor.mutable_shape()->add_dim()->set_dim_value(dim);
}

onnx::ModelProto make_model(const DtypeCase& c, const std::string& bytes) {
  const int32_t code = find_dtype(std::string_view(c.dtype))->code;
  onnx::ModelProto model;
  const bool is_new = c.reader == Reader::kDequantize;  // 4 bits came with opset 21
  model.set_ir_version(is_new ? 10 : 8);
  model.add_opset_import()->set_version(is_new ? 21 : 17);
  onnx::GraphProto& graph = *model.mutable_graph();
  graph.set_name("g");
  *graph.add_initializer() = raw("w", bytes, code, {kRows, kColumns});
  describe(*graph.add_input(), "rows", onnx::TensorProto::INT64, {kRows});
  if (c.reader == Reader::kGather) {
    describe(*graph.add_output(), "y", code, {kRows, kColumns});
    add_node(graph, "Gather", {"w", "rows"}, {"y"});
    return model;
  }
  const float scale = 0.5F;
  *graph.add_initializer() =
      raw("scale", std::string(reinterpret_cast<const char*>(&scale), sizeof scale),
          onnx::TensorProto::FLOAT, {1});
  graph.mutable_initializer(1)->clear_dims();
  describe(*graph.add_output(), "y", onnx::TensorProto::FLOAT, {kRows, kColumns});
  add_node(graph, "DequantizeLinear", {"w", "scale"}, {"values"});
  add_node(graph, "Gather", {"values", "rows"}, {"y"});
  return model;
}

// All rows, the last one first.
Values make_inputs() {
  Ort::AllocatorWithDefaultOptions allocator;
  Values inputs;
  inputs.push_back(Ort::Value::CreateTensor<int64_t>(allocator, &kRows, 1));
  for (int64_t i = 0; i < kRows; ++i) inputs[0].GetTensorMutableData<int64_t>()[i] = kRows - 1 - i;
  return inputs;
}

class Dtypes : public BundleTest, public testing::WithParamInterface<DtypeCase> {};

TEST_P(Dtypes, GiveTheBitsOfTheOriginal) {
  const DtypeCase& c = GetParam();
  const Dtype dtype = find_dtype(std::string_view(c.dtype)).value();
  std::string bytes =
      noise(static_cast<size_t>(byte_size(dtype, std::vector{kRows, kColumns}).value()), 1);
  if (std::string(c.dtype) == "bool") {
    for (char& byte : bytes) byte &= 1;
  }
  ASSERT_GE(bytes.size(), size_t{64} << 10);
  add("a.onnx", make_model(c, bytes));
  EXPECT_EQ(make().tensors, 1u);
  expect_parity(temp_ / "in/a.onnx", temp_ / "bundle", "a", make_inputs());
  if (HasFailure()) return;
  Bundle bundle = Bundle::open(temp_ / "bundle");
  const Session session = bundle.session("a");
  EXPECT_EQ(bundle.report().models.at(0).shared_tensors,
            c.handed_over ? std::vector<std::string>{"w"} : std::vector<std::string>{});
}

INSTANTIATE_TEST_SUITE_P(
    Cpu, Dtypes,
    testing::Values(
        DtypeCase{"float32", Reader::kGather, true}, DtypeCase{"float64", Reader::kGather, true},
        DtypeCase{"float16", Reader::kGather, true}, DtypeCase{"bfloat16", Reader::kGather, true},
        DtypeCase{"int8", Reader::kGather, true}, DtypeCase{"int16", Reader::kGather, true},
        DtypeCase{"int32", Reader::kGather, true}, DtypeCase{"int64", Reader::kGather, true},
        DtypeCase{"uint8", Reader::kGather, true}, DtypeCase{"uint16", Reader::kGather, true},
        DtypeCase{"uint32", Reader::kGather, true}, DtypeCase{"uint64", Reader::kGather, true},
        DtypeCase{"bool", Reader::kGather, true},
        DtypeCase{"float8e4m3fn", Reader::kDequantize, true},
        DtypeCase{"float8e4m3fnuz", Reader::kDequantize, true},
        DtypeCase{"float8e5m2", Reader::kDequantize, true},
        DtypeCase{"float8e5m2fnuz", Reader::kDequantize, true},
        DtypeCase{"int8", Reader::kDequantize, true}, DtypeCase{"uint8", Reader::kDequantize, true},
        DtypeCase{"int4", Reader::kDequantize, false},
        DtypeCase{"uint4", Reader::kDequantize, false}),
    [](const testing::TestParamInfo<DtypeCase>& param) {
      return std::string(param.param.dtype) +
             (param.param.reader == Reader::kGather ? "" : "Dequantized");
    });

}  // namespace
}  // namespace wshare::test

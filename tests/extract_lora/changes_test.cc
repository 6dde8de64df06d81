// What a task may change, one change at a time: its class, what serves it, and that it comes back.

#include <gtest/gtest.h>

#include "extract_lora/linear.h"
#include "support/errors.h"

namespace wshare::test {
namespace {

TEST_F(ExtractChange, OfPlaceOrNameNeedsNoBytes) {
  struct Case {
    const char* name;
    const char* body;
    std::vector<Tensor> tensors;
    size_t rows;
  };
  const Tensor turned{"w", {32, 24}, transposed(weight().values)};
  for (const Case& c :
       {Case{"same", kLinear, {weight()}, 0},
        Case{"renamed", "y0 = MatMul (x, v) y = Relu (y0)", {weight("v")}, 0},
        Case{
            "through Identity", "v = Identity (w) y0 = MatMul (x, v) y = Relu (y0)", {weight()}, 0},
        Case{"transposed",
             "v = Transpose <perm = [1, 0]> (w) y0 = MatMul (x, v) y = Relu (y0)",
             {turned},
             1}}) {
    SCOPED_TRACE(c.name);
    const ExtractedTask task = change(model(kLinear, {weight()}), model(c.body, c.tensors));
    EXPECT_EQ(first_reason(task), "");
    EXPECT_EQ(task.same_as, "base");
    EXPECT_EQ(task.adapter + task.model, "");
    ASSERT_EQ(task.tensors.size(), c.rows);
    for (const ExtractedTensor& tensor : task.tensors) {
      EXPECT_EQ(tensor.tensor_class, TensorClass::kTransposed);
      EXPECT_EQ(tensor.stored_bytes, 0u);
    }
  }
}

TEST_F(ExtractChange, IsLowRankInWhateverDirectionItIsStored) {
  const Matrix changed = sum(weight().values, low());
  const Tensor turned{"w", {32, 24}, transposed(changed)};
  const char* through = "v = Transpose <perm = [1, 0]> (w) y0 = MatMul (x, v) y = Relu (y0)";
  const Tensor base_turned{"w", {32, 24}, transposed(weight().values)};
  for (const auto& [base, task] :
       {std::pair(model(kLinear, {weight()}), model(through, {turned})),
        std::pair(model(through, {base_turned}), model(kLinear, {{"w", {24, 32}, changed}})),
        std::pair(model(through, {base_turned}), model(through, {turned}))}) {
    const ExtractedTask found = change(base, task);
    EXPECT_EQ(first_reason(found), "");
    EXPECT_EQ(found.adapter, "task.onnx_adapter");
    ASSERT_EQ(found.tensors.size(), 1u);
    EXPECT_EQ(found.tensors[0].rank, 2);
  }
}

// torch's dynamo writes a Gemm for each linear layer of matrices and all its attributes, its older
// exporter a MatMul where there is no bias, and of a Gemm what is no default.
TEST_F(ExtractChange, IsLowRankWhereOneHasAGemmAndTheOtherOneAMatMul) {
  const Matrix changed = sum(weight().values, low());
  const Tensor turned{"w", {32, 24}, transposed(changed)}, as_is{"w", {24, 32}, changed};
  const Tensor base_turned{"w", {32, 24}, transposed(weight().values)};
  const Tensor bias = vector("c", 5);
  const char* gemm =
      "y0 = Gemm <alpha = 1.0, beta = 1.0, transA = 0, transB = 1> (x, w) y = Relu (y0)";
  const char* plain = "y0 = Gemm (x, w) y = Relu (y0)";
  const char* biased = "y0 = Gemm <transB = 1> (x, w, c) y = Relu (y0)";
  const char* all_said =
      "y0 = Gemm <beta = 1.0, transB = 1, alpha = 1.0, transA = 0> (x, w, c) y = Relu (y0)";
  const char* other_way = "y0 = Gemm <transB = 0> (x, w, c) y = Relu (y0)";
  for (const auto& [base, task] :
       {std::pair(model(kLinear, {weight()}), model(gemm, {turned})),
        std::pair(model(gemm, {base_turned}), model(kLinear, {as_is})),
        std::pair(model(kLinear, {weight()}), model(plain, {as_is})),
        std::pair(model(biased, {base_turned, bias}), model(all_said, {turned, bias})),
        std::pair(model(biased, {base_turned, bias}), model(other_way, {as_is, bias}))}) {
    const ExtractedTask found = change(base, task);
    EXPECT_EQ(first_reason(found), "");
    EXPECT_EQ(found.adapter, "task.onnx_adapter");
    ASSERT_EQ(found.tensors.size(), 1u);
    EXPECT_EQ(found.tensors[0].rank, 2);
  }
  const ExtractedTask exact = change(model(kLinear, {weight()}), model(gemm, {turned}),
                                     [](ExtractOptions& options) { options.exact = true; });
  EXPECT_EQ(first_reason(exact), "the graph has a Gemm where the base has a MatMul (--exact)");
  for (const char* no_matmul :
       {"y0 = Gemm <alpha = 2.0> (x, w) y = Relu (y0)", "y0 = Gemm (x, w, c) y = Relu (y0)"}) {
    forget();
    add("base.onnx", model(kLinear, {weight()}));
    add("task.onnx", model(no_matmul, {as_is, bias}));
    EXPECT_NE(message_of([&] { extract({"task.onnx"}, "base.onnx", {}); }).find("Gemm more"),
              std::string::npos)
        << no_matmul;
  }
}

TEST_F(ExtractChange, OfWhatIsNoLoraGivesAModelOfItsOwnAndAReason) {
  struct Case {
    const char* name;
    onnx::ModelProto base, task;
    const char* reason;
    TensorClass tensor_class;
    const char* note = "";
  };
  Tensor nan = with(weight(), low());
  nan.values.at(2, 3) = std::nan("");
  Tensor infinite = weight();
  infinite.values.at(0, 0) = HUGE_VAL;
  const char* embed = "e = Gather (w, ids) y = Relu (e)";
  Tensor table{"w", {64, 24}, random_matrix(64, 24, 3)};
  Tensor rows = table;
  for (int64_t col = 0; col < 24; ++col) rows.values.at(5, col) += 0.1 * static_cast<double>(col);
  const Tensor half{"w", {24, 32}, weight().values, Proto::FLOAT16};
  const char* cast = "v = Cast <to = 1> (w) y0 = MatMul (x, v) y = Relu (y0)";
  const char* headed = "y0 = MatMul (x, w) h0 = Relu (y0) y = MatMul (h0, head)";
  const Tensor head{"head", {32, 40}, random_matrix(32, 40, 4)};
  const Tensor other_head{"head", {32, 50}, random_matrix(32, 50, 5)};
  for (const Case& c :
       {Case{"other values", model(kLinear, {weight()}), model(kLinear, {weight("w", 2)}),
             "'w' is not the base's tensor plus a low rank", TensorClass::kReplaced},
        Case{"NaN", model(kLinear, {weight()}), model(kLinear, {nan}),
             "'w' or the base's holds NaN or infinity", TensorClass::kReplaced,
             "holds NaN or infinity"},
        Case{"infinity in the base", model(kLinear, {infinite}), model(kLinear, {weight()}),
             "'w' or the base's holds NaN or infinity", TensorClass::kReplaced,
             "holds NaN or infinity"},
        Case{"few rows", model(embed, {table}), model(embed, {rows}),
             "'w' differs from the base's in a few rows", TensorClass::kReplaced,
             "few rows, no LoRA"},
        Case{"cast", model(kLinear, {weight()}), model(cast, {half}),
             "'w' is the base's in another element type", TensorClass::kCast},
        Case{"another head", model(headed, {weight(), head}), model(headed, {weight(), other_head}),
             "'head' has another shape than the base's", TensorClass::kReplaced}}) {
    SCOPED_TRACE(c.name);
    const ExtractedTask task = change(c.base, c.task);
    std::string reasons;
    for (const std::string& reason : task.reasons) reasons += reason + "\n";
    EXPECT_NE(reasons.find(c.reason), std::string::npos) << reasons;
    EXPECT_EQ(task.adapter, "");
    EXPECT_EQ(task.model, "task.onnx");
    ASSERT_EQ(task.tensors.size(), 1u);
    EXPECT_EQ(task.tensors[0].tensor_class, c.tensor_class);
    EXPECT_EQ(task.tensors[0].stored_bytes, task.tensors[0].bytes);
    const std::string notes = task.tensors[0].notes.empty() ? "" : task.tensors[0].notes[0];
    EXPECT_NE(notes.find(c.note), std::string::npos) << notes;
  }
}

TEST_F(ExtractChange, OfABiasOrNormTravelsInTheAdapter) {
  const char* body =
      "y0 = MatMul (x, w) y1 = Add (y0, bias) y = LayerNormalization <axis = -1> (y1, scale, b)";
  const ExtractedTask task = change(
      model(body, {weight(), vector("bias", 2), vector("scale", 3), vector("b", 4)}),
      model(body, {with(weight(), low()), vector("bias", 5), vector("scale", 6), vector("b", 4)}));
  EXPECT_EQ(first_reason(task), "");
  EXPECT_EQ(task.adapter, "task.onnx_adapter");
  ASSERT_EQ(task.tensors.size(), 3u);  // also vectors smaller than min_bytes
  EXPECT_EQ(task.tensors[0].tensor_class, TensorClass::kLowRank);
  for (size_t i : {1u, 2u}) {
    EXPECT_EQ(task.tensors[i].tensor_class, TensorClass::kReplaced);
    EXPECT_EQ(task.tensors[i].stored_bytes, 128u);
  }
}

TEST_F(ExtractChange, OfOneOfTwoEqualWeightsIsNoBranchOfBoth) {
  const char* tied = "y0 = MatMul (x, w) y1 = MatMul (x, w) y = Mul (y0, y1)";
  const char* untied = "y0 = MatMul (x, w) y1 = MatMul (x, v) y = Mul (y0, y1)";
  const ExtractedTask task =
      change(model(tied, {weight()}), model(untied, {weight(), with(weight("v"), low())}));
  EXPECT_EQ(task.adapter, "");
  EXPECT_EQ(task.model, "task.onnx");
  const ExtractedTask both = change(model(tied, {weight()}), model(tied, {with(weight(), low())}));
  EXPECT_EQ(first_reason(both), "");
  EXPECT_EQ(both.adapter, "task.onnx_adapter");
}

TEST_F(ExtractChange, OfFloat64KeepsItsPrecision) {
  for (const double size : {1.0, 1e-200, 1e200}) {
    SCOPED_TRACE(size);
    Tensor base = weight(), task = with(weight(), low());
    for (Tensor* each : {&base, &task}) {
      each->type = Proto::DOUBLE;
      for (double& value : each->values.values) value *= size;
    }
    const ExtractedTask found =
        change(model(kLinear, {base}, "double"), model(kLinear, {task}, "double"));
    for (const ExtractedTensor& tensor : found.tensors) {
      EXPECT_TRUE(std::isfinite(tensor.relative_error + tensor.max_abs_error));
    }
    if (size == 1) {
      EXPECT_EQ(found.adapter, "task.onnx_adapter");
      EXPECT_LT(found.tensors.at(0).relative_error, 1e-14);
    }
  }
}

// In whichever field or file the bytes lie.
TEST_F(ExtractChange, ComesBackInTheFormThatItHad) {
  const auto in_field = [](onnx::ModelProto proto) {
    Proto& tensor = *proto.mutable_graph()->mutable_initializer(0);
    const std::string bytes = tensor.raw_data();
    tensor.clear_raw_data();
    if (tensor.data_type() == Proto::FLOAT) {
      for (size_t at = 0; at < bytes.size(); at += 4) {
        float value;
        std::memcpy(&value, bytes.data() + at, 4);
        tensor.add_float_data(value);
      }
    } else {
      for (size_t at = 0; at < bytes.size(); at += 2) {
        uint16_t value;
        std::memcpy(&value, bytes.data() + at, 2);
        tensor.add_int32_data(value);
      }
    }
    return proto;
  };
  const auto outside = [&](onnx::ModelProto proto, const std::string& file) {
    Proto& tensor = *proto.mutable_graph()->mutable_initializer(0);
    write_file(temp_ / "in" / file, "in front" + tensor.raw_data() + std::string(100, '\0'));
    tensor.clear_raw_data();
    tensor.set_data_location(Proto::EXTERNAL);
    for (const auto& [key, value] :
         {std::pair("location", file), std::pair("offset", std::string("8")),
          std::pair("length", std::to_string(tensor.dims(0) * tensor.dims(1) *
                                             (tensor.data_type() == Proto::FLOAT ? 4 : 2)))}) {
      onnx::StringStringEntryProto& entry = *tensor.add_external_data();
      entry.set_key(key);
      entry.set_value(value);
    }
    return proto;
  };
  for (const int type : {Proto::FLOAT, Proto::FLOAT16}) {
    const std::string name = type == Proto::FLOAT ? "float" : "float16";
    Tensor base = weight(), task = with(weight(), low());
    base.type = task.type = type;
    const onnx::ModelProto plain = model(kLinear, {base}, name);
    const onnx::ModelProto changed = model(kLinear, {task}, name);
    for (const bool own_model : {false, true}) {
      const auto emit = [&](ExtractOptions& options) { options.emit = {!own_model, own_model}; };
      for (const onnx::ModelProto& other : {in_field(changed), outside(changed, "task.data")}) {
        for (const onnx::ModelProto& one : {plain, in_field(plain), outside(plain, "base.data")}) {
          const ExtractedTask found = change(one, other, emit);
          EXPECT_EQ(found.adapter, own_model ? "" : "task.onnx_adapter");
          ASSERT_EQ(found.tensors.size(), 1u);
          EXPECT_EQ(found.tensors[0].rank, 2);
        }
        if (fs::exists(temp_ / "back/task.data")) {
          EXPECT_TRUE(read_file(temp_ / "back/task.data") == read_file(temp_ / "in/task.data"));
        }
      }
    }
  }
}

}  // namespace
}  // namespace wshare::test

// What tasks of adapters of image models compute is what the model with the changed weights does.

#include <algorithm>
#include <cmath>

#include "import_adapter/kohya_fixture.h"
#include "wshare/runtime.h"

namespace wshare::test {
namespace {

using Outputs = std::vector<std::vector<float>>;

Outputs run_unet(Ort::Session& session, const Ort::RunOptions& options) {
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
  std::vector<float> sample = kohya_tensor({1, 4, 5, 5}, 90).values;
  std::vector<float> h = kohya_tensor({3, 12}, 91).values;
  const Dims sample_dims = {1, 4, 5, 5}, h_dims = {3, 12};
  std::vector<Ort::Value> values;
  values.push_back(Ort::Value::CreateTensor<float>(memory, sample.data(), sample.size(),
                                                   sample_dims.data(), sample_dims.size()));
  values.push_back(
      Ort::Value::CreateTensor<float>(memory, h.data(), h.size(), h_dims.data(), h_dims.size()));
  const char* inputs[] = {"sample", "h"};
  const char* outputs[] = {"y", "z"};
  Outputs result;
  for (const Ort::Value& out : session.Run(options, inputs, values.data(), 2, outputs, 2)) {
    const float* data = out.GetTensorData<float>();
    result.emplace_back(data, data + out.GetTensorTypeAndShapeInfo().GetElementCount());
  }
  return result;
}

void expect_near(const Outputs& wanted, const Outputs& got) {
  for (size_t i = 0; i < wanted.size(); ++i) {
    ASSERT_EQ(wanted[i].size(), got[i].size());
    float largest = 0, off = 0;
    for (size_t j = 0; j < wanted[i].size(); ++j) {
      largest = std::max(largest, std::abs(wanted[i][j]));
      off = std::max(off, std::abs(wanted[i][j] - got[i][j]));
    }
    EXPECT_LT(off, 3e-6f * largest) << i;
  }
}

// Adds `delta` [out, in x kernel] times `scale` to initializer `index`.
void change(onnx::ModelProto& model, int index, const Dense& delta, float scale) {
  onnx::TensorProto& tensor = *model.mutable_graph()->mutable_initializer(index);
  std::string& bytes = *tensor.mutable_raw_data();
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  for (size_t i = 0; i < delta.rows; ++i) {
    for (size_t j = 0; j < delta.cols; ++j) {  // the linear layer has [in, out]
      const size_t at = tensor.dims_size() == 2 ? j * delta.rows + i : i * delta.cols + j;
      values[at] += scale * static_cast<float>(delta.at(i, j));
    }
  }
  std::memcpy(bytes.data(), values.data(), bytes.size());
}

class KohyaOutputs : public KohyaTest {
 protected:
  // Imports `tensors`, and compares with `merged`.
  void expect_task(const KohyaTensors& tensors, const onnx::ModelProto& merged) {
    add("unet.onnx", unet());
    make_bundle();
    const nlohmann::json report = import_json(add_kohya("style.safetensors", tensors));
    const std::string bytes = merged.SerializeAsString();
    Ort::Session wanted(environment(), bytes.data(), bytes.size(), Ort::SessionOptions{});
    Ort::Session base(environment(), path("in/unet.onnx").c_str(), Ort::SessionOptions{});
    TaskSession session = Bundle::open(bundle()).task_session("unet");
    expect_near(run_unet(wanted, Ort::RunOptions{}),
                run_unet(session.session(), session.options("style")));
    EXPECT_EQ(run_unet(base, Ort::RunOptions{}), run_unet(session.session(), session.options("")));
    expect_whole();
  }
};

const std::string kConv = "lora_unet_down_blocks_0_resnets_0_conv1.";
const std::string kLinear = "lora_unet_mid_block_attentions_0_attn1_to_out_0.";

TEST_F(KohyaOutputs, AreThoseOfLoConWithAndWithoutItsMiddle) {
  const KohyaTensor down = kohya_tensor({2, 4, 1, 1}, 1), mid = kohya_tensor({2, 2, 3, 3}, 2);
  const KohyaTensor up = kohya_tensor({6, 2, 1, 1}, 3);
  const KohyaTensor a = kohya_tensor({2, 6, 1, 1}, 4), b = kohya_tensor({6, 2, 1, 1}, 5);
  onnx::ModelProto merged = unet();
  change(merged, 0, dense_tucker(mid, up, down, true), 0.5);
  change(merged, 1, dense_product(b, a), 1);
  const std::string proj = "lora_unet_down_blocks_0_attentions_0_proj_in.";
  expect_task({{kConv + "lora_down.weight", down},
               {kConv + "lora_mid.weight", mid},
               {kConv + "lora_up.weight", up},
               {kConv + "alpha", alpha_tensor(1)},
               {proj + "lora_down.weight", a},
               {proj + "lora_up.weight", b}},
              merged);
}

TEST_F(KohyaOutputs, AreThoseOfLoHa) {
  const KohyaTensor w1_a = kohya_tensor({6, 2}, 1), w1_b = kohya_tensor({2, 36}, 2);
  const KohyaTensor w2_a = kohya_tensor({6, 2}, 3), w2_b = kohya_tensor({2, 36}, 4);
  const KohyaTensor l1_a = kohya_tensor({8, 2}, 5), l1_b = kohya_tensor({2, 12}, 6);
  onnx::ModelProto merged = unet();
  change(merged, 0, hadamard(dense_product(w1_a, w1_b), dense_product(w2_a, w2_b)), 0.5);
  change(merged, 2, hadamard(dense_product(l1_a, l1_b), dense_product(l1_a, l1_b)), 1);
  expect_task({{kConv + "hada_w1_a", w1_a},
               {kConv + "hada_w1_b", w1_b},
               {kConv + "hada_w2_a", w2_a},
               {kConv + "hada_w2_b", w2_b},
               {kConv + "alpha", alpha_tensor(1)},
               {kLinear + "hada_w1_a", l1_a},
               {kLinear + "hada_w1_b", l1_b},
               {kLinear + "hada_w2_a", l1_a},
               {kLinear + "hada_w2_b", l1_b}},
              merged);
}

TEST_F(KohyaOutputs, AreThoseOfLoKr) {
  const KohyaTensor w1 = kohya_tensor({2, 2}, 1);
  const KohyaTensor w2_a = kohya_tensor({3, 2}, 2), w2_b = kohya_tensor({2, 18}, 3);
  const KohyaTensor l1 = kohya_tensor({2, 3}, 4);
  const KohyaTensor l2_a = kohya_tensor({4, 1}, 5), l2_b = kohya_tensor({1, 4}, 6);
  onnx::ModelProto merged = unet();
  change(merged, 0, kronecker(dense_of(w1), dense_product(w2_a, w2_b)), 0.5);
  change(merged, 2, kronecker(dense_of(l1), dense_product(l2_a, l2_b)), 1);
  expect_task({{kConv + "lokr_w1", w1},
               {kConv + "lokr_w2_a", w2_a},
               {kConv + "lokr_w2_b", w2_b},
               {kConv + "alpha", alpha_tensor(1)},
               {kLinear + "lokr_w1", l1},
               {kLinear + "lokr_w2_a", l2_a},
               {kLinear + "lokr_w2_b", l2_b}},
              merged);
}

}  // namespace
}  // namespace wshare::test

#pragma once

#include "import_adapter/fixture.h"
#include "support/kohya_tensors.h"

namespace wshare::test {

inline onnx::AttributeProto& add_integers(onnx::NodeProto& node, const std::string& name,
                                          const std::vector<int64_t>& numbers) {
  onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(onnx::AttributeProto::INTS);
  for (const int64_t number : numbers) attribute.add_ints(number);
  return attribute;
}

// What an exporter makes of layers of a U-Net of diffusers: convolutions 3x3 [4 -> 6] and 1x1, and
// a linear layer [12 -> 8] beside them.
inline onnx::ModelProto unet() {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  declare(*graph.add_input(), "sample", Proto::FLOAT, {1, 4, 5, 5});
  declare(*graph.add_input(), "h", Proto::FLOAT, {-1, 12});
  const std::string conv = "down_blocks.0.resnets.0.conv1";
  const std::string proj = "down_blocks.0.attentions.0.proj_in";
  *graph.add_initializer() = weight(conv + ".weight", {6, 4, 3, 3}, 1);
  *graph.add_initializer() = weight(proj + ".weight", {6, 6, 1, 1}, 2);
  *graph.add_initializer() = weight("onnx::MatMul_9", {12, 8}, 3);
  add_layer(graph, "Conv", "/down_blocks.0/resnets.0/conv1/Conv", {"sample", conv + ".weight"},
            "c");
  add_integers(*graph.mutable_node(0), "pads", {1, 1, 1, 1});
  add_layer(graph, "Conv", "/down_blocks.0/attentions.0/proj_in/Conv", {"c", proj + ".weight"},
            "y");
  add_layer(graph, "MatMul", "/mid_block/attentions.0/attn1/to_out.0/MatMul",
            {"h", "onnx::MatMul_9"}, "z");
  declare(*graph.add_output(), "y", Proto::FLOAT, {1, 6, 5, 5});
  declare(*graph.add_output(), "z", Proto::FLOAT, {-1, 8});
  return model;
}

inline onnx::ModelProto text_encoder(int64_t width) {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  declare(*graph.add_input(), "x", Proto::FLOAT, {-1, width});
  *graph.add_initializer() = weight("w_q", {width, width}, 4);
  add_layer(graph, "MatMul", "/text_model/encoder/layers.0/self_attn/q_proj/MatMul", {"x", "w_q"},
            "y");
  declare(*graph.add_output(), "y", Proto::FLOAT, {-1, width});
  return model;
}

// A pair of rank 2 for a weight [out, in], the input and the kernel in `in`; with kohya's names
// also an alpha of 0.5.
inline KohyaTensors lora(const std::string& module, Dims in, int64_t out,
                         const std::string& down = ".lora_down",
                         const std::string& up = ".lora_up") {
  Dims up_dims(in.size() + 1, 1);
  up_dims[0] = out;
  up_dims[1] = 2;
  in.insert(in.begin(), 2);
  KohyaTensors tensors{{module + down + ".weight", kohya_tensor(in, 1)},
                       {module + up + ".weight", kohya_tensor(up_dims, 2)}};
  if (down == ".lora_down") tensors[module + ".alpha"] = alpha_tensor(0.5);
  return tensors;
}

inline KohyaTensors operator+(KohyaTensors all, const KohyaTensors& more) {
  all.insert(more.begin(), more.end());
  return all;
}

class KohyaTest : public ImportTest {
 protected:
  std::string add_kohya(const std::string& name, const KohyaTensors& tensors) {
    std::vector<NamedTensor> given;
    for (const auto& [key, tensor] : tensors)
      given.push_back({key, Proto::FLOAT, tensor.dims, std::as_bytes(std::span(tensor.values))});
    std::string bytes;
    write_safetensors(lay_out_safetensors(given, {}), given, append_to(bytes));
    write_file(temp_ / name, bytes);
    return path(name);
  }
};

}  // namespace wshare::test

#pragma once

#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "format/adapter_file.h"
#include "format/safetensors.h"
#include "support/cli_test.h"

namespace wshare::test {

using Dims = std::vector<int64_t>;

// `count` floats that depend on `seed`, none of them zero.
inline std::string nonzero_floats(int64_t count, uint32_t seed) {
  std::string bytes;
  for (int64_t i = 0; i < count; ++i) {
    const float value =
        static_cast<float>((seed * 37 + static_cast<uint32_t>(i) * 11) % 97 + 1) / 64;
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  return bytes;
}

inline onnx::TensorProto weight(const std::string& name, const Dims& dims, uint32_t seed) {
  return raw(name, nonzero_floats(count_of(dims), seed), Proto::FLOAT, dims);
}

inline onnx::ValueInfoProto& declare(onnx::ValueInfoProto& value, const std::string& name, int type,
                                     const Dims& dims) {
  value.set_name(name);
  onnx::TypeProto_Tensor& tensor = *value.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(type);
  for (const int64_t dim : dims) {
    auto& each = *tensor.mutable_shape()->add_dim();
    if (dim >= 0) each.set_dim_value(dim);
  }
  return value;
}

// Adds a node with a name.
inline void add_layer(onnx::GraphProto& graph, const std::string& op, const std::string& name,
                      const std::vector<std::string>& inputs, const std::string& output) {
  add_node(graph, op, inputs, {output}).set_name(name);
}

// What an exporter makes of embed [12, 6] -> l.0.q [6 -> 8] -> l.0.k [8 -> 6] inside a "model":
// names of weights, or of nodes only.
inline onnx::ModelProto small_model() {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  declare(*graph.add_input(), "ids", Proto::INT64, {-1});
  *graph.add_initializer() = weight("model.embed.weight", {12, 6}, 1);
  *graph.add_initializer() = weight("onnx::MatMul_7", {6, 8}, 2);
  *graph.add_initializer() = weight("model.l.0.k.weight", {8, 6}, 3);
  add_layer(graph, "Gather", "/model/embed/Gather", {"model.embed.weight", "ids"}, "e");
  add_layer(graph, "MatMul", "/model/l.0/q/MatMul", {"e", "onnx::MatMul_7"}, "q");
  add_layer(graph, "MatMul", "/model/l.0/k/MatMul", {"q", "model.l.0.k.weight"}, "y");
  declare(*graph.add_output(), "y", Proto::FLOAT, {-1, 6});
  return model;
}

// x [n,32] -> q [32 -> 8], a weight of 4 bits in blocks of 32.
inline onnx::ModelProto four_bit_model(int64_t accuracy_level = 0) {
  onnx::ModelProto model = empty_model();
  auto& opset = *model.add_opset_import();
  opset.set_domain("com.microsoft");
  opset.set_version(1);
  onnx::GraphProto& graph = *model.mutable_graph();
  declare(*graph.add_input(), "x", Proto::FLOAT, {-1, 32});
  *graph.add_initializer() = raw("onnx::MatMul_7_Q4", noise(8 * 16, 5), Proto::UINT8, {8, 1, 16});
  *graph.add_initializer() = weight("onnx::MatMul_7_scales", {8}, 2);
  add_layer(graph, "MatMulNBits", "/model/l.0/q/MatMul_Q4",
            {"x", "onnx::MatMul_7_Q4", "onnx::MatMul_7_scales"}, "y");
  onnx::NodeProto& layer = *graph.mutable_node(0);
  layer.set_domain("com.microsoft");
  for (const auto& [name, value] : {std::pair{"K", int64_t{32}},
                                    {"N", int64_t{8}},
                                    {"bits", int64_t{4}},
                                    {"block_size", int64_t{32}},
                                    {"accuracy_level", accuracy_level}})
    *layer.add_attribute() = integer(name, value);
  declare(*graph.add_output(), "y", Proto::FLOAT, {-1, 8});
  return model;
}

// A tensor of an adapter.
struct Given {
  std::string name;
  Dims dims;
  std::string bytes;
  int type = Proto::FLOAT;
};

inline std::vector<NamedTensor> named(const std::vector<Given>& tensors) {
  std::vector<NamedTensor> result;
  for (const Given& each : tensors)
    result.push_back({each.name, each.type, each.dims, bytes_of(each.bytes)});
  return result;
}

// Factors of a module as PEFT stores them: A [rank, in], B [out, rank].
inline std::vector<Given> pair(const std::string& path, int64_t in, int64_t out, int64_t rank,
                               bool embedding = false) {
  const std::string key = "base_model.model." + path + (embedding ? ".lora_embedding_" : ".lora_");
  const std::string end = embedding ? "" : ".weight";
  return {{key + "A" + end, {rank, in}, nonzero_floats(rank * in, 50)},
          {key + "B" + end, {out, rank}, nonzero_floats(out * rank, 60)}};
}

inline std::vector<Given> operator+(std::vector<Given> all, const std::vector<Given>& more) {
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

class ImportTest : public CliTest {
 protected:
  std::string bundle() const { return path("bundle"); }

  void make_bundle() {
    ASSERT_EQ(run({"dedupe", path("in"), "-o", bundle(), "--min-bytes", "64"}), 0);
  }

  // Writes an adapter of PEFT with alpha 3 and rank `rank` into the folder `name`.
  std::string add_peft(const std::string& name, const std::vector<Given>& tensors, int rank = 2) {
    const std::vector<NamedTensor> given = named(tensors);
    const SafetensorsLayout layout = lay_out_safetensors(given, {});
    std::string bytes;
    write_safetensors(layout, given, append_to(bytes));
    write_file(temp_ / (name + "/adapter_model.safetensors"), bytes);
    const nlohmann::json config{{"peft_type", "LORA"}, {"r", rank}, {"lora_alpha", 3}};
    write_file(temp_ / (name + "/adapter_config.json"), config.dump());
    return path(name);
  }

  std::string add_onnx_adapter(const std::string& name, const std::vector<Given>& tensors) {
    const std::vector<NamedTensor> given = named(tensors);
    std::string bytes;
    write_adapter(lay_out_adapter(given), given, append_to(bytes));
    write_file(temp_ / name, bytes);
    return path(name);
  }

  nlohmann::json import_json(const std::string& adapter, std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"import-adapter", bundle(), adapter, "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    EXPECT_EQ(run(arguments), 0) << err_;
    return nlohmann::json::parse(out_, nullptr, false);
  }

  // The bundle verifies, and gives back what it was made of.
  void expect_whole() {
    EXPECT_EQ(run({"verify", bundle()}), 0) << out_ << err_;
    fs::remove_all(temp_ / "back");
    EXPECT_EQ(run({"restore", bundle(), "-o", path("back")}), 0) << err_;
    EXPECT_EQ(out_.find("same content"), std::string::npos) << out_;
    EXPECT_TRUE(files_in(temp_ / "back") == files_in(temp_ / "in"));
  }

  // The parameters of the adapter `file` of the bundle, by name.
  std::map<std::string, Given> parameters(const std::string& file) {
    const std::string bytes = read_file(temp_ / ("bundle/" + file));
    std::map<std::string, Given> result;
    for (const NamedTensor& each : read_adapter(bytes_of(bytes))) {
      result[each.name] = {each.name, each.shape, text_of(each.bytes), each.dtype};
    }
    return result;
  }
};

}  // namespace wshare::test

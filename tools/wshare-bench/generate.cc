// Seeded families of models: they run in ONNX Runtime, and their weights are noise scaled so that
// activations stay in range.

#include "generate.h"

#include <onnx/onnx_pb.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

struct Family {
  std::string folder;
  int models = 8, first = 0;
  int mib = 100;     // of one model
  int width = 1024;  // of a layer; one layer has 4 * width * width bytes
  int layers = 0;    // instead of mib
  int rank = 16;     // of LoRA pairs
  int tensors = 1000000;
  bool hub = false;  // a folder for each model, as on the Hub
};

std::string weights(size_t count, double scale, uint32_t seed) {
  std::mt19937 random(seed);
  std::string bytes(count * sizeof(float), '\0');
  auto* values = reinterpret_cast<float*>(bytes.data());
  // Uniform, from the generator's bits alone: the same on every machine.
  for (size_t i = 0; i < count; ++i) {
    values[i] =
        static_cast<float>((static_cast<double>(random()) / 4294967295.0 - 0.5) * 3.46 * scale);
  }
  return bytes;
}

void add_weight(onnx::GraphProto& graph, const std::string& name, int rows, int columns,
                std::string bytes) {
  onnx::TensorProto& tensor = *graph.add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(onnx::TensorProto::FLOAT);
  tensor.add_dims(rows);
  tensor.add_dims(columns);
  tensor.set_raw_data(std::move(bytes));
}

void add_node(onnx::GraphProto& graph, const std::string& op,
              const std::vector<std::string>& inputs, const std::string& output) {
  onnx::NodeProto& node = *graph.add_node();
  node.set_op_type(op);
  node.set_name(output);
  for (const std::string& input : inputs) node.add_input(input);
  node.add_output(output);
}

void add_value(onnx::ValueInfoProto& value, const std::string& name, int columns) {
  value.set_name(name);
  onnx::TypeProto::Tensor& type = *value.mutable_type()->mutable_tensor_type();
  type.set_elem_type(onnx::TensorProto::FLOAT);
  type.mutable_shape()->add_dim()->set_dim_param("batch");
  type.mutable_shape()->add_dim()->set_dim_value(columns);
}

int layers_of(const Family& family) {
  if (family.layers > 0) return family.layers;
  const double bytes_of_layer = 4.0 * family.width * family.width;
  return std::max(1, static_cast<int>(std::lround(family.mib * 1048576.0 / bytes_of_layer)));
}

// A stack of MatMul and Relu over weights that `weight_of` gives for each layer; returns what comes
// out of it.
template <typename WeightOf>
std::string add_trunk(onnx::GraphProto& graph, const Family& family, const WeightOf& weight_of) {
  add_value(*graph.add_input(), "x", family.width);
  std::string value = "x";
  for (int layer = 0; layer < layers_of(family); ++layer) {
    const std::string name = "layer" + std::to_string(layer);
    add_weight(graph, name + ".weight", family.width, family.width, weight_of(layer));
    add_node(graph, "MatMul", {value, name + ".weight"}, name + ".product");
    add_node(graph, "Relu", {name + ".product"}, name + ".out");
    value = name + ".out";
  }
  return value;
}

std::string trunk_weight(const Family& family, int layer) {
  const auto size = static_cast<size_t>(family.width);
  return weights(size * size, std::sqrt(2.0 / family.width), static_cast<uint32_t>(layer + 1));
}

onnx::ModelProto make_model(const std::string& name) {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  model.mutable_graph()->set_name(name);
  return model;
}

void write(const onnx::ModelProto& model, const Family& family, const std::string& name) {
  std::filesystem::path path = std::filesystem::path(family.folder) / (name + ".onnx");
  if (family.hub) path = std::filesystem::path(family.folder) / name / "onnx" / "model.onnx";
  std::filesystem::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary);
  if (!model.SerializeToOstream(&file) || !file.flush())
    throw std::runtime_error(family.folder + ": cannot write");
}

// The trunk that all models share, and a head of its own for each.
void write_finetune(const Family& family, int number) {
  const int classes = std::min(256, 4 * family.width);
  onnx::ModelProto model = make_model("finetune");
  onnx::GraphProto& graph = *model.mutable_graph();
  const std::string value =
      add_trunk(graph, family, [&](int layer) { return trunk_weight(family, layer); });
  add_weight(graph, "head.weight", family.width, classes,
             weights(static_cast<size_t>(family.width) * classes, std::sqrt(1.0 / family.width),
                     static_cast<uint32_t>(1000 + number)));
  add_node(graph, "MatMul", {value, "head.weight"}, "y");
  add_value(*graph.add_output(), "y", classes);
  write(model, family, "task" + std::to_string(number));
}

// Adds to `bytes`, a square weight, the product of two seeded factors of `family.rank`.
void merge_pair(std::string& bytes, const Family& family, uint32_t seed) {
  const auto size = static_cast<size_t>(family.width), rank = static_cast<size_t>(family.rank);
  const std::string a_bytes = weights(size * rank, std::sqrt(1.0 / family.width), seed);
  const std::string b_bytes = weights(rank * size, 0.02, seed + 1);
  const auto* a = reinterpret_cast<const float*>(a_bytes.data());
  const auto* b = reinterpret_cast<const float*>(b_bytes.data());
  auto* weight = reinterpret_cast<float*>(bytes.data());
  std::vector<float> row(size);
  for (size_t i = 0; i < size; ++i) {
    std::fill(row.begin(), row.end(), 0.0F);
    for (size_t k = 0; k < rank; ++k) {
      for (size_t j = 0; j < size; ++j) row[j] += a[i * rank + k] * b[k * size + j];
    }
    for (size_t j = 0; j < size; ++j) weight[i * size + j] += row[j];
  }
}

// The trunk alone, as the base, or (from 0 on) with the LoRA pair of a task merged into each
// weight.
void write_lora(const Family& family, int number) {
  onnx::ModelProto model = make_model("lora");
  onnx::GraphProto& graph = *model.mutable_graph();
  const std::string value = add_trunk(graph, family, [&](int layer) {
    std::string bytes = trunk_weight(family, layer);
    if (number >= 0)
      merge_pair(bytes, family, static_cast<uint32_t>(10000 * (number + 1) + 2 * layer));
    return bytes;
  });
  add_node(graph, "Identity", {value}, "y");
  add_value(*graph.add_output(), "y", family.width);
  write(model, family, number < 0 ? "base" : "task" + std::to_string(number));
}

// One model of very many initializers of 16 bytes, each read by a node, ten to a node.
void write_initializers(const Family& family) {
  constexpr int kOfNode = 10;
  onnx::ModelProto model = make_model("initializers");
  onnx::GraphProto& graph = *model.mutable_graph();
  add_value(*graph.add_input(), "x", 4);
  std::string value = "x";
  for (int first = 0; first < family.tensors; first += kOfNode) {
    std::vector<std::string> inputs = {value};
    for (int t = first; t < std::min(first + kOfNode, family.tensors); ++t) {
      inputs.push_back("model.block" + std::to_string(t / 100) + ".weight_" + std::to_string(t));
      add_weight(graph, inputs.back(), 1, 4, weights(4, 1, static_cast<uint32_t>(t)));
    }
    value = "sum" + std::to_string(first);
    add_node(graph, "Sum", inputs, value);
  }
  add_value(*graph.add_output(), value, 4);
  write(model, family, "initializers");
}

}  // namespace

void add_generate_command(CLI::App& app) {
  CLI::App* generate = app.add_subcommand("generate", "Make a seeded family of models");
  generate->require_subcommand(1);
  const auto family = std::make_shared<Family>();
  const auto add = [&](const char* name, const char* description) {
    CLI::App* command = generate->add_subcommand(name, description);
    command->add_option("DIR", family->folder, "Folder to write into")->required();
    command->add_option("--models", family->models, "How many")
        ->check(CLI::Range(1, 100000))
        ->capture_default_str();
    command->add_option("--first", family->first, "Number of the first")
        ->check(CLI::Range(0, 100000))
        ->capture_default_str();
    command->add_option("--layers", family->layers, "Instead of --mib")->check(CLI::Range(1, 1000));
    command->add_flag("--hub", family->hub, "A folder for each, as on the Hub");
    command->add_option("--mib", family->mib, "MiB of one model")
        ->check(CLI::Range(1, 1900))
        ->capture_default_str();
    command->add_option("--width", family->width, "Columns of a layer")
        ->check(CLI::Range(16, 8192))
        ->capture_default_str();
    return command;
  };
  add("finetunes", "Models with one trunk and a head each")->callback([=] {
    for (int number = 0; number < family->models; ++number)
      write_finetune(*family, family->first + number);
  });
  CLI::App* lora = add("lora", "A base, and models with a LoRA pair merged into each weight");
  lora->add_option("--rank", family->rank, "Of the pairs")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  lora->callback([=] {
    for (int number = -1; number < family->models; ++number) write_lora(*family, number);
  });
  CLI::App* initializers =
      generate->add_subcommand("initializers", "One model of very many small initializers");
  initializers->add_option("DIR", family->folder, "Folder to write into")->required();
  initializers->add_option("--tensors", family->tensors, "How many")
      ->check(CLI::Range(1, 10000000))
      ->capture_default_str();
  initializers->callback([=] { write_initializers(*family); });
}

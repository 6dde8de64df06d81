// Makes seeded families of models for benchmarks and the quickstart, and measures sessions. The
// models run in ONNX Runtime; their weights are noise scaled so that activations stay in range.

#include <onnx/onnx_pb.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#ifdef WSHARE_HAS_ONNXRUNTIME
#include "sessions.h"
#endif

namespace {

struct Family {
  std::string folder;
  int models = 8;
  int mib = 100;     // of one model
  int width = 1024;  // of a layer; one layer has 4 * width * width bytes
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

// A stack of MatMul and Relu that all models share, and a head of its own for each.
void write_finetune(const Family& family, int number) {
  const int width = family.width;
  const int layers =
      std::max(1, static_cast<int>(std::lround(family.mib * 1048576.0 / (4.0 * width * width))));
  const int classes = 256;
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  onnx::GraphProto& graph = *model.mutable_graph();
  graph.set_name("finetune");
  add_value(*graph.add_input(), "x", width);
  std::string value = "x";
  const auto size = static_cast<size_t>(width);
  for (int layer = 0; layer < layers; ++layer) {
    const std::string name = "layer" + std::to_string(layer);
    add_weight(graph, name + ".weight", width, width,
               weights(size * size, std::sqrt(2.0 / width), static_cast<uint32_t>(layer + 1)));
    add_node(graph, "MatMul", {value, name + ".weight"}, name + ".product");
    add_node(graph, "Relu", {name + ".product"}, name + ".out");
    value = name + ".out";
  }
  add_weight(graph, "head.weight", width, classes,
             weights(size * classes, std::sqrt(1.0 / width), static_cast<uint32_t>(1000 + number)));
  add_node(graph, "MatMul", {value, "head.weight"}, "y");
  add_value(*graph.add_output(), "y", classes);
  std::ofstream file(
      std::filesystem::path(family.folder) / ("task" + std::to_string(number) + ".onnx"),
      std::ios::binary);
  if (!model.SerializeToOstream(&file) || !file.flush())
    throw std::runtime_error(family.folder + ": cannot write");
}

}  // namespace

int main(int argc, char** argv) {
  setenv("ORT_DISABLE_TELEMETRY", "1", 0);  // as wshare
  CLI::App app("Makes data for wshare's benchmarks.", "wshare-bench");
  app.require_subcommand(1);
  CLI::App* generate = app.add_subcommand("generate", "Make a seeded family of models");
  generate->require_subcommand(1);
  Family family;
  CLI::App* finetunes =
      generate->add_subcommand("finetunes", "Models with one trunk and a head each");
  finetunes->add_option("DIR", family.folder, "Folder to write into")->required();
  finetunes->add_option("--models", family.models, "How many")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  finetunes->add_option("--mib", family.mib, "MiB of one model")
      ->check(CLI::Range(1, 1900))
      ->capture_default_str();
  finetunes->add_option("--width", family.width, "Columns of a layer")
      ->check(CLI::Range(16, 8192))
      ->capture_default_str();
  try {
#ifdef WSHARE_HAS_ONNXRUNTIME
    add_session_commands(app);
#endif
    CLI11_PARSE(app, argc, argv);
    if (!finetunes->parsed()) return 0;
    std::filesystem::create_directories(family.folder);
    for (int number = 0; number < family.models; ++number) write_finetune(family, number);
  } catch (const std::exception& error) {
    std::cerr << "wshare-bench: " << error.what() << '\n';
    return 3;
  }
  return 0;
}

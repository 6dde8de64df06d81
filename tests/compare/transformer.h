#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "compare/weights.h"

namespace wshare::test {

// The weights of a small encoder by module: "embed", "0.q", "0.down", ...
using Weights = std::map<std::string, Matrix>;

inline Weights encoder_weights(int layers, uint64_t seed) {
  constexpr int64_t kWidth = 48;
  Weights weights;
  weights["embed"] = random_matrix(90, kWidth, seed++);
  for (int layer = 0; layer < layers; ++layer) {
    const std::string at = std::to_string(layer) + ".";
    for (const char* name : {"q", "k", "v", "o"}) {
      weights[at + name] = random_matrix(kWidth, kWidth, seed++);
    }
    weights[at + "norm"] = random_matrix(1, kWidth, seed++, 1);
    weights[at + "up"] = random_matrix(kWidth, 96, seed++);
    weights[at + "down"] = random_matrix(96, kWidth, seed++);
  }
  return weights;
}

// How a model is written; the mathematics stay the same.
struct Export {
  int first_number = 100;   // names count up from here: "onnx::MatMul_100"
  int type = Proto::FLOAT;  // of the weights; others than float32 are read through Cast
  std::set<std::string> transposed = {};  // stored as the transpose, read through Transpose
  std::set<std::string> through_identity = {};
  bool reverse_branches = false;  // v before k before q
  bool head = false;              // a classifier more, with a weight of its own
};

// A model made of `weights`, and what it calls each module's tensor.
struct Exported {
  onnx::ModelProto model;
  std::map<std::string, std::string> name_of;
};

// Writes an encoder as exporters do: nodes without names, numbered weights. Each number is used
// once, so a model whose numbers begin elsewhere has names that mean other weights.
class Exporter {
 public:
  Exporter(const Weights& weights, const Export& options)
      : weights_(weights), options_(options), number_(options.first_number) {
    exported_.model = empty_model();
  }

  Exported run(int layers) {
    graph().add_input()->set_name("ids");
    std::string x = node("Gather", {weight("embed"), "ids"});
    for (int layer = 0; layer < layers; ++layer) x = add_layer(x, std::to_string(layer) + ".");
    output(x, "hidden");
    if (options_.head) output(node("MatMul", {x, weight("head")}), "logits");
    return std::move(exported_);
  }

 private:
  onnx::GraphProto& graph() { return *exported_.model.mutable_graph(); }

  std::string node(const std::string& op, const std::vector<std::string>& inputs) {
    const std::string result = "v" + std::to_string(values_++);
    add_node(graph(), op, inputs, {result});
    return result;
  }

  void output(const std::string& value, const std::string& name) {
    add_node(graph(), "Identity", {value}, {name});
    graph().add_output()->set_name(name);
  }

  std::string weight(const std::string& module) {
    const std::string name = "onnx::MatMul_" + std::to_string(number_++);
    exported_.name_of[module] = name;
    const bool flip = options_.transposed.count(module) != 0;
    const Matrix& matrix = weights_.at(module);
    *graph().add_initializer() =
        tensor(name, flip ? test::transposed(matrix) : matrix, options_.type);
    std::string value = name;
    if (flip) value = node("Transpose", {value});
    if (options_.type != Proto::FLOAT) value = node("Cast", {value});
    if (options_.through_identity.count(module) != 0) value = node("Identity", {value});
    return value;
  }

  std::string add_layer(const std::string& x, const std::string& at) {
    const std::string normed = node("Mul", {x, weight(at + "norm")});
    std::map<std::string, std::string> branch;
    std::vector<std::string> order = {"q", "k", "v"};
    if (options_.reverse_branches) order = {"v", "k", "q"};
    for (const std::string& name : order) {
      branch[name] = node("MatMul", {normed, weight(at + name)});
    }
    const std::string scores = node("MatMul", {branch["q"], node("Transpose", {branch["k"]})});
    const std::string mixed = node("MatMul", {node("Softmax", {scores}), branch["v"]});
    const std::string sum = node("Add", {x, node("MatMul", {mixed, weight(at + "o")})});
    const std::string up = node("Relu", {node("MatMul", {sum, weight(at + "up")})});
    return node("Add", {node("MatMul", {up, weight(at + "down")}), sum});
  }

  const Weights& weights_;
  const Export& options_;
  Exported exported_;
  int number_;
  int values_ = 0;
};

inline Exported export_encoder(const Weights& weights, int layers, const Export& options = {}) {
  return Exporter(weights, options).run(layers);
}

}  // namespace wshare::test

#pragma once

#include <functional>
#include <string>
#include <vector>

#include "extract_lora/extract_test.h"
#include "lora/layers.h"

namespace wshare::test {

struct Tensor {
  std::string name;
  Shape shape;
  Matrix values;
  int type = Proto::FLOAT;
};

// A model of `body`, in ONNX's text form, over x [n,24], h [n,32] and ids [n].
inline onnx::ModelProto model(const std::string& body, const std::vector<Tensor>& tensors,
                              const std::string& type = "float") {
  onnx::ModelProto proto = parse_model(type + "[n,24] x, " + type + "[n,32] h, int64[n] ids", body);
  for (const Tensor& each : tensors) {
    *proto.mutable_graph()->add_initializer() =
        tensor_of(each.name, each.shape, each.values, each.type);
  }
  return proto;
}

inline Tensor weight(const std::string& name = "w", uint64_t seed = 1) {
  return {name, {24, 32}, random_matrix(24, 32, seed)};
}

inline Tensor with(Tensor tensor, const Matrix& change) {
  tensor.values = sum(tensor.values, change);
  return tensor;
}

inline Tensor vector(const std::string& name, uint64_t seed) {
  return {name, {32}, random_matrix(1, 32, seed)};
}

inline Matrix low(uint64_t seed = 9) { return low_rank(24, 32, 2, seed, 0.02); }

class ExtractChange : public ExtractTest {
 protected:
  ExtractedTask change(const onnx::ModelProto& base, const onnx::ModelProto& task,
                       const std::function<void(ExtractOptions&)>& set = {}) {
    forget();
    add("base.onnx", base);
    add("task.onnx", task);
    const ExtractReport report = extract({"task.onnx"}, "base.onnx", set);
    expect_whole({"base.onnx", "task.onnx"});
    return report.tasks.at(0);
  }

  static std::string first_reason(const ExtractedTask& task) {
    return task.reasons.empty() ? "" : task.reasons[0];
  }
};

// A large weight that all tasks have, beside which heads are small.
inline Tensor trunk() { return {"trunk", {32, 400}, random_matrix(32, 400, 77)}; }

inline constexpr char kLinear[] = "y0 = MatMul (x, w) y = Relu (y0)";

}  // namespace wshare::test

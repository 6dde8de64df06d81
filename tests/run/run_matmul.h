#pragma once

#include <vector>

#include "run/graphs.h"

namespace wshare::test {

// The outputs of a session of matmul_model(rows, ...), on an input that is always the same.
inline std::vector<Ort::Value> run_matmul(Ort::Session& session, int64_t rows) {
  const Ort::Value x = value_of(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {1, rows},
                                floats(static_cast<size_t>(rows), 7));
  const char* input = "x";
  const char* output = "y";
  return session.Run(Ort::RunOptions{nullptr}, &input, &x, 1, &output, 1);
}

}  // namespace wshare::test

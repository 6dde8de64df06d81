#pragma once

#include <string>
#include <vector>

#include "run/graphs.h"

namespace wshare::test {

inline constexpr int64_t kRows = 64, kColumns = 512;  // 128 KiB of float32: enough to be shared

// The outputs of a session of matmul_model(rows, ...), on an input that is always the same.
inline std::vector<Ort::Value> run_matmul(Ort::Session& session, int64_t rows) {
  const Ort::Value x = value_of(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {1, rows},
                                floats(static_cast<size_t>(rows), 7));
  const char* input = "x";
  const char* output = "y";
  return session.Run(Ort::RunOptions{nullptr}, &input, &x, 1, &output, 1);
}

// The bytes of y of one of matmul_model(kRows, ...).
inline std::string matmul_output(Ort::Session& session) {
  return bytes_in(run_matmul(session, kRows).at(0));
}

}  // namespace wshare::test

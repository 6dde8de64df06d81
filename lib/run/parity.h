#pragma once

#include <onnxruntime_cxx_api.h>

#include <optional>
#include <string>
#include <vector>

namespace wshare {

// How one output of two sessions compares.
struct ParityRow {
  std::string model;
  std::string output;
  bool bit_equal = false;  // type, shape and all bytes
  // Infinity where there is no difference to take: shapes, strings, NaN against a number.
  double max_abs_diff = 0;
  double max_rel_diff = 0;  // max_abs_diff / the largest finite number of theirs
  // What one optimisation level makes of theirs against another; where bits differ.
  std::optional<double> noise_abs_diff = std::nullopt;
};

// Returns the comparison of each output; `names` are those of both.
std::vector<ParityRow> compare_outputs(const std::string& model,
                                       const std::vector<std::string>& names,
                                       const std::vector<Ort::Value>& ours,
                                       const std::vector<Ort::Value>& theirs);

}  // namespace wshare

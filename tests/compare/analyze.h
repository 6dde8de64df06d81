#pragma once

#include <span>
#include <string>

#include "compare/low_rank/low_rank.h"
#include "compare/weights.h"

namespace wshare::test {

// `bytes` as the matrix of `shape`, stored as `type`. Borrows them.
inline MatrixView view_of(const std::string& bytes, int type, const Matrix& shape) {
  return {std::as_bytes(std::span(bytes)), type, static_cast<uint64_t>(shape.rows),
          static_cast<uint64_t>(shape.cols), false};
}

// Analyzes b - a, both stored as `type`.
inline DeltaAnalysis analysis_of(const Matrix& a, const Matrix& b, int type = Proto::FLOAT,
                                 const DeltaOptions& options = {}) {
  const std::string in_a = float_bytes(a.values, type);
  const std::string in_b = float_bytes(b.values, type);
  return analyze_delta(view_of(in_a, type, a), view_of(in_b, type, b), options);
}

inline DeltaReport analyze(const Matrix& a, const Matrix& b, int type = Proto::FLOAT,
                           const DeltaOptions& options = {}) {
  return analysis_of(a, b, type, options).report;
}

}  // namespace wshare::test

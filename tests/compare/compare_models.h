#pragma once

#include <map>
#include <string>

#include "compare/compare.h"
#include "support/bundle_test.h"

namespace wshare::test {

class CompareTest : public test::BundleTest {
 protected:
  // What the comparison says of each tensor of b, by name.
  struct Said {
    std::string counterpart;
    std::string tensor_class;
    int64_t rank = 0;
    bool transposed = false, ambiguous = false;
    bool operator==(const Said&) const = default;
  };

  std::map<std::string, Said> compare(const onnx::ModelProto& a, const onnx::ModelProto& b,
                                      const CompareOptions& options = {}) {
    add("a.onnx", a);
    add("b.onnx", b);
    const ScannedModel in_a = scan_model(temp_ / "in/a.onnx");
    const ScannedModel in_b = scan_model(temp_ / "in/b.onnx");
    std::map<std::string, Said> said;
    removed_.clear();
    for (const TensorMatch& match : compare_models(ComparisonBase(in_a), in_b, options).tensors) {
      if (match.b == kAbsent) {
        removed_[in_a.tensors[static_cast<size_t>(match.a)].name] = match.ambiguous;
        continue;
      }
      Said entry;
      if (match.a != kAbsent) entry.counterpart = in_a.tensors[static_cast<size_t>(match.a)].name;
      entry.tensor_class = text_of(match.tensor_class);
      if (match.delta) entry.rank = match.delta->rank;
      entry.transposed = match.transposed;
      entry.ambiguous = match.ambiguous;
      said[in_b.tensors[static_cast<size_t>(match.b)].name] = entry;
    }
    return said;
  }

  std::map<std::string, bool> removed_;  // tensors of a, and whether they are ambiguous
};

}  // namespace wshare::test

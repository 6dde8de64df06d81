#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "compare/bases/members.h"
#include "format/derived_tensor.h"

namespace wshare {

// What is left of a tensor's bytes at most where that is worth a base: what the best coder without
// one leaves of weights of that type. Source: docs/archive.md, "What it costs".
double no_base_share(int32_t dtype);

// Returns an OriginalTensor that is `tensor` as predicted from `base`, without a residual.
OriginalTensor derived_from(const TensorRecord& tensor, const TensorRecord& base, bool transposed);

// What is left of members that are computed from others, found from samples of their weights.
// Threads may share it.
class Costs {
 public:
  // Borrows both.
  Costs(const std::vector<Member>& members, const BytesOf& bytes_of);

  // Of each tensor of member `m` the bytes that only targets have, divided among these.
  std::span<const double> weights(size_t m) const { return weights_[m]; }

  // What is left of tensor `i` of member `t`, as a share of its bytes, where `pair` of member `c`
  // is what it is computed from.
  double share_of(size_t t, size_t i, size_t c, const Partner& pair) const;

  // What is left of the bytes of member `t`, computed from member `c`, which is `base`.
  double left(size_t t, size_t c, const BaseTensors& base) const;

  // The same where `c`, which is `before`, is computed itself, from member `base`, which is `root`.
  // What both have is not stored then: it is computed once, at the latest from the root.
  double left_in_chain(size_t t, size_t c, const BaseTensors& before, size_t base,
                       const BaseTensors& root) const;

 private:
  const std::vector<Member>& members_;
  const BytesOf& bytes_of_;
  std::vector<std::vector<double>> weights_;  // [member][tensor]
};

}  // namespace wshare

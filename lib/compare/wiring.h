#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "compare/compare.h"

namespace wshare {

// What counts as a difference between two operands.
enum class Wires {
  kAsWritten,  // every node in between
  kAsMeant,    // what is computed: Identity and stored transposes do not count
};

// What the operands of matched nodes of two compared models are to each other. Borrows.
class Wiring {
 public:
  Wiring(const ModelComparison& comparison, Wires wires);

  // True if a node of a and its counterpart in b read the same. Tensors that differ are the same
  // here if they belong together; those that are read are added to `read`, if given.
  bool same_inputs(const GraphNode& a, const GraphNode& b, std::vector<TensorPlace>* read) const;

  // The same of two values, each with the looked-through nodes on the way to it.
  bool same(int32_t a, const std::vector<int32_t>& path_a, int32_t b,
            const std::vector<int32_t>& path_b, std::vector<TensorPlace>* read) const;

 private:
  bool same_value(int32_t a, int32_t b, std::vector<TensorPlace>* read) const;
  bool same_tensor(const TensorPlace& place) const;
  bool same_source(int32_t a, int32_t b) const;
  bool same_passed(int32_t a, int32_t b, std::vector<TensorPlace>* read) const;
  std::vector<int32_t> significant(const ComputeGraph& graph,
                                   const std::vector<int32_t>& path) const;

  const ModelComparison& comparison_;
  Wires wires_;
  std::map<int32_t, const TensorMatch*> match_;  // of tensors of b
};

}  // namespace wshare

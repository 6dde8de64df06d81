#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "compare/compare.h"

namespace wshare {

// What counts as a difference between two operands.
enum class Wires {
  kAsWritten,  // every node in between
  kAsMeant,    // what is computed: Identity, stored transposes and moves by opsets do not count
};

// What the operands of matched nodes of two compared models are to each other. Borrows.
class Wiring {
 public:
  Wiring(const ScannedModel& a, const ScannedModel& b, const ModelComparison& comparison,
         Wires wires);

  // True if a node of a and its counterpart in b read the same. Tensors that differ are the same
  // here if they belong together; those that are read are added to `read`, if given.
  bool same_inputs(const GraphNode& a, const GraphNode& b, std::vector<OperandPair>* read) const;

  // The same of two values, each with the looked-through nodes on the way to it.
  bool same(int32_t a, const std::vector<int32_t>& path_a, int32_t b,
            const std::vector<int32_t>& path_b, std::vector<OperandPair>* read) const;

 private:
  bool same_input(const GraphNode& a, size_t slot_a, const GraphNode& b, size_t slot_b,
                  std::vector<OperandPair>* read) const;
  bool is_moved(const GraphNode& a, const GraphNode& b, size_t slot) const;
  bool same_ways(const std::vector<int32_t>& path_a, const std::vector<int32_t>& path_b,
                 std::vector<OperandPair>* read) const;
  // `flipped`: one node reads its operand the other way round than the other one.
  bool same_value(int32_t a, int32_t b, bool flipped, std::vector<OperandPair>* read) const;
  bool same_tensor(const OperandPair& place) const;
  bool same_source(int32_t a, int32_t b) const;
  bool same_passed(int32_t a, int32_t b, std::vector<OperandPair>* read) const;
  std::vector<int32_t> significant(const ComputeGraph& graph,
                                   const std::vector<int32_t>& path) const;

  const ScannedModel& model_a_;
  const ScannedModel& model_b_;
  const ModelComparison& comparison_;
  Wires wires_;
  std::map<int32_t, const TensorMatch*> match_;  // of tensors of b
};

}  // namespace wshare

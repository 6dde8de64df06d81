#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "wshare/progress.h"
#include "wshare/tensor_class.h"

namespace wshare {

struct DiffOptions {
  uint64_t min_bytes = 0;  // tensors of fewer bytes are not looked at
  int64_t max_rank = 256;  // of a difference that counts as low rank
  bool svd = true;         // false: nothing is low rank
  unsigned threads = 0;    // 0: all cores
  ProgressFn progress;
};

// A tensor as one model has it.
struct DiffSide {
  std::string scope, name;  // scope as in DedupeReport: "" in the main graph
  std::string dtype;
  std::vector<int64_t> shape;
  uint64_t bytes = 0;
};

// How large the difference of two float matrices is.
struct DiffDelta {
  double relative_change = 0;  // ||B - A|| / ||A||, Frobenius
  uint64_t rows = 0, cols = 0, changed_rows = 0, changed_cols = 0;

  // Of TensorClass::kLowRank: what the best matrix of `rank` leaves of B - A.
  std::optional<int64_t> rank;
  double relative_error = 0;  // ||rest|| / ||B - A||, Frobenius
  double max_abs_error = 0;
  double energy = 0;                    // share of ||B - A||^2 that it holds
  std::vector<double> singular_values;  // the leading ones, falling: `rank` and a few more
  double noise_edge = 0;                // roundings have no larger ones
};

struct DiffTensor {
  TensorClass tensor_class{};
  std::optional<DiffSide> a, b;  // none in a: added, or a LoRA factor of b
  std::optional<DiffDelta> delta;
  std::vector<std::string> notes;  // what the class does not say
};

// An unmerged LoRA pair that one of the models has.
struct DiffLora {
  bool in_b = true;
  std::string weight_a, weight_b;  // of the layer; the other model's is empty if it has none
  std::string factor_a, factor_b;  // x -> factor_a -> factor_b
  int64_t rank = 0;
  double scaling = 1;
};

// Nodes of one operator.
struct DiffOperator {
  uint64_t added = 0, removed = 0;
  uint64_t attributes = 0;  // nodes with other attributes
  uint64_t rewired = 0;     // nodes that read other values
  bool operator==(const DiffOperator&) const = default;
};

// "from" and "to" of something with a name; empty where a model does not have it.
struct DiffValue {
  std::string name, a, b;
};

struct DiffGraph {
  std::map<std::string, DiffOperator> operators;  // only those with a change
  std::vector<DiffValue> inputs, outputs;         // types and shapes as text: "float32[batch,128]"
  std::vector<DiffValue> opsets;                  // by domain
  std::vector<DiffValue> metadata;                // producer, metadata_props and the like
};

struct DiffReport {
  bool equal = false;  // every tensor is the same and the graphs are
  uint64_t nodes_a = 0, nodes_b = 0;
  std::vector<DiffTensor> tensors;  // by bytes, the largest first, then by name
  std::vector<DiffLora> lora;
  DiffGraph graph;
};

// Compares two models tensor by tensor and counts how their graphs differ.
//
// Throws Error(kIo) or Error(kInvalid) as dedupe() does where a model cannot be read.
DiffReport diff(const std::filesystem::path& a, const std::filesystem::path& b,
                const DiffOptions& options);

}  // namespace wshare

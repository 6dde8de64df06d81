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

// How a weight of one model was made of one of the other: TensorClass::kQuantised or kCast.
struct DiffForm {
  bool of_b = false;             // A's tensor was made of B's; false: B's of A's
  std::string to;                // "int8", "4 bits in blocks of 32", "float16"
  uint64_t elements = 0;         // of it
  uint64_t off = 0;              // of them, whose bits are not those of rounding
  double relative_error = 0;     // ||made - original|| / ||original||, Frobenius
  std::optional<double> snr_db;  // the same in decibels; none: no error
};

struct DiffTensor {
  TensorClass tensor_class{};
  std::optional<DiffSide> a, b;  // none in a: added, or a LoRA factor of b
  std::optional<DiffDelta> delta;
  std::optional<DiffForm> form;
  std::optional<double> relative_change;  // ||B - A|| / ||A||, of a form as in DiffForm; if known
  std::vector<std::string> notes;         // what the class does not say
};

// Returns a relative change in decibels, as signal-to-noise ratio; none where there is no such
// figure.
std::optional<double> decibels(double relative_change);

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
  // By operator the first few changed nodes: names, of a node without one the value that it makes.
  std::map<std::string, std::vector<std::string>> places;
  std::vector<DiffValue> inputs, outputs;  // types and shapes as text: "float32[batch,128]"
  std::vector<DiffValue> opsets;           // by domain
  std::vector<DiffValue> metadata;         // producer, metadata_props and the like
};

// All weights of one model that were made of the other's in one way.
struct DiffForms {
  TensorClass tensor_class = TensorClass::kQuantised;  // or kCast
  DiffForm sum;                                        // of all; `to`: of most
  uint64_t weights = 0;                                // made of the other's
  uint64_t weights_total = 0;  // quantised ones, or those of that float type, of 64 bytes and more
  uint64_t bytes = 0;          // of `weights`
};

// What there is to say of two models in one word.
enum class DiffVerdict {
  kEqual,
  kSameWeights,  // other graphs over them
  kDiffers,
  kContains,   // A has all weights of B, and more
  kContained,  // B has all weights of A, and more
  kCast,       // most of one is a cast of the other
  kQuantised,  // all quantised weights of one, or most of it, are the other's
  kUnrelated,  // no weight of 1 KiB or more is the other's in any form, or near it
};
const char* text_of(DiffVerdict verdict);

struct DiffReport {
  bool equal = false;      // every tensor is the same and the graphs are
  bool same_file = false;  // the bytes of the files are
  DiffVerdict verdict = DiffVerdict::kDiffers;
  uint64_t equal_bytes = 0, weight_bytes = 0;  // of B's tensors: that A has, too; all
  uint64_t weight_bytes_a = 0;                 // of A's tensors
  std::vector<DiffForms> forms;                // of B made of A, then of A made of B
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

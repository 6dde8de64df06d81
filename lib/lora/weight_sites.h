#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lora/graph_index.h"
#include "lora/placement.h"

namespace wshare {

// One layer that reads a weight. Points into the model; nodes keep their addresses while others are
// added.
struct BranchSite {
  LayerKind kind = LayerKind::kMatMul;
  onnx::GraphProto* graph = nullptr;
  onnx::NodeProto* layer = nullptr;
  BranchPlace place;
  bool transposed = false;  // computes with the transpose of the stored weight
};

// All layers that read one weight.
struct WeightSites {
  std::string scope, name;
  int32_t dtype = 0;  // that the layers read, after a Cast: the type of A and B
  // A · B is added to the stored weight, or to its transpose. It is what the first layer with an
  // input (MatMul, Gemm) reads as [in, out]; of an embedding the table [rows, width]; of a Conv
  // always the stored weight, as the matrix B · A [out, in x kernel].
  bool transposed = false;
  std::vector<int64_t> a_shape, b_shape;  // -1 stands for the rank
  // ONNX Runtime 1.29 does not write the result of a Conv over zero channels: there the
  // default is rank 1 of zeros. Elsewhere 0.
  int64_t default_rank = 0;
  // Why A and B can be constants but no inputs, or empty.
  std::string no_inputs;
  std::vector<BranchSite> sites;
};

// Either `sites`, or the plain reason why the weight cannot have a branch, such as "is read by
// MatMulNBits '/q/MatMul_Q4'".
struct FoundSites {
  std::optional<WeightSites> sites;
  std::string reason;
};

// Finds the layers that read weights of one model.
//
// Supported are initializers and values of Constant nodes of any graph that are read as operand 1
// of MatMul, Gemm and Conv (group 1) and as the table of Gather on axis 0, in that graph or in
// graphs inside it, also through Identity, Cast between float types, and Transpose of a matrix.
// Every reader must be supported. Functions are not looked into.
class SiteFinder {
 public:
  // `model` must outlive this and what find() returns.
  explicit SiteFinder(onnx::ModelProto& model);

  // Scope and name as in TensorRef; scopes count nodes as `model` has them now.
  FoundSites find(const std::string& scope, const std::string& name) const;

  const GraphIndex& index() const { return index_; }

 private:
  onnx::ModelProto& model_;
  GraphIndex index_;
  int64_t opset_ = 0;
};

// Returns the version of the ONNX operators that `model` uses, 0 if it names none.
int64_t standard_opset(const onnx::ModelProto& model);

}  // namespace wshare

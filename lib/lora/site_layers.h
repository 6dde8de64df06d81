#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lora/branch_site.h"
#include "lora/graph_index.h"
#include "lora/placement.h"

namespace wshare {

// One layer that reads a weight. Points into the model; nodes keep their addresses while others are
// added.
struct SiteLayer {
  LayerKind kind = LayerKind::kMatMul;
  onnx::GraphProto* graph = nullptr;
  onnx::NodeProto* node = nullptr;
  JoinPoint join;
  bool transposed = false;  // computes with the transpose of the stored weight
};

// Either `site` with its layers, or the plain reason why the weight cannot have a branch, such as
// "is read by MatMulNBits '/q/MatMul_Q4'". The site lacks what only the whole model tells: number,
// path and names.
struct FoundSite {
  std::optional<BranchSite> site;
  std::vector<SiteLayer> layers;
  std::string reason;
};

// Finds the layers that read weights of one model.
//
// Supported are initializers and values of Constant nodes of any graph that are read as operand 1
// of MatMul, Gemm and Conv (group 1) and as the table of Gather on axis 0, in that graph or in
// graphs inside it, also through Identity, Cast between float types, and Transpose of a matrix; and
// the quantized weights of MatMulNBits.
// Every reader must be supported. Functions are not looked into.
class SiteFinder {
 public:
  // `model` must outlive this and what find() returns.
  explicit SiteFinder(onnx::ModelProto& model);

  // Scope and name as in TensorRef; scopes count nodes as `model` has them now.
  FoundSite find(const std::string& scope, const std::string& name) const;

  const GraphIndex& index() const { return index_; }

 private:
  onnx::ModelProto& model_;
  GraphIndex index_;
  int64_t opset_ = 0;
};

// True for a MatMulNBits, whose weight is integers in blocks.
bool is_block_quantized(const onnx::NodeProto& layer);

// Returns the version of the ONNX operators that `model` uses, 0 if it names none.
int64_t standard_opset(const onnx::ModelProto& model);

}  // namespace wshare

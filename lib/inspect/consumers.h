#pragma once

#include <string_view>
#include <vector>

namespace onnx {
class ModelProto;
}

namespace wshare {

// Who reads a tensor.
struct TensorReaders {
  // Operator of the first node that reads it, or holds it as an attribute; one that reads what
  // Identity, Cast, Transpose and what dequantises hand on, unless nothing does.
  std::string_view first_op;
  std::string_view passed_by;  // the first of these that reads it
  bool is_used = false;        // by a node, or as an output of a graph
};

// Returns the readers of each tensor of `model`, in the order of visit_tensors(). Reading nodes may
// lie in subgraphs; the texts point into `model`.
std::vector<TensorReaders> find_readers(onnx::ModelProto& model);

}  // namespace wshare

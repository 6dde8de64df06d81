#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace onnx {
class ModelProto;
}

namespace wshare {

class GraphUses;
struct TensorRef;

// A node that only gives a weight another name, and that can go: all that read its output may read
// the weight.
struct Rename {
  uint32_t node = 0;    // by its number in a walk over the main graph (model/walk.h)
  uint32_t tensor = 0;  // the weight, in ScannedModel::tensors
};

// Returns the renames in `model` of tensors of kLargeBytes and more that can leave it, by the
// numbers of the nodes: Identity, Cast to the type that the weight has, Reshape to its shape, and
// chains of these, in subgraphs, too. `tensors` and `uses` are those of the model, whose nodes are
// left with other inputs.
//
// Not among them: what gives an output of a graph or a value that shape inference reads, defaults
// of inputs, nodes whose output is read where the weight's name means something else, nodes of
// functions, and all nodes of a model with training graphs, which name values of the main graph, or
// of IR 3 and older.
std::vector<Rename> find_renames(onnx::ModelProto& model, const std::vector<TensorRef>& tensors,
                                 const GraphUses& uses);

// Takes `renames` out of `model`: what read them reads the weights.
void remove_renames(onnx::ModelProto& model, const std::vector<Rename>& renames);

}  // namespace wshare

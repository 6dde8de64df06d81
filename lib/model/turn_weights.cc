#include "model/turn_weights.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "format/matrix.h"
#include "model/definitions.h"
#include "model/fresh_names.h"
#include "model/keep_if.h"
#include "model/walk.h"
#include "util/text.h"

// Problem: the output layer of tied embeddings is a weight of its own, the embedding turned. Stored
// once, one of the two readers must take it the other way, with the same bits and without a copy in
// each session.
//
//   Gemm(x, W2)      transB says which way it is stored: it is flipped
//   MatMul(x, W2)    FusedMatMul(x, W1, transB = 1) of com.microsoft, which packs W1 as MatMul
//   packs
//                    W2; or MatMul(x, Transpose(W1)), which each session folds into a copy
//
// FusedMatMul is the same kernel, but ONNX Runtime's optimisers look for MatMul: MatMul + Add
// becomes Gemm, with other bits. So what reads the product must be none that they fuse.

namespace wshare {
namespace {

constexpr char kMicrosoft[] = "com.microsoft";

// Readers of a product that no optimiser of ONNX Runtime (1.20 to 1.32) fuses with a MatMul.
constexpr std::array<std::string_view, 21> kNotFused = {
    "ArgMax",     "Cast",    "Concat",    "Div",  "Gather",  "GatherND",  "Identity",
    "LogSoftmax", "Mul",     "ReduceMax", "Relu", "Reshape", "Shape",     "Sigmoid",
    "Slice",      "Softmax", "Squeeze",   "Tanh", "TopK",    "Transpose", "Unsqueeze"};

bool is_not_fused(const onnx::NodeProto& node) {
  for (const std::string_view op : kNotFused) {
    if (is_standard(node) && node.op_type() == op) return true;
  }
  return false;
}

// Where `node` reads `weight` as the second factor of a product, and nowhere else.
bool is_product_with(const onnx::NodeProto& node, const std::string& weight) {
  const bool is_product =
      is_standard(node) && ((node.op_type() == "MatMul" && node.input_size() == 2) ||
                            (node.op_type() == "Gemm" && node.input_size() >= 2));
  if (!is_product || node.input(1) != weight || node.input(0) == weight) return false;
  return node.input_size() < 3 || node.input(2) != weight;
}

// What reads each value, in all scopes.
using Readers = std::unordered_map<std::string_view, std::vector<const onnx::NodeProto*>>;

std::string why_fused(const Readers& readers, const onnx::NodeProto& product) {
  const auto found = readers.find(product.output(0));
  if (found == readers.end()) return "";
  for (const onnx::NodeProto* reader : found->second) {
    if (is_not_fused(*reader)) continue;
    return "gives a product to " + in_quotes(reader->op_type()) +
           ", with which ONNX Runtime may fuse a MatMul, but no FusedMatMul: other bits";
  }
  return "";
}

std::string why_not(const onnx::TensorProto* tensor, const std::string& weight,
                    const Readers& readers, TieTransposed how, bool other_bits) {
  if (tensor == nullptr) return "is no weight of the main graph";
  if (tensor->data_type() != kFloat32 && !other_bits)
    return "is no float32, for which alone bits are known to stay";
  const auto found = readers.find(weight);
  if (found == readers.end()) return "is read by nothing";
  for (const onnx::NodeProto* reader : found->second) {
    if (!is_product_with(*reader, weight))
      return "is read by " + in_quotes(reader->op_type()) + ", which takes it one way only";
    if (how != TieTransposed::kFused || reader->op_type() == "Gemm" || other_bits) continue;
    if (std::string why = why_fused(readers, *reader); !why.empty()) return why;
  }
  return "";
}

// The value of a Constant; null: it is no tensor.
const onnx::TensorProto* value_of(const onnx::NodeProto& constant) {
  for (const onnx::AttributeProto& attribute : constant.attribute()) {
    if (attribute.name() == "value" && attribute.has_t()) return &attribute.t();
  }
  return nullptr;
}

// The tensors that names of `graph` stand for.
std::unordered_map<std::string_view, const onnx::TensorProto*> weights_of(
    const onnx::GraphProto& graph) {
  std::unordered_map<std::string_view, const onnx::TensorProto*> weights;
  for (const onnx::TensorProto& tensor : graph.initializer()) weights[tensor.name()] = &tensor;
  for (const onnx::NodeProto& node : graph.node()) {
    if (is_constant_node(node)) weights[node.output(0)] = value_of(node);
  }
  return weights;
}

void swap_dims(onnx::GraphProto& graph, const std::set<std::string>& weights) {
  for (onnx::TensorProto& tensor : *graph.mutable_initializer()) {
    if (weights.contains(tensor.name())) tensor.mutable_dims()->SwapElements(0, 1);
  }
  for (onnx::NodeProto& node : *graph.mutable_node()) {
    if (!is_constant_node(node) || !weights.contains(node.output(0))) continue;
    for (onnx::AttributeProto& attribute : *node.mutable_attribute()) {
      if (attribute.has_t()) attribute.mutable_t()->mutable_dims()->SwapElements(0, 1);
    }
  }
}

// What is known of the types of values names their dimensions, too; that of a weight need not be
// there.
void remove_value_infos(onnx::GraphProto& graph, const std::set<std::string>& weights) {
  keep_if(*graph.mutable_value_info(),
          [&](const onnx::ValueInfoProto& value) { return !weights.contains(value.name()); });
}

void set_attribute(onnx::NodeProto& node, const std::string& name, int64_t value) {
  for (onnx::AttributeProto& attribute : *node.mutable_attribute()) {
    if (attribute.name() != name) continue;
    attribute.set_i(value);
    return;
  }
  onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(onnx::AttributeProto::INT);
  attribute.set_i(value);
}

void flip(onnx::NodeProto& gemm) {
  int64_t before = 0;
  for (const onnx::AttributeProto& attribute : gemm.attribute()) {
    if (attribute.name() == "transB") before = attribute.i();
  }
  set_attribute(gemm, "transB", before == 0 ? 1 : 0);
}

void fuse(onnx::NodeProto& matmul) {
  matmul.set_op_type("FusedMatMul");
  matmul.set_domain(kMicrosoft);
  set_attribute(matmul, "transB", 1);
}

void import_microsoft(onnx::ModelProto& model) {
  for (const onnx::OperatorSetIdProto& set : model.opset_import()) {
    if (set.domain() == kMicrosoft) return;
  }
  onnx::OperatorSetIdProto& set = *model.add_opset_import();
  set.set_domain(kMicrosoft);
  set.set_version(1);
}

// Puts Transpose nodes for the weights in `turned` (weight to output) before all others.
void add_transposes(onnx::GraphProto& graph, const std::map<std::string, std::string>& turned) {
  for (const auto& [weight, output] : turned) {
    onnx::NodeProto& node = *graph.add_node();
    node.set_op_type("Transpose");
    node.set_name(output);
    node.add_input(weight);
    node.add_output(output);
    onnx::AttributeProto& perm = *node.add_attribute();
    perm.set_name("perm");
    perm.set_type(onnx::AttributeProto::INTS);
    for (const int64_t axis : {1, 0}) perm.add_ints(axis);
  }
  // A weight that a Constant gives behind that place becomes an initializer.
  auto& nodes = *graph.mutable_node();
  const int added = static_cast<int>(turned.size());
  std::rotate(nodes.pointer_begin(), nodes.pointer_end() - added, nodes.pointer_end());
}

}  // namespace

std::map<std::string, std::string> why_not_turned(const onnx::ModelProto& model,
                                                  const std::set<std::string>& weights,
                                                  TieTransposed how, bool other_bits) {
  Definitions definitions;
  walk_graph(model.graph(), definitions);
  Readers readers;
  for_each_node(model.graph(), [&](const onnx::NodeProto& node, const onnx::GraphProto&) {
    for (const std::string& input : node.input()) readers[input].push_back(&node);
  });
  const auto known = weights_of(model.graph());
  std::map<std::string, std::string> result;
  for (const std::string& weight : weights) {
    const auto found = known.find(weight);
    const bool is_clear = found != known.end() && definitions.is_once(weight);
    result[weight] = why_not(is_clear ? found->second : nullptr, weight, readers, how, other_bits);
  }
  return result;
}

void turn_weights(onnx::ModelProto& model, const std::set<std::string>& weights,
                  TieTransposed how) {
  std::map<std::string, std::string> turned;
  FreshNames names(model);
  for_each_node(*model.mutable_graph(), [&](onnx::NodeProto& node, const onnx::GraphProto&) {
    const bool reads = node.input_size() >= 2 && weights.contains(node.input(1));
    if (!reads) return;
    if (node.op_type() == "Gemm") {
      flip(node);
    } else if (how == TieTransposed::kFused) {
      fuse(node);
      import_microsoft(model);
    } else {
      const auto [at, is_new] = turned.try_emplace(node.input(1));
      if (is_new) at->second = names.make(node.input(1) + "/Transpose");
      node.set_input(1, at->second);
    }
  });
  swap_dims(*model.mutable_graph(), weights);
  remove_value_infos(*model.mutable_graph(), weights);
  add_transposes(*model.mutable_graph(), turned);
}

}  // namespace wshare

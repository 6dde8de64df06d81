#include "lora/site_layers.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <set>
#include <utility>

#include "model/walk.h"
#include "util/text.h"

// Readers are followed from the weight outwards:
//
//   W ── Identity ── Cast ── Transpose ── MatMul operand 1
//    └── Gather operand 0
//
// What lies between changes the element type or turns the matrix; the rest of the state is the name
// of the value and the graph that it belongs to.

namespace wshare {
namespace {

constexpr int64_t kFreeInitializers = 4;  // the first IR version with constant initializers
constexpr int64_t kBroadcasting = 7;      // the first opset whose Add broadcasts like MatMul does
constexpr int64_t kGemmWithoutBias = 11;  // the first opset where Gemm's operand 2 is optional

bool is_float(int32_t dtype) {
  return dtype == onnx::TensorProto::FLOAT || dtype == onnx::TensorProto::FLOAT16 ||
         dtype == onnx::TensorProto::BFLOAT16 || dtype == onnx::TensorProto::DOUBLE;
}

int64_t int_of(const onnx::NodeProto& node, const char* name, int64_t otherwise) {
  const onnx::AttributeProto* attribute = attribute_of(node, name);
  return attribute == nullptr ? otherwise : attribute->i();
}

std::string text_of(const onnx::NodeProto& node) {
  const std::string op = is_standard(node) ? node.op_type() : node.domain() + ":" + node.op_type();
  return node.name().empty() ? op : op + " " + in_quotes(node.name());
}

// A value that is the weight.
struct View {
  int32_t graph;
  std::string name;
  bool transposed;
  int32_t dtype;
};

class Search {
 public:
  Search(const GraphIndex& index, int64_t opset, const onnx::TensorProto& weight)
      : index_(index), opset_(opset), shape_(weight.dims().begin(), weight.dims().end()) {}

  FoundSite run(View weight) {
    site_.name = weight.name;
    std::set<std::pair<int32_t, std::string>> seen;
    views_.push_back(std::move(weight));
    for (size_t i = 0; i < views_.size() && reason_.empty(); ++i) {
      const View view = views_[i];
      if (!seen.emplace(view.graph, view.name).second) continue;
      if (index_.is_output(view.graph, view.name)) {
        reason_ = "is an output of a graph";
        break;
      }
      for (const Reader& reader : index_.readers(view.graph, view.name)) read(view, reader);
    }
    if (reason_.empty() && layers_.empty()) reason_ = "is read by no layer";
    if (!reason_.empty()) return {std::nullopt, {}, reason_};
    site_.layers = layers_.size();
    orient();
    return {std::move(site_), std::move(layers_), {}};
  }

 private:
  void refuse(const std::string& reason) {
    if (reason_.empty()) reason_ = reason;
  }

  void read(const View& view, const Reader& reader) {
    const onnx::NodeProto& node = *reader.node;
    const std::string& op = node.op_type();
    if (is_block_quantized(node) && reader.operand == 1) return add_block_quantized(reader);
    if (!is_standard(node)) return refuse("is read by " + text_of(node));
    if (reader.operand == 0 && (op == "Identity" || op == "Cast" || op == "Transpose")) {
      return pass(view, reader);
    }
    std::string problem =
        "is read by " + text_of(node) + " as operand " + std::to_string(reader.operand);
    if (op == "MatMul" && reader.operand == 1) {
      problem = shape_.size() == 2 ? "" : problem + " and has no two dimensions";
      return add_layer(LayerKind::kMatMul, view, reader, problem);
    }
    if (op == "Gemm" && reader.operand == 1) {
      return add_layer(LayerKind::kGemm, view, reader, problem_of_gemm(node));
    }
    if (op == "Conv" && reader.operand == 1) {
      return add_layer(LayerKind::kConv, view, reader, problem_of_conv(node));
    }
    if (op == "Gather" && reader.operand == 0) {
      problem = shape_.size() != 2             ? "is gathered from and has no two dimensions"
                : int_of(node, "axis", 0) != 0 ? text_of(node) + " gathers along its columns"
                                               : "";
      return add_layer(LayerKind::kGather, view, reader, problem);
    }
    refuse(problem);
  }

  void pass(View view, const Reader& reader) {
    const onnx::NodeProto& node = *reader.node;
    if (node.output_size() != 1) return refuse("is read by " + text_of(node));
    if (node.op_type() == "Cast") {
      view.dtype = static_cast<int32_t>(int_of(node, "to", 0));
      if (!is_float(view.dtype)) return refuse(text_of(node) + " makes it no float type");
    }
    if (node.op_type() == "Transpose") {
      const onnx::AttributeProto* perm = attribute_of(node, "perm");
      if (shape_.size() != 2) return refuse("is transposed and has no two dimensions");
      if (perm == nullptr || (perm->ints_size() == 2 && perm->ints(0) == 1)) {
        view.transposed = !view.transposed;
      }
    }
    view.graph = reader.graph;
    view.name = node.output(0);
    views_.push_back(std::move(view));
  }

  std::string problem_of_gemm(const onnx::NodeProto& node) const {
    if (shape_.size() != 2) return "is read by " + text_of(node) + " and has no two dimensions";
    const onnx::AttributeProto* alpha = attribute_of(node, "alpha");
    const bool plain = int_of(node, "transA", 0) == 0 && (alpha == nullptr || alpha->f() == 1.0f);
    if (plain || opset_ >= kGemmWithoutBias) return "";
    return text_of(node) + " has alpha or transA, which needs opset 11, not " +
           std::to_string(opset_);
  }

  std::string problem_of_conv(const onnx::NodeProto& node) const {
    if (shape_.size() < 3) return "is read by " + text_of(node) + " and has no kernel";
    const int64_t group = int_of(node, "group", 1);
    return group == 1 ? "" : text_of(node) + " has " + std::to_string(group) + " groups";
  }

  void add_layer(LayerKind kind, const View& view, const Reader& reader,
                 const std::string& problem) {
    if (!problem.empty()) return refuse(problem);
    if (reader.node->output_size() != 1) return refuse("is read by " + text_of(*reader.node));
    if (!is_float(view.dtype)) return refuse("has no float type");
    if (layers_.empty()) site_.dtype = view.dtype;
    if (site_.dtype != view.dtype) return refuse("is read with two element types");
    const bool is_conv = kind == LayerKind::kConv;
    if (!layers_.empty() && is_conv != (layers_[0].kind == LayerKind::kConv)) {
      return refuse("is read by Conv and by another operator");
    }
    const bool flips = kind == LayerKind::kGemm && int_of(*reader.node, "transB", 0) != 0;
    const JoinPoint join = find_join_point(index_, opset_, kind, reader.graph, reader.node);
    layers_.push_back(
        {kind, index_.graph(reader.graph).proto, reader.node, join, view.transposed != flips});
  }

  // The weight stays quantized, and the branch is of the type that the layer computes in.
  void add_block_quantized(const Reader& reader) {
    const onnx::NodeProto& node = *reader.node;
    const auto size = std::pair(int_of(node, "K", 0), int_of(node, "N", 0));
    const onnx::TensorProto* scales =
        node.input_size() < 3 ? nullptr : index_.constant(reader.graph, node.input(2));
    if (size.first <= 0 || size.second <= 0 || node.output_size() != 1 || scales == nullptr ||
        !is_float(scales->data_type())) {
      return refuse("is read by " + text_of(node));
    }
    if (!layers_.empty() && (size != quantized_ || site_.dtype != scales->data_type()))
      return refuse("is read in two ways");
    if (sums_bias_itself(reader)) {
      return refuse("is read by " + text_of(node) +
                    " of accuracy level 4, with which ONNX Runtime fuses its bias");
    }
    quantized_ = size;
    site_.dtype = scales->data_type();
    JoinPoint join;
    join.last = reader.node;
    layers_.push_back(
        {LayerKind::kMatMul, index_.graph(reader.graph).proto, reader.node, join, false});
  }

  // An Add between such a layer and its bias costs the base its bits, and so does one behind both,
  // where the bias is fused with what follows (measured with ONNX Runtime 1.32).
  bool sums_bias_itself(const Reader& layer) const {
    constexpr int64_t kInteger = 4;
    if (int_of(*layer.node, "accuracy_level", 0) != kInteger) return false;
    const std::vector<Reader>& readers = index_.readers(layer.graph, layer.node->output(0));
    return std::any_of(readers.begin(), readers.end(), [&](const Reader& reader) {
      return reader.node->op_type() == "Add" && reader.node->input_size() == 2 &&
             index_.is_constant(reader.graph, reader.node->input(1 - reader.operand));
    });
  }

  // Chooses which way round A · B is, and the shapes.
  void orient() {
    if (quantized_.first > 0) {
      site_.layout = FactorLayout::kInOut;
      site_.a_shape = {quantized_.first, -1};
      site_.b_shape = {-1, quantized_.second};
      return;
    }
    const auto linear = std::find_if(layers_.begin(), layers_.end(), [](const SiteLayer& layer) {
      return layer.kind == LayerKind::kMatMul || layer.kind == LayerKind::kGemm;
    });
    const SiteLayer& first = linear == layers_.end() ? layers_[0] : *linear;
    site_.is_table = std::all_of(layers_.begin(), layers_.end(), [](const SiteLayer& layer) {
      return layer.kind == LayerKind::kGather;
    });
    if (first.kind == LayerKind::kConv) {
      site_.layout = FactorLayout::kConv;
      site_.default_rank = 1;
      if (site_.dtype == onnx::TensorProto::FLOAT16) {
        // A segmentation fault in FuseFp16InitializerToFp32NodeTransformer; 1.32 has none.
        site_.no_inputs =
            "is a float16 Conv: ONNX Runtime 1.29 crashes on CPU where its weights are inputs";
      }
      site_.a_shape = shape_;
      site_.a_shape[0] = -1;
      site_.b_shape.assign(shape_.size(), 1);
      site_.b_shape[0] = shape_[0];
      site_.b_shape[1] = -1;
      return;
    }
    site_.layout = first.transposed ? FactorLayout::kOutIn : FactorLayout::kInOut;
    site_.a_shape = {shape_[first.transposed ? 1 : 0], -1};
    site_.b_shape = {-1, shape_[first.transposed ? 0 : 1]};
  }

  const GraphIndex& index_;
  const int64_t opset_;
  const std::vector<int64_t> shape_;
  std::vector<View> views_;
  BranchSite site_;
  std::vector<SiteLayer> layers_;
  std::pair<int64_t, int64_t> quantized_ = {0, 0};  // [in, out] of a weight in blocks of integers
  std::string reason_;
};

}  // namespace

SiteFinder::SiteFinder(onnx::ModelProto& model)
    : model_(model), index_(model), opset_(standard_opset(model)) {}

bool is_block_quantized(const onnx::NodeProto& layer) {
  return layer.op_type() == "MatMulNBits" && layer.domain() == "com.microsoft";
}

FoundSite SiteFinder::find(const std::string& scope, const std::string& name) const {
  const auto refused = [](std::string reason) {
    return FoundSite{std::nullopt, {}, std::move(reason)};
  };
  if (model_.ir_version() < kFreeInitializers) {
    return refused("the model has IR version " + std::to_string(model_.ir_version()) +
                   ", a branch needs 4");
  }
  if (opset_ < kBroadcasting) {
    return refused("the model has opset " + std::to_string(opset_) + ", a branch needs 7");
  }
  if (is_in_function(scope)) return refused("stands in a model-local function");
  const std::optional<int32_t> graph = index_.find(scope);
  if (!graph) return refused("the model has no scope " + in_quotes(scope));
  const IndexedGraph& home = index_.graph(*graph);
  if (home.inputs.count(name) != 0) return refused("can be overridden: it is a graph input, too");
  const auto weight = home.constants.find(name);
  if (weight == home.constants.end() || weight->second == nullptr)
    return refused("is no initializer and no Constant");
  if (home.defined.at(name) != 1) return refused("has a name that is defined twice");
  const onnx::TensorProto& tensor = *weight->second;
  if (std::any_of(tensor.dims().begin(), tensor.dims().end(), [](int64_t d) { return d <= 0; })) {
    return refused("has no elements");
  }
  FoundSite found = Search(index_, opset_, tensor).run({*graph, name, false, tensor.data_type()});
  if (found.site) found.site->scope = scope;
  return found;
}

std::vector<int64_t> with_rank(std::vector<int64_t> shape, uint64_t rank) {
  std::replace(shape.begin(), shape.end(), int64_t{-1}, static_cast<int64_t>(rank));
  return shape;
}

int64_t standard_opset(const onnx::ModelProto& model) {
  for (const onnx::OperatorSetIdProto& opset : model.opset_import()) {
    if (is_standard(opset)) return opset.version();
  }
  return 0;
}

}  // namespace wshare

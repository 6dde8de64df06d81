#include "lora/branches.h"

#include <onnx/onnx_pb.h>

#include <map>
#include <utility>

#include "format/dtype.h"
#include "lora/site_layers.h"
#include "model/fresh_names.h"
#include "model/walk.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

constexpr const char* kTransA = "transA";
constexpr const char* kAlpha = "alpha";

class Inserter {
 public:
  explicit Inserter(onnx::ModelProto& model) : model_(model), names_(model) {}

  void add(const Branch& branch, const std::vector<SiteLayer>& layers) {
    const BranchSite& site = branch.site;
    if (branch.a == nullptr && !site.no_inputs.empty())
      throw Error(ErrorCode::kUnsupported, in_quotes(site.name) + ": " + site.no_inputs);
    for (const std::string& name : {site.names.a, site.names.b}) {
      if (!names_.is_free(name)) {
        throw Error(ErrorCode::kInvalid, in_quotes(name) + ": the model has this name already");
      }
      names_.make(name);
    }
    add_operand(site, branch.a, site.names.a, site.a_shape);
    add_operand(site, branch.b, site.names.b, site.b_shape);
    for (const SiteLayer& layer : layers) add_layer(site, layer);
  }

  // Moves the new nodes behind their layers.
  void settle() {
    for (const auto& [graph, after] : added_) {
      std::vector<const onnx::NodeProto*> order;
      for (int i = 0; i < count_before_.at(graph); ++i) {
        order.push_back(&graph->node(i));
        const auto found = after.find(order.back());
        if (found == after.end()) continue;
        order.insert(order.end(), found->second.begin(), found->second.end());
      }
      reorder_nodes(*graph, order);
    }
  }

 private:
  void add_operand(const BranchSite& site, const onnx::TensorProto* constant,
                   const std::string& name, std::vector<int64_t> shape) {
    onnx::GraphProto& graph = *model_.mutable_graph();
    onnx::TensorProto& tensor = *graph.add_initializer();
    if (constant != nullptr) {
      tensor = *constant;
      tensor.set_name(name);
      return;
    }
    onnx::ValueInfoProto& input = *graph.add_input();
    input.set_name(name);
    onnx::TypeProto::Tensor& type = *input.mutable_type()->mutable_tensor_type();
    type.set_elem_type(site.dtype);
    for (int64_t& dim : shape) {
      onnx::TensorShapeProto::Dimension& declared = *type.mutable_shape()->add_dim();
      if (dim >= 0) {
        declared.set_dim_value(dim);
      } else {
        declared.set_dim_param(site.names.rank_name);
        dim = site.default_rank;
      }
      tensor.add_dims(dim);
    }
    tensor.set_name(name);
    tensor.set_data_type(site.dtype);
    const std::optional<uint64_t> size = byte_size(*find_dtype(site.dtype), shape);
    if (!size || *size > INT32_MAX) {
      throw Error(ErrorCode::kInvalid, in_quotes(site.name) + ": has too large a shape");
    }
    tensor.set_raw_data(std::string(static_cast<size_t>(*size), '\0'));
  }

  void add_layer(const BranchSite& site, const SiteLayer& layer) {
    count_before_.emplace(layer.graph, layer.graph->node_size());
    layer_ = &layer;
    const JoinPoint& join = layer.join;
    label_ = join.last->output(0);
    std::string a = site.names.a, b = site.names.b;
    if (layer.transposed != (site.layout == FactorLayout::kOutIn)) {
      a = node("Transpose", {site.names.b}, "lora_A_T").output(0);
      b = node("Transpose", {site.names.a}, "lora_B_T").output(0);
    }
    std::string delta = add_product(*layer.node, a, b);
    if (join.repeated != nullptr) delta = repeat(*join.repeated, delta);
    const std::string y = label_;
    const std::string before = names_.make(y + "_before_lora");
    join.last->set_output(0, before);
    if (join.exchanged != nullptr) join.exchanged->mutable_input()->SwapElements(0, 1);
    node("Add", {before, delta}, "lora").set_output(0, y);
    // Of two layers that join in one Add, the second branch gives what the first reads.
    std::vector<onnx::NodeProto*>& behind = added_[layer.graph][join.last];
    behind.insert(behind.begin(), fresh_.begin(), fresh_.end());
    fresh_.clear();
  }

  // Returns the name of (x · a) · b.
  std::string add_product(const onnx::NodeProto& layer, const std::string& a,
                          const std::string& b) {
    const std::string x = layer.input(0);
    switch (layer_->kind) {
      case LayerKind::kGather: {
        onnx::NodeProto& rows = node("Gather", {a, layer.input(1)}, "lora_A");
        return node("MatMul", {rows.output(0), b}, "lora_B").output(0);
      }
      case LayerKind::kConv: {
        onnx::NodeProto& down = node("Conv", {x, a}, "lora_A");
        *down.mutable_attribute() = layer.attribute();
        return node("Conv", {down.output(0), b}, "lora_B").output(0);
      }
      case LayerKind::kGemm:
        return add_gemms(layer, a, b);
      case LayerKind::kMatMul:
        break;
    }
    onnx::NodeProto& down = node("MatMul", {x, a}, "lora_A");
    return node("MatMul", {down.output(0), b}, "lora_B").output(0);
  }

  std::string add_gemms(const onnx::NodeProto& layer, const std::string& a, const std::string& b) {
    const onnx::AttributeProto* turned = attribute_of(layer, kTransA);
    const onnx::AttributeProto* alpha = attribute_of(layer, kAlpha);
    const bool turns = turned != nullptr && turned->i() != 0;
    onnx::NodeProto& down = node(turns ? "Gemm" : "MatMul", {layer.input(0), a}, "lora_A");
    if (turns) *down.add_attribute() = *turned;
    const bool scales = alpha != nullptr && alpha->f() != 1.0f;
    onnx::NodeProto& up = node(scales ? "Gemm" : "MatMul", {down.output(0), b}, "lora_B");
    if (scales) *up.add_attribute() = *alpha;
    return up.output(0);
  }

  // Does with the branch what `linear` does with the layer's output, but for what it adds.
  std::string repeat(const onnx::NodeProto& linear, const std::string& delta) {
    std::vector<std::string> inputs(linear.input().begin(), linear.input().end());
    if (linear.op_type() == "BatchNormalization") {
      const std::string zero = node("Sub", {inputs[3], inputs[3]}, "lora_zero").output(0);
      inputs = {delta, inputs[1], zero, zero, inputs[4]};
    } else {
      inputs[static_cast<size_t>(layer_->join.operand)] = delta;
    }
    onnx::NodeProto& again = node(linear.op_type(), inputs, "lora_" + linear.op_type());
    *again.mutable_attribute() = linear.attribute();
    return again.output(0);
  }

  // Adds a node to the layer's graph, with one output.
  onnx::NodeProto& node(const std::string& op, const std::vector<std::string>& inputs,
                        const std::string& what) {
    onnx::NodeProto& node = *layer_->graph->add_node();
    node.set_op_type(op);
    if (is_standard(*layer_->node)) node.set_domain(layer_->node->domain());
    node.set_name(
        names_.make((layer_->node->name().empty() ? label_ : layer_->node->name()) + "/" + what));
    for (const std::string& input : inputs) node.add_input(input);
    node.add_output(what == "lora" ? "" : names_.make(label_ + "_" + what));
    fresh_.push_back(&node);
    return node;
  }

  onnx::ModelProto& model_;
  FreshNames names_;
  const SiteLayer* layer_ = nullptr;
  std::vector<onnx::NodeProto*> fresh_;  // the layer's
  std::string label_;                    // the value that the layer's branch is added to
  std::map<onnx::GraphProto*, int> count_before_;
  std::map<onnx::GraphProto*, std::map<const onnx::NodeProto*, std::vector<onnx::NodeProto*>>>
      added_;
};

}  // namespace

void add_branches(onnx::ModelProto& model, const std::vector<Branch>& branches) {
  const SiteFinder finder(model);
  std::vector<FoundSite> found;  // before anything changes
  for (const Branch& branch : branches) {
    found.push_back(finder.find(branch.site.scope, branch.site.name));
    if (found.back().site) continue;
    throw Error(ErrorCode::kInvalid, in_quotes(branch.site.name) + ": " + found.back().reason);
  }
  Inserter inserter(model);
  for (size_t i = 0; i < branches.size(); ++i) inserter.add(branches[i], found[i].layers);
  inserter.settle();
}

}  // namespace wshare

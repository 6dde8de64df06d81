#include "lora/base_weights.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <set>
#include <utility>

#include "compare/matrix.h"
#include "lora/module_names.h"
#include "lora/weight_sites.h"
#include "model/walk.h"
#include "util/text.h"

namespace wshare {
namespace {

constexpr std::string_view kWeight = ".weight";
constexpr std::string_view kFactorA = ".lora_A.weight";
constexpr std::string_view kFactorB = ".lora_B.weight";

// Operators that read integers as weights.
const std::set<std::string>& quantized_readers() {
  static const std::set<std::string> ops = {
      "MatMulInteger", "ConvInteger",          "QLinearMatMul",   "QLinearConv",
      "MatMulNBits",   "MatMulIntegerToFloat", "MatMulBnb4",      "DynamicQuantizeMatMul",
      "QGemm",         "GatherBlockQuantized", "DequantizeLinear"};
  return ops;
}

const onnx::TypeProto_Tensor* type_of(const onnx::GraphProto& graph, const std::string& input) {
  for (const onnx::ValueInfoProto& value : graph.input()) {
    if (value.name() == input) return &value.type().tensor_type();
  }
  return nullptr;
}

std::vector<BaseInput> find_inputs(const onnx::GraphProto& graph) {
  std::vector<BaseInput> inputs;
  for (const onnx::TensorProto& tensor : graph.initializer()) {
    const onnx::TypeProto_Tensor* type = type_of(graph, tensor.name());
    if (type == nullptr || !type->has_shape()) continue;
    BaseInput& input = inputs.emplace_back();
    input.name = tensor.name();
    input.dtype = type->elem_type();
    for (const auto& dim : type->shape().dim())
      input.shape.push_back(dim.has_dim_value() ? dim.dim_value() : -1);
  }
  return inputs;
}

// "/encoder/q/MatMul_quant" may be of module "encoder.q".
std::string as_path(const std::string& name) {
  std::string path = name.substr(name.starts_with('/') ? 1 : 0);
  std::replace(path.begin(), path.end(), '/', '.');
  return path;
}

class Finder {
 public:
  explicit Finder(const ScannedModel& model)
      : model_(model), skeleton_(model.file.skeleton()), index_(skeleton_.model()) {}

  BaseWeights run() {
    const SiteFinder finder(skeleton_.model());
    result_.inputs = find_inputs(skeleton_.model().graph());
    std::set<std::string> inputs;
    for (const BaseInput& input : result_.inputs) inputs.insert(input.name);
    std::vector<WeightSites> found;
    for (size_t t = 0; t < model_.tensors.size(); ++t) {
      const TensorRef& tensor = model_.tensors[t];
      if (!matrix_of(tensor) || (tensor.scope.empty() && inputs.count(tensor.name) != 0)) continue;
      FoundSites sites = finder.find(tensor.scope, tensor.name);
      if (sites.sites) {
        add(static_cast<int32_t>(t), *sites.sites);
        found.push_back(std::move(*sites.sites));
      } else {
        result_.left.push_back({tensor.name, {path_of_name(tensor.name)}, sites.reason});
      }
    }
    name_inputs(found);
    for_each_node(skeleton_.model().graph(), [&](const onnx::NodeProto& node,
                                                 const onnx::GraphProto&) { add_quantized(node); });
    return std::move(result_);
  }

 private:
  static std::string path_of_name(const std::string& name) {
    return name.ends_with(kWeight) ? name.substr(0, name.size() - kWeight.size()) : name;
  }

  void add(int32_t tensor, const WeightSites& sites) {
    BaseWeight& weight = result_.weights.emplace_back();
    weight.tensor = tensor;
    weight.scope = sites.scope;
    weight.name = sites.name;
    weight.path = module_path(sites);
    weight.is_table =
        std::all_of(sites.sites.begin(), sites.sites.end(),
                    [](const BranchSite& site) { return site.kind == LayerKind::kGather; });
    weight.dtype = sites.dtype;
    weight.a_shape = sites.a_shape;
    weight.b_shape = sites.b_shape;
    weight.no_inputs = sites.no_inputs;
    if (!is_one_module(sites)) {
      weight.several_modules = "is read by " + std::to_string(sites.sites.size()) +
                               " layers that are not known to be one module";
    }
  }

  // Each weight that has a branch keeps its inputs; the others get new names. Extraction names
  // branches by the paths of modules, with a number where several weights have one: so the weights
  // are asked in the same order, and the graph has to agree.
  void name_inputs(const std::vector<WeightSites>& found) {
    std::set<std::string> taken;
    for (size_t i = 0; i < found.size(); ++i) {
      BaseWeight& weight = result_.weights[i];
      std::string path = weight.path;
      for (int number = 2; !taken.insert(path).second; ++number)
        path = weight.path + "_" + std::to_string(number);
      const std::string a = path + std::string(kFactorA), b = path + std::string(kFactorB);
      if (!has_branch(found[i], a, b)) continue;
      weight.has_branch = true;
      weight.a_name = a;
      weight.b_name = b;
    }
    const std::vector<BranchNames> names = name_branches(skeleton_.model(), found);
    for (size_t i = 0; i < found.size(); ++i) {
      BaseWeight& weight = result_.weights[i];
      if (weight.has_branch) continue;
      weight.a_name = names[i].a;
      weight.b_name = names[i].b;
      weight.rank_name = names[i].rank_name;
    }
  }

  const BaseInput* input_called(const std::string& name) const {
    for (const BaseInput& input : result_.inputs) {
      if (input.name == name) return &input;
    }
    return nullptr;
  }

  // True if the inputs `a` and `b` are factors of a branch for all layers of `weight`.
  bool has_branch(const WeightSites& weight, const std::string& a, const std::string& b) const {
    const BaseInput* factor_a = input_called(a);
    const BaseInput* factor_b = input_called(b);
    if (factor_a == nullptr || factor_b == nullptr || factor_a->shape != weight.a_shape ||
        factor_b->shape != weight.b_shape || factor_a->dtype != weight.dtype ||
        factor_b->dtype != weight.dtype) {
      return false;
    }
    return std::all_of(weight.sites.begin(), weight.sites.end(), [&](const BranchSite& site) {
      const bool flips = site.transposed != weight.transposed;
      return flips ? joins(site, transpose_of(b), transpose_of(a)) : joins(site, a, b);
    });
  }

  // The value that is the transpose of the input `name`, or "".
  std::string transpose_of(const std::string& name) const {
    for (const Reader& reader : index_.readers(0, name)) {
      if (reader.node->op_type() == "Transpose" && reader.graph == 0) return reader.node->output(0);
    }
    return "";
  }

  // True if the layer at `site` has the branch (x · a) · b, unscaled, at its output.
  bool joins(const BranchSite& site, const std::string& a, const std::string& b) const {
    const int operand_of_x = site.kind == LayerKind::kGather ? 1 : 0;
    const std::string& x = site.layer->input(operand_of_x);
    for (const Reader& down : index_.readers(0, a)) {
      if (down.node->input_size() <= operand_of_x || down.operand == operand_of_x ||
          down.node->input(operand_of_x) != x) {
        continue;
      }
      const std::vector<Reader> ups = index_.readers(down.graph, down.node->output(0));
      if (ups.size() != 1 || ups[0].node->input_size() != 2 || ups[0].node->input(1) != b) continue;
      if (reaches_sum(ups[0])) return true;
    }
    return false;
  }

  // True if the output of `up` is added, at once or behind a node that the layer goes through, too.
  bool reaches_sum(const Reader& up) const {
    const std::vector<Reader> next = index_.readers(up.graph, up.node->output(0));
    if (next.size() != 1) return false;
    if (next[0].node->op_type() == "Add") return true;
    const std::vector<Reader> sums = index_.readers(up.graph, next[0].node->output(0));
    if (sums.size() != 1 || sums[0].node->op_type() != "Add") return false;
    const std::string& other = sums[0].node->input(1 - sums[0].operand);
    const IndexedGraph& graph = index_.graph(up.graph);
    const auto layer = graph.producers.find(other);
    if (layer == graph.producers.end()) return false;
    const onnx::NodeProto &one = *layer->second, &branch = *next[0].node;
    if (one.op_type() != branch.op_type() || one.input_size() != branch.input_size()) return false;
    for (int i = 0; i < one.input_size(); ++i) {
      if (i != next[0].operand && one.input(i) != branch.input(i)) return false;
    }
    return true;
  }

  void add_quantized(const onnx::NodeProto& node) {
    if (quantized_readers().count(node.op_type()) == 0) return;
    LeftWeight left;
    for (const std::string& input : node.input()) {
      const bool is_weight =
          std::any_of(model_.tensors.begin(), model_.tensors.end(), [&](const TensorRef& tensor) {
            return tensor.name == input && tensor.shape.size() >= 2;
          });
      if (!is_weight) continue;
      if (left.name.empty()) left.name = input;
      left.paths.push_back(as_path(input));
    }
    if (left.name.empty()) return;
    left.paths.push_back(as_path(node.name()));
    left.reason = "is quantized: it is read by " + node.op_type() +
                  (node.name().empty() ? "" : " " + in_quotes(node.name()));
    result_.left.push_back(std::move(left));
  }

  const ScannedModel& model_;
  Skeleton skeleton_;
  GraphIndex index_;
  BaseWeights result_;
};

}  // namespace

BaseWeights find_base_weights(const ScannedModel& model) { return Finder(model).run(); }

}  // namespace wshare

#include "lora/branch_sites.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "compare/low_rank/matrix.h"
#include "format/matrix.h"
#include "lora/module_names.h"
#include "lora/site_layers.h"
#include "model/walk.h"
#include "util/text.h"

namespace wshare {
namespace {

constexpr std::string_view kWeight = ".weight";
constexpr int64_t kInitializersApart = 4;  // IR version: before it every initializer is an input

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

SessionInputs find_inputs(const onnx::GraphProto& graph) {
  std::unordered_set<std::string_view> initializers;
  for (const onnx::TensorProto& tensor : graph.initializer()) initializers.insert(tensor.name());
  SessionInputs inputs;
  for (const onnx::ValueInfoProto& value : graph.input()) {
    const onnx::TypeProto_Tensor& type = value.type().tensor_type();
    if (!value.type().has_tensor_type() || !type.has_shape()) continue;
    SessionInput& input = inputs[value.name()];
    input.dtype = type.elem_type();
    input.has_default = initializers.contains(value.name());
    for (const auto& dim : type.shape().dim()) {
      input.shape.push_back(dim.has_dim_value() ? dim.dim_value() : -1);
      input.symbols.push_back(dim.dim_param());
    }
  }
  return inputs;
}

// True if `reader` takes a matrix as a factor of a branch.
bool takes_factor(const Reader& reader) {
  const std::string& op = reader.node->op_type();
  if (!is_standard(*reader.node)) return false;
  return (op == "MatMul" && reader.operand == 1) ||
         ((op == "Transpose" || op == "Gather") && reader.operand == 0);
}

bool is_needed_factor(const GraphIndex& index, const std::string& name, const SessionInput& input) {
  if (input.has_default || input.shape.size() != 2 || !float_format(input.dtype) ||
      std::count(input.shape.begin(), input.shape.end(), -1) != 1) {
    return false;
  }
  std::vector<std::string> values = {name};
  for (size_t i = 0; i < values.size(); ++i) {
    const std::vector<Reader>& readers = index.readers(0, values[i]);
    if (readers.empty() || index.is_output(0, values[i])) return false;
    for (const Reader& reader : readers) {
      if (reader.graph != 0 || !takes_factor(reader)) return false;
      if (reader.node->op_type() == "Transpose" && i == 0) values.push_back(reader.node->output(0));
    }
  }
  return true;
}

// "/encoder/q/MatMul_quant" may be of module "encoder.q".
std::string as_path(const std::string& name) {
  std::string path = name.substr(name.starts_with('/') ? 1 : 0);
  std::replace(path.begin(), path.end(), '/', '.');
  return path;
}

// True if `reader` takes a vector as one that it adds or multiplies with.
bool is_elementwise(const Reader& reader) {
  const std::string& op = reader.node->op_type();
  if (!is_standard(*reader.node)) return false;
  return op == "Add" || op == "Mul" || (op == "Gemm" && reader.operand == 2) ||
         (op == "LayerNormalization" && reader.operand > 0);
}

bool may_be_input(const GraphIndex& index, const TensorRef& tensor) {
  if (!tensor.scope.empty() || tensor.home != Home::kInitializer || tensor.dtype != kFloat32 ||
      tensor.shape.size() != 1 || tensor.shape[0] < 2 || !may_travel(tensor)) {
    return false;
  }
  const bool is_free = index.constant(0, tensor.name) != nullptr;  // and no input already
  const std::vector<Reader>& readers = index.readers(0, tensor.name);
  return is_free && !index.is_output(0, tensor.name) && !readers.empty() &&
         std::all_of(readers.begin(), readers.end(), is_elementwise);
}

class Finder {
 public:
  explicit Finder(const ScannedModel& model)
      : model_(model),
        skeleton_(model.file.skeleton()),
        finder_(skeleton_.model()),
        index_(finder_.index()) {}

  BranchSites run() {
    result_.inputs = find_inputs(skeleton_.model().graph());
    for (const auto& [name, input] : result_.inputs) {
      if (is_needed_factor(index_, name, input)) result_.needed_factors.insert(name);
    }
    for_each_node(skeleton_.model().graph(),
                  [&](const onnx::NodeProto& node, const onnx::GraphProto&) {
                    if (is_block_quantized(node) && node.input_size() > 1)
                      in_blocks_.insert(node.input(1));
                  });
    for (size_t t = 0; t < model_.tensors.size(); ++t) {
      const TensorRef& tensor = model_.tensors[t];
      if (tensor.shape.size() >= 2) weights_.insert(tensor.name);
      const auto number = static_cast<int32_t>(t);
      if (model_.ir_version >= kInitializersApart && may_be_input(index_, tensor))
        result_.vectors.insert(number);
      const bool in_blocks = in_blocks_.contains(tensor.name);
      if (!matrix_of(tensor) && !in_blocks) continue;
      FoundSite found = finder_.find(tensor.scope, tensor.name);
      if (found.site) {
        if (in_blocks) with_branch_.insert(tensor.name);
        add(number, std::move(found));
        continue;
      }
      if (in_blocks) continue;  // add_quantized() says what speaks against it
      LeftWeight left{number, tensor.name, {}, std::move(found.reason)};
      // What is taken from outside is no module's weight.
      const bool is_input = tensor.scope.empty() && result_.inputs.contains(tensor.name);
      if (!is_input) left.paths.push_back(path_of_name(tensor.name));
      result_.left.push_back(std::move(left));
    }
    name_inputs();
    for_each_node(skeleton_.model().graph(), [&](const onnx::NodeProto& node,
                                                 const onnx::GraphProto&) { add_quantized(node); });
    return std::move(result_);
  }

 private:
  static std::string path_of_name(const std::string& name) {
    return name.ends_with(kWeight) ? name.substr(0, name.size() - kWeight.size()) : name;
  }

  void add(int32_t tensor, FoundSite found) {
    BranchSite& site = result_.sites.emplace_back(*std::move(found.site));
    site.tensor = tensor;
    site.path = module_path(site.name, found.layers);
    if (!is_one_module(found.layers)) {
      site.several_modules = "is read by " + std::to_string(site.layers) +
                             " layers that are not known to be one module";
    }
    layers_.push_back(std::move(found.layers));
  }

  // Extraction names branches by the paths of modules, with a number where several weights have
  // one: so the weights are asked in the same order which branch they have, and the graph has to
  // agree.
  void name_inputs() {
    std::set<std::string> taken;
    std::map<std::string, int> next;  // by path
    std::vector<std::string> paths;
    for (size_t i = 0; i < result_.sites.size(); ++i) {
      BranchSite& site = result_.sites[i];
      paths.push_back(site.path);
      std::string path = site.path;
      int& number = next.emplace(site.path, 2).first->second;  // lower ones are taken
      while (!taken.insert(path).second) path = site.path + "_" + std::to_string(number++);
      BranchNames names{path, path + std::string(kFactorA), path + std::string(kFactorB), ""};
      if (has_branch(site, layers_[i], names.a, names.b)) site.branch = std::move(names);
    }
    std::vector<BranchNames> names = name_branches(skeleton_.model(), paths);
    for (size_t i = 0; i < names.size(); ++i) result_.sites[i].names = std::move(names[i]);
  }

  const SessionInput* input_called(const std::string& name) const {
    const auto found = result_.inputs.find(name);
    const bool is_there = found != result_.inputs.end() &&
                          (found->second.has_default || result_.needed_factors.contains(name));
    return is_there ? &found->second : nullptr;
  }

  // True if the inputs `a` and `b` are factors of a branch for all layers of `site`.
  bool has_branch(const BranchSite& site, const std::vector<SiteLayer>& layers,
                  const std::string& a, const std::string& b) const {
    const SessionInput* factor_a = input_called(a);
    const SessionInput* factor_b = input_called(b);
    if (factor_a == nullptr || factor_b == nullptr || factor_a->shape != site.a_shape ||
        factor_b->shape != site.b_shape || factor_a->dtype != site.dtype ||
        factor_b->dtype != site.dtype) {
      return false;
    }
    return std::all_of(layers.begin(), layers.end(), [&](const SiteLayer& layer) {
      const bool flips = layer.transposed != (site.layout == FactorLayout::kOutIn);
      return flips ? joins(layer, transpose_of(b), transpose_of(a)) : joins(layer, a, b);
    });
  }

  // The value that is the transpose of the input `name`, or "".
  std::string transpose_of(const std::string& name) const {
    for (const Reader& reader : index_.readers(0, name)) {
      if (reader.node->op_type() == "Transpose" && reader.graph == 0) return reader.node->output(0);
    }
    return "";
  }

  // True if `layer` has the branch (x · a) · b, unscaled, at its output.
  bool joins(const SiteLayer& layer, const std::string& a, const std::string& b) const {
    const int operand_of_x = layer.kind == LayerKind::kGather ? 1 : 0;
    const std::string& x = layer.node->input(operand_of_x);
    for (const Reader& down : index_.readers(0, a)) {
      if (down.node->input_size() <= operand_of_x || down.operand == operand_of_x ||
          down.node->input(operand_of_x) != x) {
        continue;
      }
      const std::vector<Reader>& ups = index_.readers(down.graph, down.node->output(0));
      if (ups.size() != 1 || ups[0].node->input_size() != 2 || ups[0].node->input(1) != b) continue;
      if (reaches_sum(ups[0])) return true;
    }
    return false;
  }

  // True if the output of `up` is added, at once or behind a node that the layer goes through, too.
  bool reaches_sum(const Reader& up) const {
    const std::vector<Reader>& next = index_.readers(up.graph, up.node->output(0));
    if (next.size() != 1) return false;
    if (next[0].node->op_type() == "Add") return true;
    const std::vector<Reader>& sums = index_.readers(up.graph, next[0].node->output(0));
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
      if (with_branch_.contains(input)) return;
      if (!weights_.contains(input)) continue;
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
  SiteFinder finder_;
  const GraphIndex& index_;
  BranchSites result_;
  std::unordered_set<std::string_view> weights_;      // tensors of two dimensions or more
  std::unordered_set<std::string_view> in_blocks_;    // weights of MatMulNBits
  std::unordered_set<std::string_view> with_branch_;  // of these, those with a site
  std::vector<std::vector<SiteLayer>> layers_;        // of the sites
};

}  // namespace

const BranchSite* BranchSites::find(int32_t tensor) const {
  const auto found =
      std::lower_bound(sites.begin(), sites.end(), tensor,
                       [](const BranchSite& site, int32_t wanted) { return site.tensor < wanted; });
  return found != sites.end() && found->tensor == tensor ? &*found : nullptr;
}

std::string BranchSites::reason_against(int32_t tensor) const {
  // Those that are no float matrices come last.
  const auto found = std::partition_point(left.begin(), left.end(), [&](const LeftWeight& weight) {
    return weight.tensor >= 0 && weight.tensor < tensor;
  });
  return found != left.end() && found->tensor == tensor ? found->reason : "";
}

bool may_travel(const TensorRef& tensor) {
  return !tensor.inline_reason || *tensor.inline_reason == InlineReason::kBelowMinBytes;
}

BranchSites find_branch_sites(const ScannedModel& model) { return Finder(model).run(); }

}  // namespace wshare

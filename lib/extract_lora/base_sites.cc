#include "extract_lora/base_sites.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <utility>

#include "compare/matrix.h"
#include "lora/branches.h"
#include "lora/module_names.h"
#include "lora/weight_sites.h"
#include "model/externalize.h"
#include "model/walk.h"

namespace wshare {
namespace {

constexpr int64_t kInitializersApart = 4;  // IR version: before it every initializer is an input

FactorLayout layout_of(const WeightSites& sites) {
  if (sites.sites.front().kind == LayerKind::kConv) return FactorLayout::kConv;
  return sites.transposed ? FactorLayout::kOutIn : FactorLayout::kInOut;
}

onnx::TensorProto external_tensor(const BranchTensor& tensor, const ExternalPlace& place) {
  onnx::TensorProto proto;
  proto.set_name(tensor.name);
  proto.set_data_type(tensor.dtype);
  for (const int64_t dim : tensor.shape) proto.add_dims(dim);
  set_external(proto, place);
  return proto;
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
      tensor.shape.size() != 1 || tensor.shape[0] < 2 || tensor.inline_reason) {
    return false;
  }
  const bool is_free = index.constant(0, tensor.name) != nullptr;  // and no input already
  const std::vector<Reader> readers = index.readers(0, tensor.name);
  return is_free && !index.is_output(0, tensor.name) && !readers.empty() &&
         std::all_of(readers.begin(), readers.end(), is_elementwise);
}

}  // namespace

BaseSites find_base_sites(const ScannedModel& model) {
  Skeleton skeleton = model.file.skeleton();
  const SiteFinder finder(skeleton.model());
  BaseSites result;
  std::vector<int32_t> tensors;
  std::vector<WeightSites> weights;
  const bool has_defaults = model.ir_version >= kInitializersApart;
  for (size_t t = 0; t < model.tensors.size(); ++t) {
    if (has_defaults && may_be_input(finder.index(), model.tensors[t])) {
      result.vectors.insert(static_cast<int32_t>(t));
    }
    if (!matrix_of(model.tensors[t])) continue;
    FoundSites found = finder.find(model.tensors[t].scope, model.tensors[t].name);
    if (found.sites) {
      tensors.push_back(static_cast<int32_t>(t));
      weights.push_back(std::move(*found.sites));
    } else {
      result.reasons[static_cast<int32_t>(t)] = std::move(found.reason);
    }
  }
  const std::vector<BranchNames> names = name_branches(skeleton.model(), weights);
  for (size_t i = 0; i < weights.size(); ++i) {
    const WeightSites& weight = weights[i];
    result.sites[tensors[i]] = {layout_of(weight), weight.dtype,   weight.sites.size(),
                                names[i].a,        names[i].b,     names[i].rank_name,
                                weight.a_shape,    weight.b_shape, weight.no_inputs};
  }
  return result;
}

void put_branches(onnx::ModelProto& model, const std::vector<PlacedBranch>& branches,
                  std::span<const ExternalPlace> places) {
  const SiteFinder finder(model);
  std::vector<Branch> added;
  std::vector<onnx::TensorProto> factors;
  factors.reserve(2 * branches.size());
  for (size_t i = 0; i < branches.size(); ++i) {
    const PlacedBranch& branch = branches[i];
    const size_t at = factors.size();
    if (branch.a && branch.b) {
      factors.push_back(external_tensor(*branch.a, places[2 * i]));
      factors.push_back(external_tensor(*branch.b, places[2 * i + 1]));
    }
    added.push_back({*finder.find(branch.scope, branch.weight).sites, branch.site.a_name,
                     branch.site.b_name, branch.site.rank_name, branch.a ? &factors[at] : nullptr,
                     branch.b ? &factors[at + 1] : nullptr});
  }
  add_branches(model, added);
}

}  // namespace wshare

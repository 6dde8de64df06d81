#include "lora/new_base.h"

#include <onnx/onnx_pb.h>

#include <optional>

#include "lora/branches.h"
#include "model/externalize.h"

namespace wshare {
namespace {

void add_default(onnx::ModelProto& model, const std::string& input) {
  onnx::GraphProto& graph = *model.mutable_graph();
  for (const onnx::ValueInfoProto& value : graph.input()) {
    if (value.name() != input) continue;
    onnx::TensorProto& tensor = *graph.add_initializer();
    tensor.set_name(input);
    tensor.set_data_type(value.type().tensor_type().elem_type());
    for (const auto& dim : value.type().tensor_type().shape().dim())
      tensor.add_dims(dim.has_dim_value() ? dim.dim_value() : 0);
    tensor.set_raw_data("");
    return;
  }
}

}  // namespace

std::string add_inputs(const ScannedModel& model, const std::vector<BranchSite>& sites,
                       const std::vector<std::string>& defaults,
                       const std::vector<std::string>& factors) {
  const auto place_of = [&](size_t t) -> std::optional<ExternalReference> {
    const TensorRef& tensor = model.tensors[t];
    if (tensor.external_file < 0) return std::nullopt;
    const ExternalFile& file = model.external[static_cast<size_t>(tensor.external_file)];
    return ExternalReference{file.location, tensor.external_offset, tensor.bytes.size()};
  };
  return externalize(model, place_of, [&](onnx::ModelProto& proto) {
    std::vector<Branch> branches;
    for (const BranchSite& site : sites) branches.push_back({site, nullptr, nullptr});
    add_branches(proto, branches);
    for (const std::string& name : defaults) make_input(proto, name);
    for (const std::string& name : factors) add_default(proto, name);
  });
}

void make_input(onnx::ModelProto& model, const std::string& name) {
  onnx::GraphProto& graph = *model.mutable_graph();
  for (const onnx::ValueInfoProto& input : graph.input()) {
    if (input.name() == name) return;
  }
  for (const onnx::TensorProto& tensor : graph.initializer()) {
    if (tensor.name() != name) continue;
    onnx::ValueInfoProto& input = *graph.add_input();
    input.set_name(name);
    onnx::TypeProto_Tensor& type = *input.mutable_type()->mutable_tensor_type();
    type.set_elem_type(tensor.data_type());
    for (const int64_t dim : tensor.dims()) type.mutable_shape()->add_dim()->set_dim_value(dim);
    return;
  }
}

}  // namespace wshare

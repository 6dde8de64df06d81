#include "import_adapter/new_base.h"

#include <onnx/onnx_pb.h>

#include <optional>

#include "lora/branches.h"
#include "lora/weight_sites.h"
#include "model/externalize.h"

namespace wshare {

std::string add_inputs(const ScannedModel& model, const std::vector<BaseWeight>& weights) {
  const auto place_of = [&](size_t t) -> std::optional<ExternalPlace> {
    const TensorRef& tensor = model.tensors[t];
    if (tensor.external_file < 0) return std::nullopt;
    const ExternalFile& file = model.external[static_cast<size_t>(tensor.external_file)];
    return ExternalPlace{file.location, tensor.external_offset, tensor.bytes.size()};
  };
  return externalize(model, place_of, [&](onnx::ModelProto& proto) {
    const SiteFinder finder(proto);
    std::vector<Branch> branches;
    for (const BaseWeight& weight : weights) {
      branches.push_back({*finder.find(weight.scope, weight.name).sites, weight.a_name,
                          weight.b_name, weight.rank_name, nullptr, nullptr});
    }
    add_branches(proto, branches);
  });
}

}  // namespace wshare

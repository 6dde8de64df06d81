#include "bundle/drop_renames.h"

#include <onnx/onnx_pb.h>

#include <utility>
#include <vector>

#include "model/renames.h"
#include "model/uses.h"

namespace wshare {
namespace {

// The renames of weights that leave `model`: what stays in it is the session's own anyway.
std::vector<Rename> renames_of(const ScannedModel& model, uint64_t min_bytes) {
  std::vector<Rename> renames;
  for (const Rename& rename : model.renames) {
    if (!reason_to_stay(model.tensors[rename.tensor], min_bytes)) renames.push_back(rename);
  }
  return renames;
}

void update_folded(ScannedModel& model, const std::vector<Rename>& renames) {
  Skeleton skeleton = model.file.skeleton();
  remove_renames(skeleton.model(), renames);
  const GraphUses uses = find_uses(skeleton.model());
  for (const Rename& rename : renames) {
    TensorRef& weight = model.tensors[rename.tensor];
    weight.folded = uses.of(weight.name).folded;
  }
}

}  // namespace

void drop_renames(Draft& draft, uint64_t min_bytes) {
  for (size_t m = 0; m < draft.models.size(); ++m) {
    std::vector<Rename> renames = renames_of(draft.models[m], min_bytes);
    if (renames.empty()) continue;
    update_folded(draft.models[m], renames);
    ModelRewrite& edit = draft.edits[m];
    edit.renames = renames.size();
    edit.apply = [renames = std::move(renames)](onnx::ModelProto& proto,
                                                std::span<const ExternalReference>) {
      remove_renames(proto, renames);
    };
  }
}

}  // namespace wshare

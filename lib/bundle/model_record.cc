#include "bundle/model_record.h"

#include <functional>
#include <optional>

#include "bundle/originals.h"
#include "model/externalize.h"

namespace wshare {
namespace {

// Adds tensor `t` of model `m` to `record` if it has a place in a blob.
void add_tensor(ModelRecord& record, const Draft& draft, size_t m, size_t t,
                const TensorRef& tensor) {
  const std::optional<Extent>& place = draft.plan.extents[m][t];
  if (!place) return;
  const Content& content = draft.contents.contents[draft.planned[m].tensors[t].content];
  record.tensors.push_back({tensor.scope, tensor.name, tensor.shape, *place, content.hash,
                            tensor.dtype, tensor.folded, tensor.turned});
}

}  // namespace

std::string make_model_file(const Draft& draft, size_t m, const std::vector<BlobRecord>& blobs) {
  const ScannedModel& model = draft.models[m];
  const TensorExtents& extents = draft.plan.extents[m];
  const auto external_place = [&](const Extent& extent) {
    return ExternalReference{blobs[extent.blob].file, extent.offset, extent.size};
  };
  const auto edit = draft.edits.find(m);
  std::function<void(onnx::ModelProto&)> apply;
  if (edit != draft.edits.end() && edit->second.apply) {
    apply = [&](onnx::ModelProto& proto) {
      std::vector<ExternalReference> added;
      for (size_t i = model.tensors.size(); i < extents.size(); ++i)
        added.push_back(external_place(*extents[i]));
      edit->second.apply(proto, added);
    };
  }
  return externalize(
      model,
      [&](size_t t) -> std::optional<ExternalReference> {
        if (!extents[t]) return std::nullopt;
        return external_place(*extents[t]);
      },
      apply);
}

ModelRecord make_model_record(const Draft& draft, size_t m, std::string_view file) {
  ModelRecord record;
  record.name = draft.inputs[m].name;
  record.file = draft.plan.model_files[m];
  record.size = file.size();
  record.hash = content_hash(std::as_bytes(std::span(file)));
  const ScannedModel& model = draft.models[m];
  for (size_t t = 0; t < model.tensors.size(); ++t)
    add_tensor(record, draft, m, t, model.tensors[t]);
  if (const auto edit = draft.edits.find(m); edit != draft.edits.end()) {
    const std::vector<TensorRef>& added = edit->second.added;
    for (size_t i = 0; i < added.size(); ++i)
      add_tensor(record, draft, m, model.tensors.size() + i, added[i]);
  }
  return record;
}

}  // namespace wshare

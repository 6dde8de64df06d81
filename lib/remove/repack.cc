#include "remove/repack.h"

#include "util/as_text.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

size_t number_of(const Manifest& manifest, const std::string& name) {
  return static_cast<size_t>(&find_model(manifest, name) - manifest.models.data());
}

}  // namespace

std::vector<PackedOriginal> packed_originals(Manifest& manifest) {
  std::vector<PackedOriginal> originals;
  for (size_t m = 0; m < manifest.models.size(); ++m) {
    ModelRecord& model = manifest.models[m];
    if (model.source) originals.push_back({model.name, &*model.source, m});
  }
  for (TaskRecord& task : manifest.tasks) {
    if (!task.source) continue;
    const std::string& model = task.model.empty() ? task.base : task.model;
    originals.push_back({task.name, &*task.source, number_of(manifest, model)});
  }
  for (size_t m = 0; m < manifest.archived.size(); ++m) {
    ArchivedRecord& model = manifest.archived[m];
    originals.push_back({model.name, &*model.source, manifest.models.size() + m});
  }
  return originals;
}

RestoreRecord unpack_original(const PackedOriginal& original, std::span<const std::byte> bytes,
                              std::string_view model) {
  try {
    RestoreRecord record = unpack_record(as_text(bytes), model, original.source->size);
    if (content_hash(std::as_bytes(std::span(record.literal))) != original.source->graph_hash)
      throw Error(ErrorCode::kInvalid, "restore record: does not fit the manifest");
    return record;
  } catch (const Error& error) {
    throw Error(error.code(), in_quotes(original.name) + ": " + error.what(),
                "'wshare verify' lists all damage");
  }
}

void visit_gaps(RestoreRecord& record, const std::function<void(ExternalPiece&)>& visit) {
  for (ExternalRecord& external : record.external) {
    for (ExternalPiece& piece : external.pieces) {
      if (piece.kind == ExternalPiece::Kind::kGap) visit(piece);
    }
  }
}

}  // namespace wshare

#include "inspect/inspect_bundle.h"

#include <set>

#include "format/manifest.h"
#include "inspect/summary.h"
#include "util/mapped_file.h"

namespace wshare {
namespace {

ModelRows rows_of(const ModelRecord& model, const std::filesystem::path& folder) {
  ModelRows rows{model.name, (folder / model.file).string(), model.size, {}, {}};
  for (const TensorRecord& tensor : model.tensors) {
    TensorRow& row = rows.tensors.emplace_back();
    row.tensor.scope = tensor.scope;
    row.tensor.tensor = tensor.name;
    row.tensor.dtype = tensor.dtype;
    row.tensor.shape = tensor.shape;
    row.tensor.bytes = tensor.extent.size;
    row.extent = tensor.extent;
    row.hash = tensor.hash;
  }
  return rows;
}

std::vector<InspectedBlob> blobs_of(const Manifest& manifest) {
  std::vector<InspectedBlob> blobs;
  for (const BlobRecord& blob : manifest.blobs) blobs.push_back({blob.file, blob.size, {}});
  for (const ModelRecord& model : manifest.models) {
    std::set<uint32_t> used;
    for (const TensorRecord& tensor : model.tensors) used.insert(tensor.extent.blob);
    for (const uint32_t blob : used) blobs[blob].models.push_back(model.name);
  }
  return blobs;
}

}  // namespace

Inspection inspect_bundle(const std::filesystem::path& folder, const InspectOptions& options) {
  const Manifest manifest = load_manifest(folder);
  std::vector<ModelRows> models;
  for (const ModelRecord& model : manifest.models) models.push_back(rows_of(model, folder));
  Inspection inspection = summarise(models, options);
  inspection.bundle = folder.string();
  inspection.blobs = blobs_of(manifest);
  inspection.predicted_bundle_bytes = MappedFile::open(folder / kManifestName).bytes().size();
  for (const BlobRecord& blob : manifest.blobs) inspection.predicted_bundle_bytes += blob.size;
  for (size_t m = 0; m < models.size(); ++m) {
    InspectedModel& model = inspection.models[m];
    inspection.predicted_bundle_bytes += model.bytes;
    model.bytes += model.own_bytes + model.shared_bytes;  // the parts of blobs that it needs
    inspection.input_bytes += model.bytes;
  }
  return inspection;
}

}  // namespace wshare

#include "inspect/inspect_bundle.h"

#include <algorithm>
#include <map>
#include <set>

#include "bundle/edit.h"
#include "format/dtype.h"
#include "format/manifest/extents.h"
#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "inspect/findings.h"
#include "inspect/freed.h"
#include "inspect/relations.h"
#include "inspect/summary.h"
#include "inspect/task_weights.h"
#include "util/mapped_file.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

ModelRows rows_of(const ModelRecord& model, const std::filesystem::path& folder) {
  ModelRows rows{model.name, (folder / model.file).string(), model.size, {}, {}};
  rows.tensors.reserve(model.tensors.size());
  for (const TensorRecord& tensor : model.tensors) {
    TensorRow& row = rows.tensors.emplace_back();
    row.tensor.scope = tensor.scope;
    row.tensor.tensor = tensor.name;
    row.tensor.dtype = dtype_name(tensor.dtype);
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
  std::map<std::string_view, std::set<uint32_t>> used_by;
  for (const ModelRecord& model : manifest.models) {
    std::set<uint32_t>& used = used_by[model.name];
    for (const TensorRecord& tensor : model.tensors) used.insert(tensor.extent.blob);
    used.insert(model.files.begin(), model.files.end());
    for (const uint32_t blob : used) blobs[blob].models.push_back(model.name);
  }
  // A blob that a pack is the first to use is the pack's: others use what models brought.
  for (const PackRecord& pack : manifest.packs) {
    visit_pack_extents(pack, [&](const Extent& extent) {
      InspectedBlob& blob = blobs[extent.blob];
      blob.of_packs = blob.models.empty();
    });
  }
  for (const PackRecord& pack : manifest.packs) {
    std::set<uint32_t>& used = used_by[pack.model.name];
    visit_pack_extents(pack, [&](const Extent& extent) {
      if (used.insert(extent.blob).second) blobs[extent.blob].models.push_back(pack.model.name);
    });
  }
  for (const TaskRecord& task : manifest.tasks) {
    if (task.adapter) blobs[*task.adapter].models.push_back(task.name);
  }
  return blobs;
}

using Numbers = std::map<std::string_view, size_t>;  // of models, by name

InspectedTask look_at(const Manifest& manifest, const Numbers& numbers, const TaskRecord& task) {
  InspectedTask out;
  out.name = task.name;
  out.base = task.base;
  if (task.adapter) {
    out.adapter = manifest.blobs[*task.adapter].file;
    out.adapter_bytes = manifest.blobs[*task.adapter].size;
  }
  const ModelRecord* own = task.model.empty() ? nullptr : &manifest.models[numbers.at(task.model)];
  if (own != nullptr) out.model = own->file;
  out.parameters = task.parameters.size();
  // An adapter that was imported has no original.
  out.restorable = task.source || (own != nullptr && own->source);
  for (const OriginalTensor& tensor : task.tensors) {
    if (!tensor.derivation) continue;
    out.residual_bytes += tensor.derivation->own_residual().size;
    out.restorable = out.restorable && tensor.derivation->exact;
  }
  return out;
}

// Bytes of those `blobs` that only packs use, as far as `pack` does.
uint64_t bytes_in(const PackRecord& pack, const std::vector<InspectedBlob>& blobs) {
  std::set<ExtentKey> extents;
  uint64_t bytes = 0;
  visit_pack_extents(pack, [&](const Extent& extent) {
    const bool is_new = extents.insert(key_of(extent)).second;
    if (is_new && blobs[extent.blob].of_packs) bytes += extent.size;
  });
  return bytes;
}

InspectedPack look_at(const Manifest& manifest, const Numbers& numbers,
                      const std::vector<InspectedBlob>& blobs, const PackRecord& pack) {
  InspectedPack out;
  out.model = pack.model.name;
  out.file = pack.model.file;
  out.packed_bytes = distinct_bytes(pack.buffers);
  out.bytes = pack.model.size + bytes_in(pack, blobs);
  out.onnxruntime = pack.onnxruntime;
  out.cpu = pack.cpu;
  out.optimization = pack.optimization;
  out.current = pack.made_of == manifest.models[numbers.at(pack.model.name)].hash;
  return out;
}

InspectedArchive look_at(const Manifest& manifest, const ArchivedRecord& model) {
  InspectedArchive out{model.name, model.base, model.size, 0};
  std::set<ContentHash> seen;
  for (const OriginalTensor& tensor : model.tensors) {
    if (seen.insert(tensor.hash).second)
      out.bytes += *byte_size(*find_dtype(tensor.dtype), tensor.shape);
  }
  out.archived_bytes = manifest.blobs[model.graph.blob].size;
  return out;
}

// Adds how the folder differs from its manifest, as far as names and sizes tell.
void find_drift(const Manifest& manifest, const fs::path& folder, Findings& findings) {
  std::map<std::string, uint64_t> expected;
  for (const BundleFile& file : files_of(manifest)) expected[file.name] = file.size;
  for (const auto& [file, bytes] : expected) {
    std::error_code missing;
    const uint64_t found = fs::file_size(folder / file, missing);
    if (!missing && found == bytes) continue;
    const std::string note = missing ? "missing" : "has " + std::to_string(found) + " bytes";
    findings.add("WS040", {{}, file, bytes, note});
  }
  std::map<std::string, uint64_t> others;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name == kManifestName || name.starts_with('.') || expected.count(name) != 0) continue;
    others[name] = entry.is_regular_file() ? entry.file_size() : 0;
  }
  for (const auto& [file, bytes] : others) findings.add("WS041", {{}, file, bytes, ""});
}

}  // namespace

Inspection inspect_bundle(const std::filesystem::path& folder, const InspectOptions& options) {
  const std::shared_ptr<const Folder> opened = open_bundle_folder(folder);
  const Manifest manifest = load_manifest(opened);
  const StoredFiles files(opened, manifest);
  std::vector<ModelRows> models;
  for (const ModelRecord& model : manifest.models) models.push_back(rows_of(model, folder));
  Inspection inspection = summarise(models, options).inspection;
  inspection.bundle = folder.string();
  inspection.blobs = blobs_of(manifest);
  inspection.predicted_bundle_bytes =
      bundle_bytes(manifest, opened->look_up(kManifestName).value_or(FileStamp()).size);
  Numbers numbers;
  for (size_t m = 0; m < models.size(); ++m) numbers[manifest.models[m].name] = m;
  for (const PackRecord& pack : manifest.packs)
    inspection.packs.push_back(look_at(manifest, numbers, inspection.blobs, pack));
  for (size_t m = 0; m < models.size(); ++m) {
    InspectedModel& model = inspection.models[m];
    model.bytes += model.own_bytes + model.shared_bytes;  // the parts of blobs that it needs
    inspection.input_bytes += model.bytes;
  }
  for (const TaskRecord& task : manifest.tasks) {
    inspection.tasks.push_back(look_at(manifest, numbers, task));
    if (options.contents) inspection.tasks.back().weights = weights_of(task, files);
    if (!task.model.empty()) continue;
    const InspectedModel& base = inspection.models[numbers.at(task.base)];
    inspection.input_bytes += base.bytes + inspection.tasks.back().adapter_bytes;
  }
  for (const ArchivedRecord& model : manifest.archived) {
    inspection.archived.push_back(look_at(manifest, model));
    inspection.input_bytes += inspection.archived.back().bytes;
  }
  name_same_models(manifest, inspection);
  add_freed_bytes(manifest, inspection);
  Findings findings;
  find_drift(manifest, folder, findings);
  inspection.findings = findings.take();
  // What archives would save cannot be told of bytes that are missing.
  const bool is_whole = std::none_of(inspection.findings.begin(), inspection.findings.end(),
                                     [](const Finding& each) { return each.id == "WS040"; });
  if (options.hash && is_whole)
    inspection.relations = find_model_relations(manifest, files, options);
  return inspection;
}

}  // namespace wshare

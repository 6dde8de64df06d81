#include "dedupe/write.h"

#include <fmt/format.h>

#include <algorithm>

#include "dedupe/originals.h"
#include "format/dtype.h"
#include "format/layout.h"
#include "model/externalize.h"
#include "util/output_folder.h"
#include "util/parallel.h"

namespace wshare {
namespace {

using RecordIndex = std::vector<std::vector<std::optional<uint32_t>>>;

RecordIndex index_records(const Plan& plan) {
  RecordIndex result;
  for (const auto& extents : plan.extents) {
    std::vector<std::optional<uint32_t>>& indices = result.emplace_back();
    uint32_t next = 0;
    for (const std::optional<Extent>& extent : extents) {
      indices.push_back(extent ? std::optional(next++) : std::nullopt);
    }
  }
  return result;
}

void write_blob(const PlanBlob& blob, const Contents& contents,
                const std::filesystem::path& folder) {
  OutputFile file(folder / blob.file, blob.size);
  for (const Placement& placement : blob.placements) {
    file.write_zeros(placement.offset - file.offset());
    file.write(contents.contents[placement.content].bytes);
  }
  file.close();
}

// Writes model `m` and, into `packed`, its compressed restore record.
ModelRecord write_model(const WriteInput& input, size_t m, const RestoreRecord& original,
                        const std::filesystem::path& folder, std::string& packed) {
  const ScannedModel& model = (*input.models)[m];
  const Plan& plan = *input.plan;
  const std::string bytes = externalize(model, [&](size_t t) -> std::optional<ExternalPlace> {
    const std::optional<Extent>& extent = plan.extents[m][t];
    if (!extent) return std::nullopt;
    return ExternalPlace{plan.blobs[extent->blob].file, extent->offset, extent->size};
  });
  ModelRecord record;
  record.name = input.names[m];
  record.file = plan.model_files[m];
  record.size = bytes.size();
  record.hash = content_hash(std::as_bytes(std::span(bytes)));
  record.source.folder = input.folders[m];
  record.source.file = model.file.file().path().filename().string();
  record.source.size = model.file.file().bytes().size();
  for (size_t t = 0; t < model.tensors.size(); ++t) {
    if (!plan.extents[m][t]) continue;
    const TensorRef& tensor = model.tensors[t];
    record.tensors.push_back(
        {tensor.scope, tensor.name, std::string(find_dtype(tensor.dtype)->name), tensor.shape,
         *plan.extents[m][t], input.contents->contents[input.content_of[m][t]].hash,
         tensor.folded});
  }
  packed = pack_record(original, bytes);
  OutputFile file(folder / record.file);
  file.write(bytes);
  file.close();
  return record;
}

// Writes the blob that only restore reads: a compressed record per model, then the gaps.
void write_restore_blob(const Originals& originals, const std::vector<std::string>& packed,
                        const std::filesystem::path& folder, Manifest& manifest) {
  const auto blob = static_cast<uint32_t>(manifest.blobs.size() - 1);
  OutputFile file(folder / manifest.blobs.back().file);
  for (size_t m = 0; m < packed.size(); ++m) {
    SourceRecord& source = manifest.models[m].source;
    source.record = {blob, file.offset(), packed[m].size()};
    source.record_hash = content_hash(std::as_bytes(std::span(packed[m])));
    source.graph_hash = originals.graph_hashes[m];
    file.write(packed[m]);
  }
  for (const Gap& gap : originals.gaps) {
    file.write_zeros(align_up(file.offset(), kLineBytes) - file.offset());
    manifest.gaps.push_back({{blob, file.offset(), gap.bytes.size()}, content_hash(gap.bytes)});
    file.write(gap.bytes);
  }
  manifest.blobs.back().size = file.offset();
  file.close();
}

// A name for the blob of restore records that no other file of the bundle has.
std::string restore_blob_name(const Plan& plan) {
  for (int number = 1;; ++number) {
    std::string name = number == 1 ? "restore.bin" : fmt::format("restore_{}.bin", number);
    const auto same = [&](const PlanBlob& blob) { return blob.file == name; };
    if (std::none_of(plan.blobs.begin(), plan.blobs.end(), same)) return name;
  }
}

}  // namespace

Manifest write_bundle(const WriteInput& input, const std::filesystem::path& folder,
                      unsigned threads) {
  const Plan& plan = *input.plan;
  const std::vector<ScannedModel>& models = *input.models;
  Manifest manifest;
  for (const PlanBlob& blob : plan.blobs) manifest.blobs.push_back({blob.file, blob.size});
  manifest.blobs.push_back({restore_blob_name(plan), 0});
  manifest.models.resize(models.size());
  const Originals originals = describe_originals(models, index_records(plan));
  std::vector<std::string> packed(models.size());
  // Blobs are the long jobs and the shared one is first, so it starts at once and models fill the
  // rest.
  parallel_for(plan.blobs.size() + models.size(), threads, [&](size_t job) {
    if (job < plan.blobs.size()) {
      write_blob(plan.blobs[job], *input.contents, folder);
      return;
    }
    const size_t m = job - plan.blobs.size();
    manifest.models[m] = write_model(input, m, originals.records[m], folder, packed[m]);
  });
  write_restore_blob(originals, packed, folder, manifest);
  for (const ScannedModel& model : models) {
    model.file.file().check_unchanged();
    for (const ExternalFile& external : model.external) external.file.check_unchanged();
  }
  OutputFile file(folder / kManifestName);
  file.write(to_json(manifest));
  file.close();
  return manifest;
}

}  // namespace wshare

#include "bundle/replace_model.h"

#include <algorithm>
#include <set>
#include <utility>

#include "bundle/edit.h"
#include "format/bundle_files.h"
#include "format/layout.h"
#include "format/manifest/extents.h"
#include "format/restore_record.h"
#include "util/as_text.h"
#include "util/output_folder.h"
#include "util/paths.h"
#include "util/text.h"
#include "wshare/error.h"

// A restore record is compressed against the .onnx of its model, so a new file for the base means
// new records. To keep the old file as what they are compressed against would need a place for it
// in the format, and leave two models of one name in the folder; to pack them again costs a few
// kilobytes.

namespace fs = std::filesystem;

namespace wshare {
namespace {

// A restore record and whose it is.
struct OwnedRecord {
  std::string name;
  SourceRecord* source;
  const ReplacedModel* replaced;  // whose file it is compressed against; null: none of them
};

std::vector<OwnedRecord> records_of(Manifest& manifest, const std::vector<ReplacedModel>& models) {
  const auto find = [&](const std::string& name) {
    const auto found = std::find_if(models.begin(), models.end(),
                                    [&](const ReplacedModel& each) { return each.name == name; });
    return found == models.end() ? nullptr : &*found;
  };
  std::vector<OwnedRecord> records;
  for (ModelRecord& model : manifest.models) {
    if (model.source) records.push_back({model.name, &*model.source, find(model.name)});
  }
  for (TaskRecord& task : manifest.tasks) {
    const std::string& model = task.model.empty() ? task.base : task.model;
    if (task.source) records.push_back({task.name, &*task.source, find(model)});
  }
  for (ArchivedRecord& model : manifest.archived)
    records.push_back({model.name, &*model.source, nullptr});
  return records;
}

// True if tensors, adapters or residuals lie in blob `blob`.
bool holds_more(const Manifest& manifest, uint32_t blob) {
  bool found = false;
  const auto look = [&](const Extent& extent) { found = found || extent.blob == blob; };
  for (const ModelRecord& model : manifest.models) visit_tensor_extents(model, look);
  for (const TaskRecord& task : manifest.tasks) {
    visit_tensor_extents(task, look);
    found = found || task.adapter == blob;
  }
  for (const ArchivedRecord& model : manifest.archived) {
    visit_tensor_extents(model, look);
    look(model.graph);
  }
  return found;
}

// Returns `packed`, the record of `owner` against the old file, against the new one.
std::string pack_again(const OwnedRecord& owner, std::string_view packed) {
  try {
    RestoreRecord record = unpack_record(packed, owner.replaced->before, owner.source->size);
    if (content_hash(std::as_bytes(std::span(record.literal))) != owner.source->graph_hash)
      throw Error(ErrorCode::kInvalid, "restore record: does not fit the manifest");
    return pack_record(std::move(record), owner.replaced->model);
  } catch (const Error& error) {
    throw Error(error.code(), in_quotes(owner.name) + ": " + error.what(),
                "'wshare verify' lists all damage");
  }
}

// Appends the gaps that lie in blob `blob`, whose bytes are `from`, to `bytes`.
void move_gaps(Manifest& manifest, uint32_t blob, std::span<const std::byte> from,
               std::string& bytes) {
  for (GapRecord& gap : manifest.gaps) {
    if (gap.extent.blob != blob) continue;
    const std::string_view gap_bytes = as_text(slice(from, gap.extent));
    bytes.resize(static_cast<size_t>(align_up(bytes.size(), kLineBytes)));
    gap.extent.offset = bytes.size();
    bytes += gap_bytes;
  }
}

// A blob that takes the place of another one; its file has no name yet.
struct NewBlob {
  uint32_t blob = 0;  // in Manifest::blobs
  std::string bytes;
};

// Packs the records that need an old file of `models` anew, and says in `manifest` where they lie.
std::vector<NewBlob> move_records(Manifest& manifest, const StoredFiles& files,
                                  const std::vector<ReplacedModel>& models) {
  const std::vector<OwnedRecord> records = records_of(manifest, models);
  std::set<uint32_t> touched;
  for (const OwnedRecord& each : records) {
    if (each.replaced != nullptr) touched.insert(each.source->record.blob);
  }
  std::vector<NewBlob> result;
  for (const uint32_t blob : touched) {
    BlobRecord& record = manifest.blobs[blob];
    if (holds_more(manifest, blob)) {
      throw Error(ErrorCode::kInvalid,
                  in_quotes(record.file) + ": holds restore records among other things");
    }
    const std::span<const std::byte> old = files.blob(blob).bytes();
    std::string bytes;
    for (const OwnedRecord& each : records) {
      if (each.source->record.blob != blob) continue;
      std::string packed(as_text(slice(old, each.source->record)));
      if (each.replaced != nullptr) packed = pack_again(each, packed);
      each.source->record = {blob, bytes.size(), packed.size()};
      if (each.replaced != nullptr)
        each.source->record_hash = content_hash(std::as_bytes(std::span(packed)));
      bytes += packed;
    }
    move_gaps(manifest, blob, old, bytes);
    record.size = bytes.size();
    record.hash.reset();
    result.push_back({blob, std::move(bytes)});
  }
  return result;
}

}  // namespace

void write_files(const fs::path& folder, const std::vector<NewFile>& files) {
  for (const NewFile& file : files) {
    OutputFile output(folder / file.name, file.bytes.size());
    output.write(file.bytes);
    output.close();
  }
}

std::vector<NewFile> replace_models(Manifest& manifest, const fs::path& folder,
                                    std::vector<ReplacedModel> models, UnusedNames& names) {
  std::vector<std::string> retired;
  std::vector<NewBlob> blobs = move_records(manifest, StoredFiles(folder, manifest), models);
  std::vector<NewFile> files;
  for (ReplacedModel& model : models) {
    ModelRecord* const record = model_called(manifest, model.name);
    retired.push_back(std::exchange(record->file, names.make(model.name, ".onnx")));
    record->size = model.model.size();
    record->hash = content_hash(std::as_bytes(std::span(model.model)));
    files.push_back({record->file, std::move(model.model)});
  }
  for (NewBlob& blob : blobs) {
    BlobRecord& restore = manifest.blobs[blob.blob];
    retired.push_back(std::exchange(restore.file, names.make("restore", ".bin")));
    files.push_back({restore.file, std::move(blob.bytes)});
  }
  retire_files(std::move(retired), manifest);
  return files;
}

}  // namespace wshare

#include "format/manifest/manifest.h"

#include <algorithm>
#include <set>

#include "format/manifest/extents.h"
#include "format/manifest/text.h"
#include "util/as_text.h"
#include "util/mapped_file.h"
#include "util/paths.h"
#include "util/suggest.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

[[noreturn]] void fail(const std::string& what) { throw Error(ErrorCode::kInvalid, what); }

// What records say of each other.
class ManifestCheck {
 public:
  explicit ManifestCheck(const Manifest& manifest) : manifest_(manifest) {}

  void run() {
    for (const ModelRecord& model : manifest_.models) {
      if (!is_file_name(model.name) || !models_.insert(model.name).second)
        fail(in_quotes(model.name) + ": cannot be the name of a model");
    }
    std::set<std::string_view> tasks, packs;
    for (const TaskRecord& task : manifest_.tasks) {
      if (!is_file_name(task.name) || !tasks.insert(task.name).second)
        fail(in_quotes(task.name) + ": cannot be the name of a task");
      check_task(task);
    }
    for (const PackRecord& pack : manifest_.packs) {
      const std::string& name = pack.model.name;
      if (!models_.contains(name))
        fail("there is a pack of " + in_quotes(name) + ", no such model");
      if (!packs.insert(name).second || pack.model.source)
        fail(in_quotes(name) + ": has two packs, or one with a source");
    }
    const auto check = [&](const Extent& extent) { check_extent(extent); };
    for (const ModelRecord& model : manifest_.models) {
      visit_extents(model, check);
      visit_blob_numbers(model, [&](uint32_t blob) { check_blob(blob); });
      for (const uint32_t blob : model.files) check_whole(blob, model.name);
    }
    for (const TaskRecord& task : manifest_.tasks) {
      visit_extents(task, check);
      visit_blob_numbers(task, [&](uint32_t blob) { check_blob(blob); });
      if (task.adapter) check_whole(*task.adapter, task.name);
    }
    for (const PackRecord& pack : manifest_.packs) visit_pack_extents(pack, check);
    for (const GapRecord& gap : manifest_.gaps) check_extent(gap.extent);
  }

 private:
  void check_task(const TaskRecord& task) const {
    for (const std::string& name : {task.base, task.model.empty() ? task.base : task.model}) {
      if (models_.contains(name)) continue;
      fail("task " + in_quotes(task.name) + " needs the model " + in_quotes(name) +
           ", which the bundle does not have");
    }
  }

  void check_blob(uint32_t blob) const {
    if (blob < manifest_.blobs.size()) return;
    fail("blob " + std::to_string(blob) + " is named, there are " +
         std::to_string(manifest_.blobs.size()));
  }

  // A file that is needed under its own name, not for its extents.
  void check_whole(uint32_t blob, const std::string& owner) const {
    if (manifest_.blobs[blob].hash) return;
    fail(in_quotes(owner) + ": " + in_quotes(manifest_.blobs[blob].file) +
         " has no hash, so it is no file of its own");
  }

  void check_extent(const Extent& extent) const {
    check_blob(extent.blob);
    const BlobRecord& blob = manifest_.blobs[extent.blob];
    if (extent.offset <= blob.size && extent.size <= blob.size - extent.offset) return;
    fail("extent of " + std::to_string(extent.size) + " bytes at " + std::to_string(extent.offset) +
         " leaves " + in_quotes(blob.file) + " of " + std::to_string(blob.size) + " bytes");
  }

  const Manifest& manifest_;
  std::set<std::string_view> models_;
};

[[noreturn]] void fail_no_bundle(const std::filesystem::path& folder, const std::string& why) {
  throw Error(ErrorCode::kIo,
              in_quotes(folder.string()) + ": is no bundle: cannot read manifest.json" + why,
              "'wshare dedupe MODEL... -o BUNDLE' makes one");
}

MappedFile open_manifest(const std::shared_ptr<const Folder>& folder) {
  const std::optional<FileStamp> stamp = folder->look_up(kManifestName);
  if (!stamp) fail_no_bundle(folder->path(), "");
  if (!stamp->is_regular) fail_no_bundle(folder->path(), ": it is not a regular file");
  return MappedFile::open(folder, kManifestName);
}

}  // namespace

void check_manifest(const Manifest& manifest) { ManifestCheck(manifest).run(); }

std::shared_ptr<const Folder> open_bundle_folder(const std::filesystem::path& folder) {
  const std::optional<FileStamp> stamp = look_up(folder);
  if (!stamp || !stamp->is_folder) fail_no_bundle(folder, "");
  return Folder::open(folder);
}

Manifest load_manifest(const std::filesystem::path& folder) {
  // Between the two steps another bundle may take the folder's place.
  constexpr int kTries = 20;
  for (int i = 1;; ++i) {
    const std::shared_ptr<const Folder> opened = open_bundle_folder(folder);
    try {
      return load_manifest(opened);
    } catch (const Error&) {
      if (i == kTries || opened->is_at_path()) throw;
    }
  }
}

Manifest load_manifest(const std::shared_ptr<const Folder>& folder) {
  const std::filesystem::path path = folder->path() / kManifestName;
  const MappedFile file = open_manifest(folder);
  try {
    return parse_manifest(as_text(file.bytes()));
  } catch (const Error& error) {
    throw Error(error.code(), in_quotes(path.string()) + ": " + error.what(),
                error.hint().empty() ? "it is damaged: copy the bundle again, or make it anew"
                                     : error.hint());
  }
}

std::span<const std::byte> slice(std::span<const std::byte> blob, const Extent& extent) {
  if (extent.offset > blob.size() || extent.size > blob.size() - extent.offset) {
    throw Error(ErrorCode::kInvalid, "extent of " + std::to_string(extent.size) + " bytes at " +
                                         std::to_string(extent.offset) + " leaves a blob of " +
                                         std::to_string(blob.size()) + " bytes");
  }
  return blob.subspan(static_cast<size_t>(extent.offset), static_cast<size_t>(extent.size));
}

const ModelRecord* model_called(const Manifest& manifest, std::string_view name) {
  for (const ModelRecord& model : manifest.models) {
    if (model.name == name) return &model;
  }
  return nullptr;
}

ModelRecord* model_called(Manifest& manifest, std::string_view name) {
  return const_cast<ModelRecord*>(model_called(std::as_const(manifest), name));
}

const ModelRecord& find_model(const Manifest& manifest, std::string_view name) {
  if (const ModelRecord* model = model_called(manifest, name)) return *model;
  std::vector<std::string> names;
  for (const ModelRecord& model : manifest.models) names.push_back(model.name);
  throw Error(ErrorCode::kInvalid, in_quotes(name) + ": no such model in the bundle",
              hint_of_names(std::string(name), names));
}

const PackRecord* find_pack(const Manifest& manifest, std::string_view name) {
  for (const PackRecord& pack : manifest.packs) {
    if (pack.model.name == name) return &pack;
  }
  return nullptr;
}

uint64_t distinct_bytes(const std::vector<BufferRecord>& buffers) {
  std::set<std::pair<uint32_t, uint64_t>> seen;
  uint64_t bytes = 0;
  for (const BufferRecord& buffer : buffers) {
    if (seen.insert({buffer.extent.blob, buffer.extent.offset}).second) bytes += buffer.extent.size;
  }
  return bytes;
}

bool is_over_base(const TaskRecord& task) { return task.adapter || task.model.empty(); }

const TaskRecord* find_task(const Manifest& manifest, std::string_view name) {
  for (const TaskRecord& task : manifest.tasks) {
    if (task.name == name) return &task;
  }
  return nullptr;
}

}  // namespace wshare

#include "format/manifest/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "format/dtype.h"
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

// What records say of blobs.
class BlobCheck {
 public:
  explicit BlobCheck(const std::vector<BlobRecord>& blobs) : blobs_(blobs) {}

  void check(const ModelRecord& model) const {
    check_places(model);
    for (const uint32_t blob : model.files) check_whole(blob, model.name);
  }

  void check(const TaskRecord& task) const {
    check_places(task);
    if (task.adapter) check_whole(*task.adapter, task.name);
  }

  void check(const ArchivedRecord& model) const {
    check_places(model);
    for (const uint32_t blob : model.files) check_whole(blob, model.name);
  }

  void check(const PackRecord& pack) const {
    visit_pack_extents(pack, [&](const Extent& extent) { check_extent(extent); });
  }

  void check_extent(const Extent& extent) const {
    check_blob(extent.blob);
    const BlobRecord& blob = blobs_[extent.blob];
    if (extent.offset <= blob.size && extent.size <= blob.size - extent.offset) return;
    fail("extent of " + std::to_string(extent.size) + " bytes at " + std::to_string(extent.offset) +
         " leaves " + in_quotes(blob.file) + " of " + std::to_string(blob.size) + " bytes");
  }

 private:
  template <typename Record>
  void check_places(const Record& record) const {
    visit_extents(record, [&](const Extent& extent) { check_extent(extent); });
    visit_blob_numbers(record, [&](uint32_t blob) { check_blob(blob); });
  }

  void check_blob(uint32_t blob) const {
    if (blob < blobs_.size()) return;
    fail("blob " + std::to_string(blob) + " is named, there are " + std::to_string(blobs_.size()));
  }

  // A file that is needed under its own name, not for its extents.
  void check_whole(uint32_t blob, const std::string& owner) const {
    if (blobs_[blob].hash) return;
    fail(in_quotes(owner) + ": " + in_quotes(blobs_[blob].file) +
         " has no hash, so it is no file of its own");
  }

  const std::vector<BlobRecord>& blobs_;
};

[[noreturn]] void fail_name(std::string_view name, const char* of) {
  fail(in_quotes(name) + ": cannot be the name of a " + of);
}

// What is computed of a base and factors takes time for each element and rank, which a few entries
// could claim any number of times over the same bytes. Tasks over a base of 1 GiB, each with
// factors of its own, take under a thousand steps for each byte of the bundle.
template <typename Record>
void check_work(const char* what, const std::vector<Record>& records,
                const std::vector<BlobRecord>& blobs) {
  constexpr double kMostPerByte = 1 << 16;
  double bytes = 1 << 20, work = 0;
  for (const BlobRecord& blob : blobs) bytes += static_cast<double>(blob.size);
  for (const Record& record : records) {
    for (const OriginalTensor& tensor : record.tensors) {
      if (!tensor.derivation) continue;
      work += static_cast<double>(element_count(tensor.shape).value_or(0)) *
              static_cast<double>(tensor.derivation->rank + 1 + tensor.derivation->then.size());
    }
  }
  if (work <= kMostPerByte * bytes) return;
  fail(
      fmt::format("its {} take {:.0f} steps to compute, {:.0f} are the most over {:.0f} bytes "
                  "of blobs",
                  what, work, kMostPerByte * bytes, bytes));
}

// What tasks say of models and blobs.
template <typename HasModel>
void check_tasks(const std::vector<TaskRecord>& tasks, const std::vector<BlobRecord>& blobs,
                 const HasModel& has_model) {
  std::set<std::string_view> names;
  for (const TaskRecord& task : tasks) {
    if (!is_file_name(task.name) || !names.insert(task.name).second) fail_name(task.name, "task");
    for (const std::string& name : {task.base, task.model.empty() ? task.base : task.model}) {
      if (has_model(name)) continue;
      fail("task " + in_quotes(task.name) + " needs the model " + in_quotes(name) +
           ", which the bundle does not have");
    }
    BlobCheck(blobs).check(task);
  }
  check_work("tasks", tasks, blobs);
}

[[noreturn]] void fail_stray_pack(std::string_view name) {
  fail("there is a pack of " + in_quotes(name) + ", no such model");
}

[[noreturn]] void fail_two_packs(std::string_view name) {
  fail(in_quotes(name) + ": has two packs for one ONNX Runtime and CPU");
}

[[noreturn]] void fail_pack_source(std::string_view name) {
  fail(in_quotes(name) + ": has a pack with a source");
}

[[noreturn]] void fail_no_bundle(const std::filesystem::path& folder, const std::string& why) {
  throw Error(ErrorCode::kIo,
              in_quotes(folder.string()) + ": is no bundle: cannot read manifest.json" + why,
              "'wshare dedupe MODEL... -o BUNDLE' makes one");
}

}  // namespace

void check_manifest(const Manifest& manifest) {
  const BlobCheck blobs(manifest.blobs);
  std::set<std::string_view> models;
  std::set<std::array<std::string_view, 3>> packs;
  for (const ModelRecord& model : manifest.models) {
    if (!is_file_name(model.name) || !models.insert(model.name).second)
      fail_name(model.name, "model");
    blobs.check(model);
  }
  check_tasks(manifest.tasks, manifest.blobs,
              [&](const std::string& name) { return models.contains(name); });
  for (const PackRecord& pack : manifest.packs) {
    const std::string& name = pack.model.name;
    if (!models.contains(name)) fail_stray_pack(name);
    if (!packs.insert({name, pack.onnxruntime, pack.cpu}).second) fail_two_packs(name);
    check_pack(pack, manifest.blobs);
  }
  for (const ArchivedRecord& model : manifest.archived) {
    if (!is_file_name(model.name) || !models.insert(model.name).second ||
        find_task(manifest, model.name) != nullptr) {
      fail_name(model.name, "model");
    }
    blobs.check(model);
  }
  check_work("archived models", manifest.archived, manifest.blobs);
  for (const GapRecord& gap : manifest.gaps) blobs.check_extent(gap.extent);
}

void check_index(ManifestIndex& index) {
  for (size_t m = 0; m < index.models.size(); ++m) {
    if (!is_file_name(index.models.name(m))) fail_name(index.models.name(m), "model");
  }
  if (const auto twice = index.models.seal()) fail_name(*twice, "model");
  for (size_t m = 0; m < index.archived.size(); ++m) {
    const std::string_view name = index.archived.name(m);
    if (!is_file_name(name) || index.models.contains(name)) fail_name(name, "model");
  }
  if (const auto twice = index.archived.seal()) fail_name(*twice, "model");
  index.packs.seal();  // of one model there may be several
  for (size_t p = 0; p < index.packs.size(); ++p) {
    if (!index.models.contains(index.packs.name(p))) fail_stray_pack(index.packs.name(p));
  }
  check_tasks(index.tasks, *index.blobs,
              [&](const std::string& name) { return index.models.contains(name); });
}

void check_model(const ModelRecord& model, const std::vector<BlobRecord>& blobs) {
  BlobCheck(blobs).check(model);
}

void check_pack(const PackRecord& pack, const std::vector<BlobRecord>& blobs) {
  if (pack.model.source) fail_pack_source(pack.model.name);
  BlobCheck(blobs).check(pack);
}

MappedFile open_manifest(const std::shared_ptr<const Folder>& folder) {
  const std::optional<FileStamp> stamp = folder->look_up(kManifestName);
  if (!stamp) fail_no_bundle(folder->path(), "");
  if (!stamp->is_regular) fail_no_bundle(folder->path(), ": it is not a regular file");
  return MappedFile::open(folder, kManifestName);
}

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
  const MappedFile file = open_manifest(folder);
  return with_manifest_named(*folder, [&] { return parse_manifest(as_text(file.bytes())); });
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
  if (find_archived(manifest, name) != nullptr) fail_archived(name);
  std::vector<std::string> names;
  for (const ModelRecord& model : manifest.models) names.push_back(model.name);
  fail_no_model(name, names);
}

void fail_no_model(std::string_view name, const std::vector<std::string>& names) {
  throw Error(ErrorCode::kInvalid, in_quotes(name) + ": no such model in the bundle",
              hint_of_names(std::string(name), names));
}

void fail_archived(std::string_view name) {
  throw Error(ErrorCode::kInvalid, in_quotes(name) + ": is archived, so nothing can run it",
              "'wshare thaw BUNDLE " + std::string(name) + "' makes it a model again");
}

const ArchivedRecord* find_archived(const Manifest& manifest, std::string_view name) {
  for (const ArchivedRecord& model : manifest.archived) {
    if (model.name == name) return &model;
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

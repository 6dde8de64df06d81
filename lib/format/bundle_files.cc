#include "format/bundle_files.h"

#include <map>
#include <numeric>
#include <string_view>
#include <utility>

#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {

StoredFiles::StoredFiles(std::shared_ptr<const Folder> folder, const Manifest& manifest)
    : StoredFiles(std::move(folder),
                  std::make_shared<const std::vector<BlobRecord>>(manifest.blobs)) {}

StoredFiles::StoredFiles(std::shared_ptr<const Folder> folder,
                         std::shared_ptr<const std::vector<BlobRecord>> blobs)
    : folder_(std::move(folder)), records_(std::move(blobs)), blobs_(records_->size()) {}

StoredFiles::StoredFiles(const fs::path& folder, const Manifest& manifest)
    : StoredFiles(Folder::open(folder), manifest) {}

MappedFile StoredFiles::open(const std::string& name, uint64_t size) const {
  if (!has(name)) {
    throw Error(ErrorCode::kIo, in_quotes((folder_->path() / name).string()) + ": is missing",
                kDamageHint);
  }
  MappedFile file = MappedFile::open(folder_, name);
  if (file.bytes().size() == size) return file;
  throw Error(ErrorCode::kInvalid,
              in_quotes(file.path().string()) + ": has " + std::to_string(file.bytes().size()) +
                  " bytes, the manifest says " + std::to_string(size),
              kDamageHint);
}

const MappedFile& StoredFiles::blob(uint32_t blob) const {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<const MappedFile>& map = blobs_.at(blob);
  const BlobRecord& record = (*records_)[blob];
  if (map == nullptr) map = std::make_shared<const MappedFile>(open(record.file, record.size));
  return *map;
}

std::span<const std::byte> StoredFiles::bytes(const Extent& extent) const {
  return slice(blob(extent.blob).bytes(), extent);
}

MappedFile StoredFiles::model(const ModelRecord& model, unsigned threads) const {
  MappedFile file = open(model.file, model.size);
  check_model_file(model, file, threads);
  return file;
}

MappedFile StoredFiles::whole_blob(uint32_t blob, unsigned threads) const {
  const BlobRecord& record = records_->at(blob);
  MappedFile file = open(record.file, record.size);
  if (content_hash(file.bytes(), threads) == record.hash) return file;
  throw Error(
      ErrorCode::kInvalid,
      in_quotes(file.path().string()) + ": is damaged: its bytes are not the ones of the manifest",
      kDamageHint);
}

void StoredFiles::check_unchanged(std::span<const uint32_t> blobs) const {
  const std::lock_guard lock(mutex_);
  for (const uint32_t blob : blobs) {
    if (blobs_.at(blob) != nullptr) blobs_[blob]->check_unchanged();
  }
}

void StoredFiles::check_unchanged() const {
  std::vector<uint32_t> all(records_->size());
  std::iota(all.begin(), all.end(), 0U);
  check_unchanged(all);
}

void StoredFiles::share_maps(const StoredFiles& before) {
  std::map<std::string_view, std::shared_ptr<const MappedFile>> there;
  {
    const std::lock_guard lock(before.mutex_);
    for (size_t i = 0; i < before.blobs_.size(); ++i) {
      if (before.blobs_[i] != nullptr) there[before.records()[i].file] = before.blobs_[i];
    }
  }
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < blobs_.size(); ++i) {
    const auto found = there.find(records()[i].file);
    if (found != there.end() && found->second->bytes().size() == records()[i].size &&
        found->second->is_unchanged())
      blobs_[i] = found->second;
  }
}

void check_model_file(const ModelRecord& model, const MappedFile& file, unsigned threads) {
  if (file.bytes().size() == model.size && content_hash(file.bytes(), threads) == model.hash)
    return;
  throw Error(ErrorCode::kInvalid,
              in_quotes(file.path().string()) + ": is damaged: it is not the file of the manifest", kDamageHint);
}

}  // namespace wshare

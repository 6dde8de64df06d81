#include "bundle/write.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "bundle/originals.h"
#include "format/dtype.h"
#include "format/layout.h"
#include "model/externalize.h"
#include "util/output_folder.h"
#include "util/parallel.h"
#include "util/paths.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

// The folder names that keep originals apart on restore: none when all come from one folder.
std::vector<std::string> source_folders(const std::vector<ModelInput>& inputs) {
  std::map<fs::path, std::string> name_of;
  std::set<std::string> taken;
  std::vector<std::string> result;
  for (const ModelInput& input : inputs) {
    auto [at, is_new] = name_of.try_emplace(fs::absolute(input.path).parent_path());
    if (is_new) {
      const std::string last = fs::canonical(at->first).filename().string();
      const std::string stem = is_file_name(last) ? last : "folder";
      at->second = stem;
      for (int number = 2; !taken.insert(at->second).second; ++number) {
        at->second = stem + "_" + std::to_string(number);
      }
    }
    result.push_back(at->second);
  }
  if (name_of.size() == 1) result.assign(result.size(), "");
  return result;
}

// A name for the blob of restore records that no other file of the bundle has.
std::string restore_blob_name(const Plan& plan) {
  for (int number = 1;; ++number) {
    std::string name = number == 1 ? "restore.bin" : "restore_" + std::to_string(number) + ".bin";
    const auto same = [&](const PlanBlob& blob) { return blob.file == name; };
    if (std::none_of(plan.blobs.begin(), plan.blobs.end(), same)) return name;
  }
}

// Makes the files of one bundle, in a folder or, without one, only in the mind.
class Writer {
 public:
  Writer(const Draft& draft, std::optional<fs::path> folder, unsigned threads)
      : draft_(draft), folder_(std::move(folder)), threads_(threads) {}

  BundleFiles run() {
    const Plan& plan = draft_.plan;
    const size_t models = draft_.models.size();
    for (const PlanBlob& blob : plan.blobs) manifest_.blobs.push_back({blob.file, blob.size});
    manifest_.blobs.push_back({restore_blob_name(plan), 0});
    manifest_.models.resize(models);
    rest_ = find_external_rest(draft_.models, plan.extents);
    folders_ = source_folders(draft_.inputs);
    records_.resize(models);
    // The shared blob is the longest job and the first one, so it starts at once. After it models,
    // which are mostly thinking, alternate with blobs, which mostly wait for the folder's lock.
    std::vector<std::function<void()>> jobs;
    for (size_t i = 0; i < std::max(plan.blobs.size(), models); ++i) {
      if (i < plan.blobs.size()) jobs.emplace_back([this, i] { write_blob(draft_.plan.blobs[i]); });
      if (i < models) jobs.emplace_back([this, i] { write_model(i); });
    }
    try {
      parallel_for(jobs.size(), threads_, [&](size_t job) { jobs[job](); });
    } catch (const Error&) {
      check_inputs();  // an input that shrinks looks like a failed write: name the input instead
      throw;
    }
    write_restore_blob();
    check_inputs();
    const std::string text = to_json(manifest_, threads_);
    write_file(kManifestName, text);
    BundleFiles result{std::move(manifest_), text.size()};
    for (const BlobRecord& blob : result.manifest.blobs) result.bytes += blob.size;
    for (const ModelRecord& model : result.manifest.models) result.bytes += model.size;
    return result;
  }

 private:
  void write_file(const std::string& name, const std::string& bytes) const {
    if (!folder_) return;
    OutputFile file(*folder_ / name);
    file.write(bytes);
    file.close();
  }

  void write_blob(const PlanBlob& blob) const {
    if (!folder_) return;
    OutputFile file(*folder_ / blob.file, blob.size);
    for (const Placement& placement : blob.placements) {
      file.write_zeros(placement.offset - file.offset());
      file.write(draft_.contents.contents[placement.content].bytes);
    }
    file.close();
  }

  void write_model(size_t m) {
    const ScannedModel& model = draft_.models[m];
    const Places& places = draft_.plan.extents[m];
    const std::string bytes = externalize(model, [&](size_t t) -> std::optional<ExternalPlace> {
      const std::optional<Extent>& extent = places[t];
      if (!extent) return std::nullopt;
      return ExternalPlace{draft_.plan.blobs[extent->blob].file, extent->offset, extent->size};
    });
    const MappedFile& original = model.file.file();
    RestoreRecord restore = describe_original(model, places, rest_);
    ModelRecord& record = manifest_.models[m];
    record.name = draft_.inputs[m].name;
    record.file = draft_.plan.model_files[m];
    record.size = bytes.size();
    record.hash = content_hash(std::as_bytes(std::span(bytes)));
    record.source.folder = folders_[m];
    record.source.file = original.path().filename().string();
    record.source.size = original.bytes().size();
    record.source.graph_hash = content_hash(std::as_bytes(std::span(restore.literal)));
    for (size_t t = 0; t < model.tensors.size(); ++t) {
      if (!places[t]) continue;
      const TensorRef& tensor = model.tensors[t];
      const Content& content = draft_.contents.contents[draft_.planned[m].tensors[t].content];
      record.tensors.push_back({tensor.scope, tensor.name,
                                std::string(find_dtype(tensor.dtype)->name), tensor.shape,
                                *places[t], content.hash, tensor.folded});
    }
    records_[m] = pack_record(std::move(restore), bytes);
    write_file(record.file, bytes);
  }

  // Writes the blob that only restore reads: a compressed record per model, then the gaps.
  void write_restore_blob() {
    const auto blob = static_cast<uint32_t>(manifest_.blobs.size() - 1);
    BlobRecord& record = manifest_.blobs.back();
    std::optional<OutputFile> file;
    if (folder_) file.emplace(*folder_ / record.file);
    for (size_t m = 0; m < records_.size(); ++m) {
      SourceRecord& source = manifest_.models[m].source;
      source.record = {blob, record.size, records_[m].size()};
      source.record_hash = content_hash(std::as_bytes(std::span(records_[m])));
      if (file) file->write(records_[m]);
      record.size += records_[m].size();
    }
    for (const Bytes gap : rest_.gaps) {
      const uint64_t offset = align_up(record.size, kLineBytes);
      manifest_.gaps.push_back({{blob, offset, gap.size()}, content_hash(gap, threads_)});
      if (file) file->write_zeros(offset - record.size);
      if (file) file->write(gap);
      record.size = offset + gap.size();
    }
    if (file) file->close();
  }

  void check_inputs() const {
    for (const ScannedModel& model : draft_.models) {
      model.file.file().check_unchanged();
      for (const ExternalFile& external : model.external) external.file.check_unchanged();
    }
  }

  const Draft& draft_;
  std::optional<fs::path> folder_;
  unsigned threads_;
  ExternalRest rest_;
  std::vector<std::string> folders_;  // SourceRecord::folder of each model
  std::vector<std::string> records_;  // packed, of each model
  Manifest manifest_;
};

}  // namespace

BundleFiles write_bundle(const Draft& draft, const fs::path& folder, unsigned threads) {
  return Writer(draft, folder, thread_count(threads)).run();
}

BundleFiles measure_bundle(const Draft& draft, unsigned threads) {
  return Writer(draft, std::nullopt, thread_count(threads)).run();
}

}  // namespace wshare

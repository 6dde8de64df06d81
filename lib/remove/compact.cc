#include "remove/compact.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bundle/distinct.h"
#include "bundle/plan.h"
#include "bundle/start.h"
#include "format/layout.h"
#include "format/manifest_extents.h"
#include "model/externalize.h"
#include "model/model_file.h"
#include "remove/repack.h"
#include "util/mapped_file.h"
#include "util/output_folder.h"
#include "util/parallel.h"
#include "util/text.h"
#include "wshare/error.h"

// Problem: after appends and removals blobs hold bytes that nobody uses, and shared bytes lie in
// the blob of whoever came first. What is left should lie as dedupe would have laid it out.
//
// The originals are not needed for that. dedupe lays out blobs from the tensors of each model in
// order, and those stand in the manifest in the same order; so the same comparison and the same
// plan give the same blobs. Two tensors at one old extent have equal bytes and get one new extent,
// so "old extent -> new extent" is a function, and all that points into blobs follows it:
// references in .onnx files and extents of tasks. Restore records name tensors by number, which
// stay; they are unpacked with the old .onnx and packed with the new one. Adapters and residuals
// are files of their own and are copied.

namespace fs = std::filesystem;

namespace wshare {
namespace {

using Place = std::tuple<uint32_t, uint64_t, uint64_t>;

Place place_of(const Extent& extent) { return {extent.blob, extent.offset, extent.size}; }

[[noreturn]] void fail_damaged(const std::string& file, const std::string& what) {
  throw Error(ErrorCode::kInvalid, in_quotes(file) + ": is damaged: " + what,
              "'wshare verify' lists all damage");
}

class Compactor {
 public:
  Compactor(const Manifest& manifest, fs::path folder, std::optional<fs::path> output,
            const RemoveOptions& options)
      : old_(manifest),
        new_(manifest),
        folder_(std::move(folder)),
        output_(std::move(output)),
        options_(options),
        threads_(thread_count(options.threads)) {}

  uint64_t run() {
    for (const BlobRecord& blob : old_.blobs) blobs_.push_back(open_blob(blob, folder_));
    open_models();
    place_tensors();
    number_blobs();
    move_extents();
    unpack_records();
    for (const PlanBlob& blob : plan_.blobs) to_write_ += blob.size;
    parallel_for(plan_.blobs.size(), threads_, [&](size_t b) { write_blob(plan_.blobs[b]); });
    for (size_t b = 0; b < old_.blobs.size(); ++b) copy_whole(b);
    std::vector<std::string> models(old_.models.size());
    parallel_for(models.size(), threads_, [&](size_t m) { models[m] = write_model(m); });
    packed_.resize(originals_.size());
    parallel_for(originals_.size(), threads_, [&](size_t i) {
      packed_[i] = pack_record(std::move(originals_[i].record), models[originals_[i].model]);
    });
    write_restore_blob();
    for (const MappedFile& blob : blobs_) blob.check_unchanged();
    const std::string text = to_json(new_, threads_);
    write_file(kManifestName, std::as_bytes(std::span(text)));
    uint64_t bytes = text.size();
    for (const BlobRecord& blob : new_.blobs) bytes += blob.size;
    for (const ModelRecord& model : new_.models) bytes += model.size;
    return bytes;
  }

 private:
  // Compares all tensors and plans blobs for them.
  void place_tensors() {
    std::vector<Bytes> tensors;
    std::vector<PlanModel> models;
    uint64_t total = 0;
    for (const ModelRecord& model : old_.models) {
      PlanModel& planned = models.emplace_back(PlanModel{model.name, {}});
      for (const TensorRecord& tensor : model.tensors) {
        planned.tensors.push_back({tensor.extent.size, 0, std::nullopt});
        tensors.push_back(slice(blobs_[tensor.extent.blob].bytes(), tensor.extent));
        total += tensor.extent.size;
      }
    }
    std::atomic<uint64_t> done{0};
    contents_ = find_distinct(tensors, threads_, [&](uint64_t bytes) {
      if (options_.progress) options_.progress("comparing", done += bytes, total);
    });
    number_contents(models);
    std::vector<PlanContent> contents;
    for (const Content& content : contents_.contents)
      contents.push_back({content.bytes.size(), content.host});
    PlanStart start;
    for (const BlobRecord& blob : old_.blobs) {
      if (blob.hash) start.names.push_back(blob.file);  // files of tasks keep their names
    }
    plan_ = make_plan(models, contents, {}, start);
    for (size_t m = 0; m < models.size(); ++m) {
      for (size_t t = 0; t < models[m].tensors.size(); ++t)
        moved_[place_of(old_.models[m].tensors[t].extent)] = *plan_.extents[m][t];
    }
  }

  void number_contents(std::vector<PlanModel>& models) const {
    size_t next = 0;
    for (size_t m = 0; m < models.size(); ++m) {
      for (size_t t = 0; t < models[m].tensors.size(); ++t) {
        const uint32_t content = contents_.of_tensor[next++];
        models[m].tensors[t].content = content;
        const TensorRecord& tensor = old_.models[m].tensors[t];
        if (contents_.contents[content].hash != tensor.hash)
          fail_damaged(old_.blobs[tensor.extent.blob].file, "tensor " + in_quotes(tensor.name));
      }
    }
  }

  // Blobs of tensors first, then the files of tasks, last what restore needs.
  void number_blobs() {
    new_.blobs.clear();
    new_.gaps.clear();
    for (const PlanBlob& blob : plan_.blobs) new_.blobs.push_back({blob.file, blob.size});
    new_number_.resize(old_.blobs.size());
    for (size_t b = 0; b < old_.blobs.size(); ++b) {
      if (!old_.blobs[b].hash) continue;
      new_number_[b] = static_cast<uint32_t>(new_.blobs.size());
      new_.blobs.push_back(old_.blobs[b]);
    }
    new_.blobs.push_back({plan_.restore_file, 0});
    for (TaskRecord& task : new_.tasks) {
      if (task.adapter) task.adapter = new_number_[*task.adapter];
    }
  }

  // Records of originals are no tensors: write_restore_blob() places them.
  void move_extents() {
    std::vector<const Extent*> records;
    for (const ModelRecord& model : new_.models) {
      if (model.source) records.push_back(&model.source->record);
    }
    for (const TaskRecord& task : new_.tasks) {
      if (task.source) records.push_back(&task.source->record);
    }
    std::sort(records.begin(), records.end());
    visit_extents(new_, [&](Extent& extent) {
      if (std::binary_search(records.begin(), records.end(), &extent)) return;
      if (new_number_[extent.blob]) {
        extent.blob = *new_number_[extent.blob];
        return;
      }
      extent = moved(extent);
    });
  }

  Extent moved(const Extent& extent) const {
    const auto at = moved_.find(place_of(extent));
    if (at != moved_.end()) return at->second;
    fail_damaged(kManifestName, std::to_string(extent.size) + " bytes at " +
                                    std::to_string(extent.offset) + " of " +
                                    in_quotes(old_.blobs[extent.blob].file) +
                                    " belong to no tensor of a model");
  }

  void open_models() {
    std::vector<std::optional<ModelFile>> files(old_.models.size());
    parallel_for(files.size(), threads_, [&](size_t m) {
      const ModelRecord& model = old_.models[m];
      files[m].emplace(ModelFile::load(folder_ / model.file));
      if (content_hash(files[m]->file().bytes()) != model.hash)
        fail_damaged(model.file, "it does not have the manifest's hash");
    });
    for (std::optional<ModelFile>& file : files) models_.push_back(std::move(*file));
  }

  void unpack_records() {
    originals_ = unpack_originals(
        new_, models_, [&](const Extent& at) { return slice(blobs_[at.blob].bytes(), at); });
    for (const uint64_t number : number_gaps(originals_)) {
      if (number >= old_.gaps.size()) fail_damaged(kManifestName, "a gap is missing");
      const GapRecord& gap = old_.gaps[static_cast<size_t>(number)];
      gaps_.push_back(slice(blobs_[gap.extent.blob].bytes(), gap.extent));
      if (content_hash(gaps_.back(), threads_) != gap.hash)
        fail_damaged(old_.blobs[gap.extent.blob].file, "gap " + std::to_string(number));
    }
  }

  void write_file(const std::string& name, Bytes bytes) const {
    if (!output_) return;
    OutputFile file(*output_ / name, bytes.size());
    file.write(bytes);
    file.close();
  }

  void write_blob(const PlanBlob& blob) const {
    if (!output_) return;
    OutputFile file(*output_ / blob.file, blob.size);
    for (const Placement& placement : blob.placements) {
      file.write_zeros(placement.offset - file.offset());
      const Bytes bytes = contents_.contents[placement.content].bytes;
      file.write(bytes);
      if (options_.progress) options_.progress("writing", written_ += bytes.size(), to_write_);
    }
    file.close();
  }

  void copy_whole(size_t blob) const {
    const BlobRecord& record = old_.blobs[blob];
    if (!record.hash) return;
    if (content_hash(blobs_[blob].bytes(), threads_) != *record.hash)
      fail_damaged(record.file, "it does not have the manifest's hash");
    write_file(record.file, blobs_[blob].bytes());
  }

  // Returns the bytes of the new file.
  std::string write_model(size_t m) {
    const ModelRecord& before = old_.models[m];
    std::map<std::string, uint32_t> blob_called;
    for (const TensorRecord& tensor : before.tensors)
      blob_called[old_.blobs[tensor.extent.blob].file] = tensor.extent.blob;
    std::string bytes = relocate(models_[m], [&](const ExternalPlace& place) -> ExternalPlace {
      const auto blob = blob_called.find(place.file);
      if (blob == blob_called.end())
        fail_damaged(before.file, "it refers to " + in_quotes(place.file));
      const Extent extent = moved({blob->second, place.offset, place.size});
      return {plan_.blobs[extent.blob].file, extent.offset, extent.size};
    });
    ModelRecord& record = new_.models[m];
    record.file = plan_.model_files[m];
    record.size = bytes.size();
    record.hash = content_hash(std::as_bytes(std::span(bytes)));
    write_file(record.file, std::as_bytes(std::span(bytes)));
    return bytes;
  }

  void write_restore_blob() {
    const auto blob = static_cast<uint32_t>(new_.blobs.size() - 1);
    std::string bytes;
    for (size_t i = 0; i < originals_.size(); ++i) {
      SourceRecord& source = *originals_[i].source;
      source.record = {blob, bytes.size(), packed_[i].size()};
      source.record_hash = content_hash(std::as_bytes(std::span(packed_[i])));
      bytes += packed_[i];
    }
    BlobRecord& record = new_.blobs.back();
    record.size = bytes.size();
    std::optional<OutputFile> file;
    if (output_) file.emplace(*output_ / record.file);
    if (file) file->write(bytes);
    for (const Bytes gap : gaps_) {
      const uint64_t offset = align_up(record.size, kLineBytes);
      new_.gaps.push_back({{blob, offset, gap.size()}, content_hash(gap, threads_)});
      if (file) file->write_zeros(offset - record.size);
      if (file) file->write(gap);
      record.size = offset + gap.size();
    }
    if (file) file->close();
  }

  const Manifest& old_;
  Manifest new_;
  fs::path folder_;
  std::optional<fs::path> output_;
  const RemoveOptions& options_;
  unsigned threads_;
  uint64_t to_write_ = 0;  // in blobs of tensors
  mutable std::atomic<uint64_t> written_{0};
  std::vector<MappedFile> blobs_;  // of old_
  std::vector<ModelFile> models_;
  Contents contents_;
  Plan plan_;
  std::map<Place, Extent> moved_;                    // old extent -> new extent
  std::vector<std::optional<uint32_t>> new_number_;  // of blobs that are copied
  std::vector<OriginalRecord> originals_;
  std::vector<std::string> packed_;  // their records
  std::vector<Bytes> gaps_;          // new
};

}  // namespace

uint64_t compact_bundle(const Manifest& manifest, const fs::path& folder,
                        const std::optional<fs::path>& output, const RemoveOptions& options) {
  return Compactor(manifest, folder, output, options).run();
}

}  // namespace wshare

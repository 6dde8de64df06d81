#include "remove/compact.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "bundle/blob_files.h"
#include "bundle/bundle_output.h"
#include "bundle/edit.h"
#include "bundle/plan.h"
#include "format/archived_graph.h"
#include "format/bundle_files.h"
#include "format/manifest/extents.h"
#include "format/manifest/text.h"
#include "model/externalize.h"
#include "model/model_file.h"
#include "remove/relocation.h"
#include "remove/repack.h"
#include "util/as_text.h"
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
// references in .onnx files and extents of tasks and packs. Restore records name tensors by number,
// which stay; they are unpacked with the old .onnx and packed with the new one, one by one.
// Adapters, residuals and archives are files of their own and are copied. What archived models have
// in blobs of tensors, or are computed from there, is laid out as if models had it.

namespace fs = std::filesystem;

namespace wshare {
namespace {

class Compactor {
 public:
  Compactor(const Manifest& manifest, const fs::path& folder, const std::optional<fs::path>& output,
            const RemoveOptions& options)
      : old_(manifest),
        new_(manifest),
        files_(folder, manifest),
        output_(output),
        options_(options),
        threads_(thread_count(options.threads)) {}

  uint64_t run() {
    for (size_t b = 0; b < old_.blobs.size(); ++b)
      blob_called_[old_.blobs[b].file] = static_cast<uint32_t>(b);
    open_models();
    relocation_ = plan_relocation(old_, files_, threads_, options_.progress);
    number_blobs();
    move_extents();
    find_gaps();
    const TensorBlobs blobs(relocation_.plan, relocation_.contents, output_, options_.progress);
    parallel_for(relocation_.plan.blobs.size(), threads_, [&](size_t b) { blobs.write(b); });
    write_pack_blob();
    for (size_t b = 0; b < old_.blobs.size(); ++b) copy_whole(b);
    std::vector<std::string> models(old_.models.size());
    parallel_for(models.size(), threads_, [&](size_t m) {
      ModelRecord& record = new_.models[m];
      record.file = relocation_.plan.model_files[m];
      models[m] = write_model(models_[m], record);
    });
    for (size_t p = 0; p < old_.packs.size(); ++p) write_pack(p);
    packed_.resize(originals_.size());
    parallel_for(originals_.size(), threads_,
                 [&](size_t i) { packed_[i] = pack_again(originals_[i], models); });
    write_restore_blob();
    files_.check_unchanged();
    const std::string text = to_checked_json(new_, threads_);
    output_.write(kManifestName, std::as_bytes(std::span(text)));
    output_.finish();
    return bundle_bytes(new_, text.size());
  }

 private:
  // Blobs of tensors first, then the files of tasks, last what restore needs.
  void number_blobs() {
    new_.blobs.clear();
    new_.gaps.clear();
    new_.retired.clear();  // in a folder of its own no name was ever used
    for (const PlanBlob& blob : relocation_.plan.blobs)
      new_.blobs.push_back({blob.file, blob.size});
    std::vector<std::string> taken = file_names_of(relocation_.plan);
    for (const BlobRecord& blob : old_.blobs) {
      if (blob.hash) taken.push_back(blob.file);
    }
    UnusedNames names(taken);
    if (!relocation_.packs.pieces.empty())
      new_.blobs.push_back({names.make("packed", ".bin"), relocation_.packs.size});
    for (PackRecord& pack : new_.packs)
      pack.model.file = names.make(pack.model.name, ".packed.onnx");
    new_number_.resize(old_.blobs.size());
    for (size_t b = 0; b < old_.blobs.size(); ++b) {
      if (!old_.blobs[b].hash) continue;
      new_number_[b] = static_cast<uint32_t>(new_.blobs.size());
      new_.blobs.push_back(old_.blobs[b]);
    }
    new_.blobs.push_back({relocation_.plan.restore_file, 0});
    for (TaskRecord& task : new_.tasks) {
      if (task.adapter) task.adapter = new_number_[*task.adapter];
    }
    for (ModelRecord& model : new_.models) {
      for (uint32_t& blob : model.files) blob = *new_number_[blob];
    }
    for (ArchivedRecord& model : new_.archived) {
      for (uint32_t& blob : model.files) blob = *new_number_[blob];
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
    for (const ArchivedRecord& model : new_.archived) records.push_back(&model.source->record);
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
    const auto at = relocation_.moved.find(key_of(extent));
    if (at != relocation_.moved.end()) return at->second;
    fail_damaged(kManifestName, std::to_string(extent.size) + " bytes at " +
                                    std::to_string(extent.offset) + " of " +
                                    in_quotes(old_.blobs[extent.blob].file) +
                                    " belong to no tensor of a model");
  }

  void open_models() {
    std::vector<std::optional<ModelFile>> files(old_.models.size());
    parallel_for(files.size(), threads_, [&](size_t m) {
      const ModelRecord& model = old_.models[m];
      files[m].emplace(ModelFile::load(files_.model(model)));
    });
    for (std::optional<ModelFile>& file : files) models_.push_back(std::move(*file));
  }

  RestoreRecord unpack(const PackedOriginal& original) const {
    const std::span<const std::byte> packed = files_.bytes(original.source->record);
    if (original.model < models_.size())
      return unpack_original(original, packed, as_text(models_[original.model].file().bytes()));
    return unpack_original(original, packed, graph_of(original));
  }

  // Of an archived model; it stays as it is.
  std::string graph_of(const PackedOriginal& original) const {
    return unpack_graph(old_.archived[original.model - models_.size()], files_);
  }

  // Numbers the gaps anew, in the order in which records name them. Records are unpacked one by
  // one, and once more when they are packed again, so that there is never more than one for each
  // thread.
  void find_gaps() {
    originals_ = packed_originals(new_);
    for (const PackedOriginal& original : originals_) {
      RestoreRecord record = unpack(original);
      std::set<uint32_t> blobs;  // that hold gaps of it which are tensors, too
      visit_gaps(record, [&](const ExternalPiece& piece) {
        const auto [at, is_new] = new_gap_.try_emplace(piece.value, gaps_.size());
        if (is_new) add_gap(piece.value);
        const std::optional<Extent>& place = gaps_[at->second].stored;
        if (place) blobs.insert(place->blob);
      });
      original.source->blobs.assign(blobs.begin(), blobs.end());
    }
  }

  void add_gap(uint64_t number) {
    if (number >= old_.gaps.size()) fail_damaged(kManifestName, "a gap is missing");
    const GapRecord& gap = old_.gaps[static_cast<size_t>(number)];
    gaps_.push_back({files_.bytes(gap.extent), gap.hash, stored(gap.extent)});
    if (content_hash(gaps_.back().bytes, threads_) != gap.hash)
      fail_damaged(old_.blobs[gap.extent.blob].file, "gap " + std::to_string(number));
  }

  // Returns the record of `original` against its new file, one of `models`.
  std::string pack_again(const PackedOriginal& original,
                         const std::vector<std::string>& models) const {
    RestoreRecord record = unpack(original);
    visit_gaps(record, [&](ExternalPiece& piece) { piece.value = new_gap_.at(piece.value); });
    if (original.model < models.size())
      return pack_record(std::move(record), models[original.model]);
    return pack_record(std::move(record), graph_of(original));
  }

  // Where a gap lies that is a tensor too, or a whole file; others move to the new restore blob.
  std::optional<Extent> stored(const Extent& gap) const {
    if (new_number_[gap.blob]) return Extent{*new_number_[gap.blob], gap.offset, gap.size};
    const auto at = relocation_.moved.find(key_of(gap));
    if (at == relocation_.moved.end()) return std::nullopt;
    return at->second;
  }

  void write_pack_blob() const {
    if (relocation_.packs.pieces.empty()) return;
    std::optional<OutputFile> file =
        output_.create(new_.blobs[relocation_.plan.blobs.size()].file, relocation_.packs.size);
    if (!file) return;
    for (const auto& [range, offset] : relocation_.packs.pieces) {
      file->write_zeros(offset - file->offset());
      file->write(files_.bytes(range));
    }
    output_.take(std::move(file));
  }

  void write_pack(size_t p) {
    const ModelRecord& before = old_.packs[p].model;
    const ModelFile file = ModelFile::load(files_.model(before, threads_));
    write_model(file, new_.packs[p].model);
    new_.packs[p].made_of = find_model(new_, before.name).hash;
  }

  void copy_whole(size_t blob) const {
    const BlobRecord& record = old_.blobs[blob];
    if (!record.hash) return;
    output_.write(record.file, files_.whole_blob(static_cast<uint32_t>(blob), threads_).bytes());
  }

  // Writes `before` as record.file, with its references moved, and returns its bytes.
  std::string write_model(const ModelFile& before, ModelRecord& record) {
    std::string bytes = relocate(before, [&](const ExternalReference& place) -> ExternalReference {
      const auto blob = blob_called_.find(place.file);
      if (blob == blob_called_.end())
        fail_damaged(before.file().path().filename().string(),
                     "it refers to " + in_quotes(place.file));
      const Extent extent = moved({blob->second, place.offset, place.size});
      return {new_.blobs[extent.blob].file, extent.offset, extent.size};
    });
    record.size = bytes.size();
    record.hash = content_hash(std::as_bytes(std::span(bytes)));
    output_.write(record.file, std::as_bytes(std::span(bytes)));
    return bytes;
  }

  void write_restore_blob() {
    RestoreBlob blob(new_, output_);
    for (size_t i = 0; i < originals_.size(); ++i)
      blob.add_record(packed_[i], *originals_[i].source);
    for (const ExternalGap& gap : gaps_) blob.add_gap(gap);
    blob.close();
    // Records name gaps by number: these come last.
    new_.gaps.insert(new_.gaps.end(), relocation_.bases.begin(), relocation_.bases.end());
  }

  const Manifest& old_;
  Manifest new_;
  const StoredFiles files_;
  BundleOutput output_;
  const RemoveOptions& options_;
  unsigned threads_;
  std::vector<ModelFile> models_;
  Relocation relocation_;
  std::map<std::string, uint32_t> blob_called_;      // old ones
  std::vector<std::optional<uint32_t>> new_number_;  // of blobs that are copied
  std::vector<PackedOriginal> originals_;
  std::map<uint64_t, size_t> new_gap_;  // by old number
  std::vector<std::string> packed_;     // their records
  std::vector<ExternalGap> gaps_;       // new
};

}  // namespace

uint64_t compact_bundle(const Manifest& manifest, const fs::path& folder,
                        const std::optional<fs::path>& output, const RemoveOptions& options) {
  return Compactor(manifest, folder, output, options).run();
}

}  // namespace wshare

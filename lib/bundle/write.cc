#include "bundle/write.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <optional>
#include <set>
#include <utility>

#include "bundle/blob_files.h"
#include "bundle/bundle_output.h"
#include "bundle/edit.h"
#include "bundle/model_record.h"
#include "bundle/originals.h"
#include "bundle/side_files.h"
#include "bundle/source_folders.h"
#include "bundle/task_record.h"
#include "format/manifest/text.h"
#include "util/parallel.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

void add_place(const ExternalFile& external, SourceFiles& source) {
  source.external.push_back(external.place);
  const fs::path location = fs::path(external.location).lexically_normal();
  source.names_folder = source.names_folder || *location.begin() == "..";
}

// A model that restore gives back.
struct Source {
  StoredOriginal original;
  fs::path path;
  SourceRecord record = {};
  std::string packed = {};  // restore record
};

// Makes the files of one bundle, in a folder or, without one, only in the mind.
class Writer {
 public:
  Writer(const Draft& draft, const std::optional<fs::path>& folder, unsigned threads,
         const ProgressFn& progress = {})
      : draft_(draft),
        output_(folder),
        threads_(threads),
        blobs_(draft.plan, draft.contents, output_, progress) {}

  BundleFiles run() {
    const Plan& plan = draft_.plan;
    const size_t models = draft_.models.size();
    if (draft_.start) manifest_ = draft_.start->manifest;
    name_blobs();
    models_.resize(models);
    tasks_.resize(draft_.tasks.size());
    model_files_.resize(models);
    if (draft_.first_new() > 0) model_files_[0] = *draft_.start->base_file;
    list_sources();
    // The shared blob is the longest job and the first one, so it starts at once. After it models,
    // which are mostly thinking, alternate with blobs, which mostly wait for the folder's lock.
    std::vector<std::function<void()>> jobs;
    for (size_t i = 0; i < std::max(plan.blobs.size(), models); ++i) {
      if (i < plan.blobs.size()) jobs.emplace_back([this, i] { blobs_.write(i); });
      if (i < models && i >= draft_.first_new()) jobs.emplace_back([this, i] { write_model(i); });
    }
    for (size_t f = 0; f < draft_.side_files.size(); ++f)
      jobs.emplace_back([this, f] { write_side_file(f); });
    try {
      parallel_for(jobs.size(), threads_, [&](size_t job) { jobs[job](); });
      for (size_t t = 0; t < draft_.tasks.size(); ++t) write_task(t);
    } catch (const Error&) {
      check_inputs();  // an input that shrinks looks like a failed write: name the input instead
      throw;
    }
    write_restore_blob();
    check_inputs();
    const auto first = models_.begin() + static_cast<std::ptrdiff_t>(draft_.first_new());
    std::move(first, models_.end(), std::back_inserter(manifest_.models));
    std::move(tasks_.begin(), tasks_.end(), std::back_inserter(manifest_.tasks));
    // Of a bundle like another one, take_over_blobs() makes the manifest whole.
    const bool is_whole = !draft_.start || !draft_.start->like;
    const std::string text = is_whole ? to_checked_json(manifest_, threads_) : "";
    if (!draft_.start) output_.write(kManifestName, std::as_bytes(std::span(text)));
    output_.finish();
    const uint64_t bytes = bundle_bytes(manifest_, text.size());
    return {std::move(manifest_), bytes};
  }

 private:
  // Blobs of tensors first, then the files of tasks, last what restore needs; all after those that
  // are there.
  void name_blobs() {
    std::vector<BlobRecord>& blobs = manifest_.blobs;
    for (const PlanBlob& blob : draft_.plan.blobs) blobs.push_back({blob.file, blob.size});
    for (size_t t = 0; t < draft_.tasks.size(); ++t) {
      const DraftTask& task = draft_.tasks[t];
      TaskBlobs& of_task = task_blobs_.emplace_back();
      if (!task.adapter.empty()) {
        of_task.adapter = static_cast<uint32_t>(blobs.size());
        blobs.push_back({draft_.plan.adapter_files[t], task.adapter.size()});
      }
      if (!task.residual.empty()) {
        of_task.residual = static_cast<uint32_t>(blobs.size());
        blobs.push_back({draft_.plan.residual_files[t], 0});
      }
    }
    for (const SideFile& file : draft_.side_files) {
      side_blobs_.push_back(file.stored.value_or(static_cast<uint32_t>(blobs.size())));
      if (!file.stored)
        blobs.push_back({file.name, file.bytes.size(), content_hash(file.bytes, threads_)});
    }
    blobs.push_back({draft_.plan.restore_file, 0});
  }

  // The files that nodes of `model` name, in the order in which the model has them.
  std::vector<Extent> side_files_of(const ScannedModel& model) const {
    std::vector<Extent> extents;
    for (const ExternalFile& external : model.external) {
      if (!external.named_by_node) continue;
      const uint32_t blob = side_blobs_[side_file_called(draft_, external.place.string())];
      extents.push_back({blob, 0, external.file.bytes().size()});
    }
    return extents;
  }

  void write_side_file(size_t f) const {
    const SideFile& side = draft_.side_files[f];
    if (!side.stored) output_.write(side.name, side.bytes);
  }

  // The originals: models as they came, then those of tasks that need another record.
  void list_sources() {
    source_of_model_.resize(draft_.models.size());
    for (size_t m = draft_.first_new(); m < draft_.models.size(); ++m) {
      const auto edit = draft_.edits.find(m);
      if (edit != draft_.edits.end() && !edit->second.is_original) continue;
      source_of_model_[m] = sources_.size();
      sources_.push_back({{&draft_.models[m], draft_.plan.extents[m]}, draft_.inputs[m].path});
    }
    source_of_task_.resize(draft_.tasks.size());
    for (size_t t = 0; t < draft_.tasks.size(); ++t) {
      const DraftTask& task = draft_.tasks[t];
      if (task.tensors.empty()) continue;
      source_of_task_[t] = sources_.size();
      sources_.push_back({{&original_of(draft_, task), extents_of(draft_, task, task_blobs_[t])},
                          task.input.path});
    }
    std::vector<SourceFiles> files;
    for (const Source& source : sources_) {
      SourceFiles& of_source = files.emplace_back(SourceFiles{source.path, {}});
      for (const ExternalFile& external : source.original.model->external)
        add_place(external, of_source);
    }
    const std::vector<std::string> folders =
        source_folders(files, draft_.start ? draft_.start->restored : RestoredPaths());
    std::vector<StoredOriginal> originals;
    for (size_t s = 0; s < sources_.size(); ++s) {
      sources_[s].original.folder = sources_[s].record.folder = folders[s];
      sources_[s].original.side_files = side_files_of(*sources_[s].original.model);
      originals.push_back(sources_[s].original);
    }
    first_gap_ = manifest_.gaps.size();
    rest_ = find_external_rest(originals, first_gap_, threads_);
  }

  void write_model(size_t m) {
    std::string bytes = make_model_file(draft_, m, manifest_.blobs);
    models_[m] = make_model_record(draft_, m, bytes);
    std::set<uint32_t> files;
    for (const Extent& whole : side_files_of(draft_.models[m])) files.insert(whole.blob);
    models_[m].files.assign(files.begin(), files.end());
    if (source_of_model_[m]) describe(sources_[*source_of_model_[m]], bytes);
    output_.write(models_[m].file, std::as_bytes(std::span(bytes)));
    if (!draft_.tasks.empty()) model_files_[m] = std::move(bytes);
  }

  // Fills in all of `source` but where its record will lie.
  void describe(Source& source, const std::string& model_file) const {
    const MappedFile& file = source.original.model->file.file();
    RestoreRecord restore = describe_original(source.original, rest_);
    source.record.file = file.path().filename().string();
    source.record.size = file.bytes().size();
    source.record.graph_hash = content_hash(std::as_bytes(std::span(restore.literal)));
    source.packed = pack_record(std::move(restore), model_file);
  }

  void write_task(size_t t) {
    const DraftTask& task = draft_.tasks[t];
    const TaskBlobs& blobs = task_blobs_[t];
    if (blobs.adapter) write_whole(manifest_.blobs[*blobs.adapter], {&task.adapter, 1});
    if (blobs.residual) write_whole(manifest_.blobs[*blobs.residual], task.residual);
    tasks_[t] = make_task_record(draft_, task, blobs, threads_);
    if (!source_of_task_[t]) return;
    describe(sources_[*source_of_task_[t]], model_files_[task.model ? *task.model : task.base]);
  }

  void write_whole(BlobRecord& record, std::span<const Bytes> pieces) const {
    std::optional<OutputFile> file = output_.create(record.file);
    ContentHasher hasher;
    record.size = 0;
    for (const Bytes piece : pieces) {
      hasher.update(piece);
      record.size += piece.size();
      if (file) file->write(piece);
    }
    record.hash = hasher.digest();
    output_.take(std::move(file));
  }

  // Blobs of tensors in which gaps of `source` lie.
  std::vector<uint32_t> other_blobs(const Source& source) const {
    std::set<uint32_t> blobs;
    for (const size_t gap : gaps_of(source.original, rest_)) {
      const std::optional<Extent>& stored = rest_.gaps[gap - first_gap_].stored;
      if (stored) blobs.insert(stored->blob);
    }
    return {blobs.begin(), blobs.end()};
  }

  // Writes the blob that only restore reads: a compressed record per original, then the gaps.
  void write_restore_blob() {
    RestoreBlob blob(manifest_, output_);
    for (Source& source : sources_) {
      source.record.blobs = other_blobs(source);
      blob.add_record(source.packed, source.record);
    }
    for (const ExternalGap& gap : rest_.gaps) blob.add_gap(gap);
    blob.close();
    for (size_t m = 0; m < source_of_model_.size(); ++m) {
      if (source_of_model_[m]) models_[m].source = sources_[*source_of_model_[m]].record;
    }
    for (size_t t = 0; t < source_of_task_.size(); ++t) {
      if (source_of_task_[t]) tasks_[t].source = sources_[*source_of_task_[t]].record;
    }
  }

  void check_inputs() const {
    const auto check = [](const ScannedModel& model) {
      model.file.file().check_unchanged();
      for (const ExternalFile& external : model.external) external.file.check_unchanged();
    };
    for (const ScannedModel& model : draft_.models) check(model);
    for (const DraftTask& task : draft_.tasks) check(original_of(draft_, task));
  }

  const Draft& draft_;
  BundleOutput output_;
  unsigned threads_;
  TensorBlobs blobs_;
  size_t first_gap_ = 0;  // what is left over in external files gets numbers from here on
  ExternalRest rest_;
  std::vector<Source> sources_;
  std::vector<std::optional<size_t>> source_of_model_, source_of_task_;  // in sources_
  std::vector<TaskBlobs> task_blobs_;
  std::vector<uint32_t> side_blobs_;      // of draft_.side_files
  std::vector<std::string> model_files_;  // what records of tasks are compressed against
  std::vector<ModelRecord> models_;       // new ones
  std::vector<TaskRecord> tasks_;
  Manifest manifest_;
};

}  // namespace

BundleFiles write_bundle(const Draft& draft, const fs::path& folder, unsigned threads,
                         const ProgressFn& progress) {
  return Writer(draft, folder, thread_count(threads), progress).run();
}

BundleFiles measure_bundle(const Draft& draft, unsigned threads) {
  return Writer(draft, std::nullopt, thread_count(threads)).run();
}

}  // namespace wshare

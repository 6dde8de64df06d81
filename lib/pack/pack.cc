#include "wshare/pack.h"

#include <onnx/onnx_pb.h>
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "bundle/drop_unneeded.h"
#include "bundle/edit.h"
#include "bundle/plan.h"
#include "bundle/replace_model.h"
#include "format/bundle_files.h"
#include "format/manifest/text.h"
#include "model/externalize.h"
#include "pack/contents.h"
#include "pack/figures.h"
#include "pack/optimise.h"
#include "pack/packed_tensors.h"
#include "pack/trial.h"
#include "run/inputs.h"
#include "runtime/cpu_features.h"
#include "runtime/ort_errors.h"
#include "util/parallel.h"
#include "util/system_errors.h"
#include "util/temporary_folder.h"
#include "util/text.h"
#include "wshare/error.h"

// one model after the other: ONNX Runtime writes it, optimised and packed, into a temporary folder
//   ─ tried against a plain session ─ what the bundle has not yet goes into the blob of packs
//   ─ its graph, with references into the bundle, becomes <model>.packed.onnx
// then the manifest
//
// One blob for all models, not one for each and a shared one: ONNX Runtime looks for packed weights
// in the file of the weight, so all that belongs to one weight must lie together, and to know who
// shares what before anything is written would take the disk space of all models at once. The
// weights of a model lie before what kernels made of them: only the latter is read again once a
// session is made.

namespace fs = std::filesystem;

namespace wshare {
namespace {

// The size of the tensors that `model` has in blobs.
uint64_t tensor_bytes(const ModelRecord& model) {
  uint64_t bytes = 0;
  for (const TensorRecord& tensor : model.tensors) bytes += tensor.extent.size;
  return bytes;
}

class Packer {
 public:
  Packer(fs::path folder, Manifest manifest, const PackOptions& options)
      : folder_(std::move(folder)),
        before_(manifest),
        manifest_(std::move(manifest)),
        options_(options),
        inputs_{options.inputs, options.shapes, 8, options.values},
        threads_(thread_count(options.threads)) {
    report_.onnxruntime = OrtGetApiBase()->GetVersionString();
    report_.cpu = cpu_features();
    choose_models();
    check_inputs();
    std::erase_if(manifest_.packs, [&](const PackRecord& pack) {
      return (chosen_.contains(pack.model.name) && is_for_here(pack)) ||
             pack.made_of != find_model(manifest_, pack.model.name).hash;
    });
    drop_unneeded(before_, manifest_);
    figures_.emplace(manifest_);
    name_files(before_);
  }

  // Makes the packs and their files; none without `edit`.
  void run(BundleEdit* edit) {
    edit_ = edit;
    PackContents contents(manifest_, folder_,
                          edit ? std::optional(edit->staging() / blob_name_) : std::nullopt,
                          // where ONNX Runtime looks for it, also while it grows
                          [&] { edit->place(blob_name_); });
    const TemporaryFolder temporary;
    uint64_t done = 0, total = 0;
    for (const ModelRecord& model : manifest_.models) {
      if (chosen_.contains(model.name)) total += tensor_bytes(model);
    }
    for (const ModelRecord& model : manifest_.models) {
      if (!chosen_.contains(model.name)) continue;
      if (options_.progress) options_.progress("packing", done, total);
      pack_model(model, temporary.path, contents);
      done += tensor_bytes(model);
    }
    contents.close();
    finish(contents.size());
  }

  const Manifest& manifest() const { return manifest_; }
  PackReport& report() { return report_; }

 private:
  void choose_models() {
    for (const std::string& name : options_.models) find_model(manifest_, name);
    chosen_.insert(options_.models.begin(), options_.models.end());
    if (!chosen_.empty()) return;
    for (const ModelRecord& model : manifest_.models) chosen_.insert(model.name);
  }

  bool is_for_here(const PackRecord& pack) const {
    return pack.onnxruntime == report_.onnxruntime && pack.cpu == report_.cpu;
  }

  // Before anything takes time.
  void check_inputs() const {
    if (inputs_.shapes.empty() && inputs_.values.empty()) return;
    std::vector<KnownInputs> known;
    for (const ModelRecord& model : manifest_.models) {
      if (!chosen_.contains(model.name)) continue;
      KnownInputs& inputs = known.emplace_back(KnownInputs{{model.name}, {}});
      Skeleton skeleton = ModelFile::load(folder_ / model.file).skeleton();
      for (const onnx::ValueInfoProto& input : skeleton.model().graph().input())
        inputs.inputs.push_back(input.name());
    }
    check_used(inputs_, known);
  }

  // No file gets a name that one has now, also if that goes: its readers may have it open.
  void name_files(const Manifest& before) {
    UnusedNames names(taken_names(folder_, before));
    blob_name_ = names.make("packed", ".bin");
    for (const ModelRecord& model : manifest_.models) {
      if (chosen_.contains(model.name))
        file_names_[model.name] = names.make(model.name + ".packed", ".onnx");
    }
  }

  void pack_model(const ModelRecord& model, const fs::path& temporary, PackContents& contents) {
    PackedModel& row = report_.models.emplace_back();
    row.model = model.name;
    const fs::path path = folder_ / model.file;
    check_model_file(model, MappedFile::open(path), threads_);
    try {
      const OptimisedModel optimised = optimise(
          {model.name, path, temporary, options_.optimization, threads_}, options_.program);
      std::vector<PackedTensor> tensors = find_tensors(optimised, model, manifest_, threads_);
      place_contents(tensors, contents);
      add_record(model, optimised, tensors, row);
      if (edit_) try_out(path, manifest_.packs.back(), row);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kRuntime && error.code() != ErrorCode::kUnsupported) throw;
      row.why_not = error.what();
    }
    if (row.why_not.empty()) return;
    failed_.insert(row.model);
    PackedModel left_out;
    left_out.model = row.model;
    left_out.why_not = row.why_not;
    row = std::move(left_out);
  }

  // Compares the outputs of the pack with those of a plain session.
  void try_out(const fs::path& path, const PackRecord& pack, PackedModel& row) const {
    const PackBytes bytes{distinct_bytes(pack.buffers), pack.own_bytes, pack.model.size};
    const TrialJob job{row.model, folder_ / row.file, path, bytes, inputs_};
    try {
      const Trial trial =
          options_.program.empty() ? try_pack(job) : try_pack_in_child(options_.program, job);
      row.why_not = trial.why_not;
      row.untried = trial.untried;
      row.random_outputs = trial.random;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kRuntime) throw;
      row.why_not = std::string("its pack cannot be used: ") + error.what();
    }
  }

  void add_record(const ModelRecord& model, const OptimisedModel& optimised,
                  std::vector<PackedTensor>& tensors, PackedModel& row) {
    PackRecord pack;
    std::map<std::pair<uint64_t, uint64_t>, Extent> placed;
    for (PackedTensor& tensor : tensors) {
      for (size_t i = 0; i < tensor.contents.size(); ++i) {
        const PackContents::Found& content = tensor.contents[i];
        placed[tensor.places[i]] = content.extent;
        if (i > 0) pack.buffers.push_back({content.extent, content.hash});
      }
      if (!tensor.contents.empty()) {
        tensor.record.extent = tensor.contents[0].extent;
        tensor.record.hash = tensor.contents[0].hash;
      }
      pack.model.tensors.push_back(std::move(tensor.record));
    }
    const std::string bytes =
        relocate(optimised.model, [&](const ExternalReference& place) -> ExternalReference {
          const auto at = placed.find({place.offset, place.size});
          if (place.file != kWeightsName || at == placed.end()) return place;
          const Extent& extent = at->second;
          const bool is_new = extent.blob == manifest_.blobs.size();
          return {is_new ? blob_name_ : manifest_.blobs[extent.blob].file, extent.offset,
                  extent.size};
        });
    figures_->add(tensors, row);
    row.own_bytes = pack.own_bytes = optimised.own_bytes;
    pack.model.name = model.name;
    pack.model.file = file_names_.at(model.name);
    pack.model.size = bytes.size();
    pack.model.hash = content_hash(std::as_bytes(std::span(bytes)));
    pack.made_of = model.hash;
    pack.onnxruntime = report_.onnxruntime;
    pack.cpu = report_.cpu;
    pack.optimization = text_of(options_.optimization);
    row.file = pack.model.file;
    row.file_bytes = bytes.size();
    manifest_.packs.push_back(std::move(pack));
    if (!edit_) return;
    write_files(edit_->staging(), {{row.file, bytes}});
    edit_->place(row.file);
  }

  void finish(uint64_t blob_bytes) {
    const bool any = std::any_of(report_.models.begin(), report_.models.end(),
                                 [](const PackedModel& model) { return !model.file.empty(); });
    if (!any) {
      throw Error(ErrorCode::kRuntime,
                  "no model could be packed; " + report_.models.front().why_not);
    }
    if (blob_bytes > 0) manifest_.blobs.push_back({blob_name_, blob_bytes});
    const Manifest with_failed = manifest_;
    std::erase_if(manifest_.packs, [&](const PackRecord& pack) {
      return failed_.contains(pack.model.name) && is_for_here(pack);
    });
    figures_->finish(report_);
    report_.other_packs = static_cast<size_t>(
        std::count_if(manifest_.packs.begin(), manifest_.packs.end(),
                      [&](const PackRecord& pack) { return !is_for_here(pack); }));
    drop_unneeded(with_failed, manifest_);
    const std::map<std::string, size_t> order = [&] {
      std::map<std::string, size_t> numbers;
      for (const ModelRecord& model : manifest_.models) numbers.emplace(model.name, numbers.size());
      return numbers;
    }();
    std::stable_sort(manifest_.packs.begin(), manifest_.packs.end(),
                     [&](const PackRecord& a, const PackRecord& b) {
                       return order.at(a.model.name) < order.at(b.model.name);
                     });
    retire_files(before_, manifest_);
    report_.bytes_out = bundle_bytes(manifest_, to_json(manifest_, threads_).size());
  }

  fs::path folder_;
  const Manifest before_;
  Manifest manifest_;  // what the bundle will have
  const PackOptions& options_;
  const InputOptions inputs_;
  unsigned threads_;
  std::set<std::string, std::less<>> chosen_;
  std::set<std::string, std::less<>> failed_;  // whose packs are left out again
  std::string blob_name_;
  std::map<std::string, std::string> file_names_;  // by model
  std::optional<PackFigures> figures_;             // of the manifest without what goes
  BundleEdit* edit_ = nullptr;                     // null: nothing is written
  PackReport report_;
};

}  // namespace

PackReport pack(const fs::path& bundle, const PackOptions& options) try {
  require_release(kFirstWithPacks, "packs need");
  std::optional<BundleEdit> edit;  // a dry run only reads, also what it may not write to
  if (!options.dry_run) edit.emplace(bundle, "pack", options.wait);
  const Manifest before = edit ? edit->manifest() : load_manifest(bundle);
  Packer packer(bundle, before, options);
  packer.run(edit ? &*edit : nullptr);
  PackReport report = std::move(packer.report());
  report.bytes_before = bundle_bytes(before, fs::file_size(bundle / kManifestName));
  if (!edit) return report;
  if (options.progress) options.progress("committing", 0, 0);
  edit->publish(packer.manifest(), thread_count(options.threads));
  return report;
} catch (const std::system_error& error) {
  throw_as_error(error);
}

}  // namespace wshare

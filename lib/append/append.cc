#include "wshare/append.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "bundle/draft.h"
#include "bundle/drop_renames.h"
#include "bundle/edit.h"
#include "bundle/model_figures.h"
#include "bundle/split_uses.h"
#include "bundle/start.h"
#include "bundle/target.h"
#include "bundle/tie_transposed.h"
#include "bundle/write.h"
#include "extract_lora/extraction.h"
#include "format/manifest/text.h"
#include "util/name_list.h"
#include "util/output_folder.h"
#include "util/parallel.h"
#include "util/system_errors.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

// lock ─ map the bundle ─ scan new models ─ compare with each other and with the bundle ─ write
//
// The road of dedupe with a start: extents of the bundle take part in the comparison, and a content
// that lies in one of them has its place already. Where the bundle has tasks, that of extract-lora.

namespace wshare {
namespace {

void check_names(const Manifest& manifest, const std::vector<ModelInput>& inputs) {
  for (const ModelInput& input : inputs) {
    const char* owner = owner_of_name(manifest, input.name);
    if (owner == nullptr) continue;
    throw Error(ErrorCode::kInvalid,
                in_quotes(input.name) + ": the bundle has a " + owner + " of this name",
                "give it another one: NAME=" + input.path.string());
  }
}

// The model that new tasks go over, or "" where there are to be none.
std::string choose_base(const Manifest& manifest, const AppendOptions& options) {
  if (options.as_models) return "";
  if (!options.base.empty()) return find_model(manifest, options.base).name;
  const std::set<std::string> bases = bases_of_tasks(manifest);
  if (bases.size() <= 1) return bases.empty() ? "" : *bases.begin();
  throw Error(ErrorCode::kInvalid,
              "the tasks of the bundle have several bases: " + list_in_quotes(bases),
              "say which one: --base NAME; or append models: --as-models");
}

AppendReport report_of(const Draft& draft, const BundleFiles& files) {
  ModelFigures figures = model_figures(draft, files);
  AppendReport report;
  report.models = std::move(figures.models);
  report.bytes_in = figures.bytes_in;
  report.bytes_out = files.bytes;
  report.tensors = figures.tensors;
  report.distinct_tensors = figures.distinct_tensors;
  report.left_inline = std::move(figures.left_inline);
  return report;
}

// What is new as a draft, and what else it changes in the bundle.
class Addition {
 public:
  virtual ~Addition() = default;
  virtual const Draft& draft() const = 0;
  virtual std::vector<NewFile> files() const = 0;
  virtual AppendReport report(const BundleFiles& files) const = 0;
};

class NewModels : public Addition {
 public:
  NewModels(const fs::path& bundle, const Manifest& manifest, const std::vector<ModelInput>& inputs,
            const AppendOptions& options) {
    const unsigned threads = thread_count(options.threads);
    draft_.inputs = inputs;
    draft_.models = scan_all(draft_.inputs, threads);
    for (const ScannedModel& model : draft_.models) check_external(bundle, model);
    if (!options.keep_identity) drop_renames(draft_, options.min_bytes);
    draft_.start.emplace(make_start(manifest, bundle, threads));
    transposed_ = tie_transposed(draft_, options.tie_transposed, options.allow_other_bits,
                                 options.split_uses, options.min_bytes, threads);
    split_uses(draft_, options.split_uses, options.min_bytes);
    place_tensors(draft_, {options.min_bytes, options.threads, options.progress});
  }

  const Draft& draft() const override { return draft_; }
  std::vector<NewFile> files() const override { return {}; }
  AppendReport report(const BundleFiles& files) const override {
    AppendReport report = report_of(draft_, files);
    report.transposed = transposed_;
    return report;
  }

 private:
  Draft draft_;
  std::vector<TransposedPair> transposed_;
};

class NewTasks : public Addition {
 public:
  NewTasks(const fs::path& bundle, const Manifest& manifest, const std::string& base,
           const std::vector<ModelInput>& inputs, const AppendOptions& options)
      : options_(options_of(options)),
        extraction_(inputs, StoredBase(bundle, manifest, base, thread_count(options.threads)),
                    options_) {
    extraction_.read();
    for (const ScannedModel* model : extraction_.inputs()) check_external(bundle, *model);
    extraction_.compose();
  }

  const Draft& draft() const override { return extraction_.draft(); }
  std::vector<NewFile> files() const override { return extraction_.stored_base()->new_files(); }

  AppendReport report(const BundleFiles& files) const override {
    ExtractReport extracted = extraction_.report(files);
    AppendReport report = report_of(draft(), files);
    std::erase_if(report.models, [&](const DedupedModel& model) {
      return std::any_of(extracted.tasks.begin(), extracted.tasks.end(),
                         [&](const ExtractedTask& task) { return task.name == model.name; });
    });
    report.bytes_in = extracted.bytes_in;
    for (const DedupedModel& model : report.models) report.bytes_in += model.bytes_in;
    report.base = extracted.base;
    report.tasks = std::move(extracted.tasks);
    report.no_tasks = extraction_.no_tasks();
    report.new_base = !this->files().empty();
    return report;
  }

 private:
  static ExtractOptions options_of(const AppendOptions& options) {
    ExtractOptions result;
    result.min_bytes = options.min_bytes;
    result.threads = options.threads;
    result.progress = options.progress;
    return result;
  }

  ExtractOptions options_;
  Extraction extraction_;
};

std::unique_ptr<Addition> read_addition(const fs::path& bundle, const Manifest& manifest,
                                        const std::vector<ModelInput>& inputs,
                                        const AppendOptions& options) {
  const std::string base = choose_base(manifest, options);
  if (base.empty()) return std::make_unique<NewModels>(bundle, manifest, inputs, options);
  if (options.split_uses != SplitUses::kNever) {
    throw Error(ErrorCode::kInvalid,
                "names of weights cannot be split: what is appended becomes tasks over " +
                    in_quotes(base) + ", which has names of its own",
                "to append models instead: --as-models");
  }
  return std::make_unique<NewTasks>(bundle, manifest, base, inputs, options);
}

}  // namespace

AppendReport append(const fs::path& bundle, const std::vector<ModelInput>& inputs,
                    const AppendOptions& options) try {
  // A dry run only reads, also what it may not write to.
  std::optional<BundleEdit> edit;
  if (!options.dry_run) edit.emplace(bundle, "append", options.wait);
  const Manifest manifest = edit ? edit->manifest() : load_manifest(bundle);
  check_names(manifest, inputs);
  check_inputs_outside(bundle, inputs);
  const uint64_t bytes_before = bundle_bytes(manifest, fs::file_size(bundle / kManifestName));
  const std::unique_ptr<Addition> addition = read_addition(bundle, manifest, inputs, options);
  if (edit) {
    if (options.progress) options.progress("writing", 0, 0);
    write_files(edit->staging(), addition->files());
  }
  const BundleFiles files =
      edit ? write_bundle(addition->draft(), edit->staging(), options.threads, options.progress)
           : measure_bundle(addition->draft(), options.threads);
  AppendReport report = addition->report(files);
  report.bytes_before = bytes_before;
  if (!edit) return report;
  if (options.progress) options.progress("committing", 0, 0);
  edit->publish(files.manifest, thread_count(options.threads));
  return report;
} catch (const std::system_error& error) {
  throw_as_error(error);
}

}  // namespace wshare

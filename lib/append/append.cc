#include "wshare/append.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "bundle/draft.h"
#include "bundle/edit.h"
#include "bundle/model_figures.h"
#include "bundle/start.h"
#include "bundle/target.h"
#include "bundle/write.h"
#include "util/parallel.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

// lock ─ map the bundle ─ scan new models ─ compare with each other and with the bundle ─ write
//
// The road of dedupe with a start: extents of the bundle take part in the comparison, and a content
// that lies in one of them has its place already.

namespace wshare {
namespace {

void check_names(const Manifest& manifest, const std::vector<ModelInput>& inputs) {
  for (const ModelInput& input : inputs) {
    const bool is_model = std::any_of(manifest.models.begin(), manifest.models.end(),
                                      [&](const ModelRecord& m) { return m.name == input.name; });
    if (!is_model && find_task(manifest, input.name) == nullptr) continue;
    throw Error(ErrorCode::kInvalid,
                in_quotes(input.name) + ": the bundle has a " + (is_model ? "model" : "task") +
                    " of this name",
                "give it another one: NAME=" + input.path.string());
  }
}

AppendReport report_of(const Draft& draft, const BundleFiles& files, uint64_t bytes_before) {
  ModelFigures figures = model_figures(draft, files);
  AppendReport report;
  report.models = std::move(figures.models);
  report.bytes_in = figures.bytes_in;
  report.bytes_before = bytes_before;
  report.bytes_out = files.bytes;
  report.tensors = figures.tensors;
  report.distinct_tensors = figures.distinct_tensors;
  report.left_inline = std::move(figures.left_inline);
  for (const TaskRecord& task : draft.start->manifest.tasks) report.tasks.push_back(task.name);
  return report;
}

}  // namespace

AppendReport append(const fs::path& bundle, const std::vector<ModelInput>& inputs,
                    const AppendOptions& options) {
  // A dry run only reads, also what it may not write to.
  std::optional<BundleEdit> edit;
  if (!options.dry_run) edit.emplace(bundle, "append", options.wait);
  const Manifest manifest = edit ? edit->manifest() : load_manifest(bundle);
  check_names(manifest, inputs);
  check_inputs_outside(bundle, inputs);
  const unsigned threads = thread_count(options.threads);
  const uint64_t bytes_before = bundle_bytes(manifest, fs::file_size(bundle / kManifestName));

  Draft draft;
  draft.inputs = inputs;
  draft.models = scan_all(draft.inputs, threads);
  for (const ScannedModel& model : draft.models) check_external(bundle, model);
  draft.start.emplace(make_start(manifest, bundle, threads));
  place_tensors(draft, {options.min_bytes, options.threads, options.progress});
  if (!edit) return report_of(draft, measure_bundle(draft, options.threads), bytes_before);
  if (options.progress) options.progress("writing", 0, 0);
  edit->announce(file_names_of(draft.plan));
  const BundleFiles files = write_bundle(draft, bundle, options.threads);
  AppendReport report = report_of(draft, files, bytes_before);
  if (options.progress) options.progress("committing", 0, 0);
  edit->publish(files.manifest, threads);
  return report;
}

}  // namespace wshare

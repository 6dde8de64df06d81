#include "wshare/dedupe.h"

#include <optional>
#include <thread>
#include <utility>

#include "bundle/draft.h"
#include "bundle/drop_renames.h"
#include "bundle/like.h"
#include "bundle/model_figures.h"
#include "bundle/replace_bundle.h"
#include "bundle/split_uses.h"
#include "bundle/target.h"
#include "bundle/tie_transposed.h"
#include "bundle/write.h"
#include "util/parallel.h"
#include "util/system_errors.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

const std::string& blob_file(const Draft& draft, const Extent& extent) {
  const size_t before = draft.start ? draft.start->manifest.blobs.size() : 0;
  return extent.blob < before ? draft.start->manifest.blobs[extent.blob].file
                              : draft.plan.blobs[extent.blob - before].file;
}

std::vector<PlacedTensor> placed_tensors(const Draft& draft) {
  std::vector<PlacedTensor> result;
  const std::vector<std::vector<uint32_t>> users = users_of(draft);
  for (uint32_t m = 0; m < draft.models.size(); ++m) {
    for (size_t t = 0; t < draft.models[m].tensors.size(); ++t) {
      const TensorRef& tensor = draft.models[m].tensors[t];
      const PlanTensor& planned = draft.planned[m].tensors[t];
      if (planned.reason) continue;
      PlacedTensor& placed =
          result.emplace_back(PlacedTensor{draft.inputs[m].name,
                                           tensor.scope,
                                           tensor.name,
                                           blob_file(draft, *draft.plan.extents[m][t]),
                                           planned.size,
                                           {}});
      for (const uint32_t user : users[planned.content]) {
        if (user != m) placed.also_in.push_back(draft.inputs[user].name);
      }
    }
  }
  return result;
}

DedupeReport report_of(const Draft& draft, const BundleFiles& files, bool explain) {
  ModelFigures figures = model_figures(draft, files);
  DedupeReport report;
  report.models = std::move(figures.models);
  report.bytes_in = figures.bytes_in;
  report.bytes_out = files.bytes;
  report.tensors = figures.tensors;
  report.distinct_tensors = figures.distinct_tensors;
  report.left_inline = std::move(figures.left_inline);
  if (explain) report.placed = placed_tensors(draft);
  return report;
}

// To unmap the inputs takes about as long as the disk does, so it happens while that is at work.
std::jthread unmap_meanwhile(Draft& draft) {
  try {
    return std::jthread([&draft] { const Draft gone = std::move(draft); });
  } catch (const std::system_error&) {  // there is no thread to be had
    return {};
  }
}

}  // namespace

DedupeReport dedupe(const std::vector<ModelInput>& inputs, const fs::path& bundle,
                    const DedupeOptions& options) try {
  if (!options.dry_run || !bundle.empty()) {
    check_target(bundle, inputs, options.replace || options.dry_run);
  }
  std::optional<NewBundle> output;
  if (!options.dry_run) output.emplace(bundle, options.replace, "dedupe", options.wait);
  Draft draft;
  draft.inputs = inputs;
  draft.models = scan_all(draft.inputs, thread_count(options.threads));
  if (!options.keep_identity) drop_renames(draft, options.min_bytes);
  if (!options.like.empty()) draft.start.emplace(make_like_start(options.like));
  std::vector<TransposedPair> transposed =
      tie_transposed(draft, options.tie_transposed, options.allow_other_bits, options.split_uses,
                     options.min_bytes, thread_count(options.threads));
  split_uses(draft, options.split_uses, options.min_bytes);
  place_tensors(draft, {options.min_bytes, options.threads, options.progress});
  if (!bundle.empty()) {
    for (const ScannedModel& model : draft.models) check_external(bundle, model);
  }
  if (options.progress && !options.dry_run) options.progress("writing", 0, 0);
  BundleFiles files = options.dry_run
                          ? measure_bundle(draft, options.threads)
                          : write_bundle(draft, output->path(), options.threads, options.progress);
  uint64_t like_bytes = 0;
  if (draft.start) {
    const auto folder = options.dry_run ? std::nullopt : std::optional(output->path());
    like_bytes = take_over_blobs(draft, files, folder, thread_count(options.threads));
  }
  DedupeReport report = report_of(draft, files, options.explain);
  report.transposed = std::move(transposed);
  report.like_bytes = like_bytes;
  if (options.dry_run) return report;
  const std::jthread unmap = unmap_meanwhile(draft);
  if (options.progress) options.progress("committing", 0, 0);
  report.kept = output->commit();
  return report;
} catch (const std::system_error& error) {
  throw_as_error(error);
}

}  // namespace wshare

#include "wshare/dedupe.h"

#include <set>
#include <thread>

#include "bundle/draft.h"
#include "bundle/target.h"
#include "bundle/write.h"
#include "util/output_folder.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

DedupeReport report_of(const Draft& draft, const BundleFiles& files, bool explain) {
  DedupeReport report;
  const InputBytes bytes_in = input_bytes(draft.models);
  const std::vector<std::vector<uint32_t>> users = users_of(draft);
  report.bytes_in = bytes_in.total;
  report.bytes_out = files.bytes;
  report.distinct_tensors = draft.contents.contents.size();
  for (uint32_t m = 0; m < draft.models.size(); ++m) {
    DedupedModel& entry = report.models.emplace_back();
    entry.name = draft.inputs[m].name;
    entry.source = draft.inputs[m].path.filename().string();
    entry.bytes_in = bytes_in.of_model[m];
    entry.model_bytes = files.manifest.models[m].size;
    std::set<uint32_t> distinct;
    for (size_t t = 0; t < draft.models[m].tensors.size(); ++t) {
      const TensorRef& tensor = draft.models[m].tensors[t];
      const PlanTensor& planned = draft.planned[m].tensors[t];
      if (planned.reason) {
        report.left_inline.push_back(
            {entry.name, tensor.scope, tensor.name, tensor.bytes.size(), *planned.reason});
        continue;
      }
      ++entry.tensors;
      const PlanBlob& blob = draft.plan.blobs[draft.plan.extents[m][t]->blob];
      if (distinct.insert(planned.content).second) {
        (blob.shared ? entry.shared_bytes : entry.own_bytes) += planned.size;
      }
      if (!explain) continue;
      PlacedTensor placed{entry.name, tensor.scope, tensor.name, blob.file, planned.size, {}};
      for (const uint32_t user : users[planned.content]) {
        if (user != m) placed.also_in.push_back(draft.inputs[user].name);
      }
      report.placed.push_back(std::move(placed));
    }
    entry.distinct = distinct.size();
    report.tensors += entry.tensors;
  }
  return report;
}

}  // namespace

DedupeReport dedupe(const std::vector<ModelInput>& inputs, const fs::path& bundle,
                    const DedupeOptions& options) {
  if (!options.dry_run || !bundle.empty()) {
    check_target(bundle, inputs, options.replace || options.dry_run);
  }
  Draft draft = make_draft(inputs, {options.min_bytes, options.threads, options.progress});
  if (!bundle.empty()) {
    for (const ScannedModel& model : draft.models) check_external(bundle, model);
  }
  if (options.dry_run) {
    return report_of(draft, measure_bundle(draft, options.threads), options.explain);
  }
  if (options.progress) options.progress("writing", 0, 0);
  OutputFolder output(bundle, options.replace);
  const BundleFiles files = write_bundle(draft, output.path(), options.threads);
  DedupeReport report = report_of(draft, files, options.explain);
  // To unmap the inputs takes about as long as the disk does, so it happens meanwhile.
  const std::jthread unmap(
      [gone = std::move(draft)]() mutable { const Draft last = std::move(gone); });
  output.commit();
  return report;
}

}  // namespace wshare

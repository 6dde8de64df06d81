#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "bundle/drop_unneeded.h"
#include "bundle/edit.h"
#include "format/manifest/text.h"
#include "runtime/cpu_features.h"
#include "runtime/ort_errors.h"
#include "runtime/pack_fit.h"
#include "util/parallel.h"
#include "util/system_errors.h"
#include "wshare/pack.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

// True if a session over another pack of the same model would be made instead of `pack`.
bool has_better(const Manifest& manifest, const PackRecord& pack, const ContentHash& model) {
  if (is_of_release(pack, runtime_version())) return false;
  return std::any_of(manifest.packs.begin(), manifest.packs.end(), [&](const PackRecord& other) {
    return other.model.name == pack.model.name && is_of_release(other, runtime_version()) &&
           why_unfit(other, model).empty();
  });
}

// Returns why nobody here can use `pack`, or "".
std::string why_useless(const Manifest& manifest, const PackRecord& pack) {
  const ContentHash& model = find_model(manifest, pack.model.name).hash;
  const std::string unfit = why_unfit(pack, model);
  if (!unfit.empty() || !has_better(manifest, pack, model)) return unfit;
  return "its pack is for ONNX Runtime " + pack.onnxruntime + ", and there is one for " +
         OrtGetApiBase()->GetVersionString();
}

}  // namespace

PruneReport prune_packs(const fs::path& bundle, const PruneOptions& options) try {
  std::optional<BundleEdit> edit;
  if (!options.dry_run) edit.emplace(bundle, "pack", options.wait);
  const Manifest before = edit ? edit->manifest() : load_manifest(bundle);
  for (const std::string& name : options.models) find_model(before, name);
  const std::set<std::string> chosen(options.models.begin(), options.models.end());
  PruneReport report;
  report.onnxruntime = OrtGetApiBase()->GetVersionString();
  report.cpu = cpu_features();
  Manifest left = before;
  left.packs.clear();
  for (const PackRecord& pack : before.packs) {
    const bool is_chosen = chosen.empty() || chosen.contains(pack.model.name);
    const std::string why = is_chosen ? why_useless(before, pack) : "";
    if (why.empty()) {
      left.packs.push_back(pack);
    } else {
      report.dropped.push_back({pack.model.name, pack.model.file, pack.onnxruntime, pack.cpu, why});
    }
  }
  report.kept = left.packs.size();
  report.bytes_out = report.bytes_before =
      bundle_bytes(before, fs::file_size(bundle / kManifestName));
  if (report.dropped.empty()) return report;
  drop_unneeded(before, left);
  retire_files(before, left);
  const unsigned threads = thread_count(options.threads);
  report.unused_bytes = unused_bytes(left);
  report.bytes_out = bundle_bytes(left, to_json(left, threads).size());
  if (edit) edit->publish(std::move(left), threads);
  return report;
} catch (const std::system_error& error) {
  throw_as_error(error);
}

}  // namespace wshare

#include "wshare/remove.h"

#include <optional>
#include <utility>

#include "bundle/edit.h"
#include "bundle/write.h"
#include "remove/compact.h"
#include "remove/drop.h"
#include "util/output_folder.h"
#include "util/parallel.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

// Writes the bundle anew beside itself and puts it in its place; returns its size.
uint64_t rewrite(const Manifest& left, const Manifest& before, const fs::path& bundle,
                 const RemoveOptions& options) {
  check_only_bundle(bundle, before, "move it away first: --compact replaces the folder");
  if (options.dry_run) return compact_bundle(left, bundle, std::nullopt, options);
  OutputFolder output(bundle, true);
  const uint64_t bytes = compact_bundle(left, bundle, output.path(), options);
  output.commit();
  return bytes;
}

}  // namespace

RemoveReport remove_models(const fs::path& folder, const std::vector<std::string>& names,
                           const RemoveOptions& options) {
  std::optional<BundleEdit> edit;
  if (!options.dry_run) edit.emplace(folder, "remove", options.wait);
  const Manifest manifest = edit ? edit->manifest() : load_manifest(folder);
  // What a link leads to is replaced, not the link.
  const fs::path bundle = fs::canonical(folder);
  Remainder left = drop_models(manifest, names);
  RemoveReport report;
  report.removed = std::move(left.removed);
  report.bytes_before = bundle_bytes(manifest, fs::file_size(bundle / kManifestName));
  if (options.compact) {
    report.bytes_out = rewrite(left.manifest, manifest, bundle, options);
    return report;
  }
  const unsigned threads = thread_count(options.threads);
  report.unused_bytes = left.unused_bytes;
  report.bytes_out = bundle_bytes(left.manifest, to_json(left.manifest, threads).size());
  for (BundleFile& file : files_gone(manifest, left.manifest))
    report.files.push_back({std::move(file.name), file.size});
  if (edit) edit->publish(std::move(left.manifest), threads);
  return report;
}

}  // namespace wshare

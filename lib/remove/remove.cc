#include "wshare/remove.h"

#include <optional>
#include <utility>

#include "bundle/edit.h"
#include "bundle/replace_bundle.h"
#include "bundle/write.h"
#include "format/manifest/text.h"
#include "remove/compact.h"
#include "remove/drop.h"
#include "util/output_folder.h"
#include "util/parallel.h"
#include "util/system_errors.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

// Writes the bundle anew beside itself and puts it in its place; returns its size.
uint64_t rewrite(const Manifest& left, const Manifest& before, const fs::path& bundle,
                 const BundleEdit* edit, const RemoveOptions& options, std::string& kept) {
  check_only_bundle(bundle, before, "move it away first: --compact replaces the folder");
  if (edit == nullptr) return compact_bundle(left, bundle, std::nullopt, options);
  OutputFolder output(bundle, true);
  const uint64_t bytes = compact_bundle(left, bundle, output.path(), options);
  kept = replace_bundle(edit->lock(), before, output);
  return bytes;
}

}  // namespace

RemoveReport remove_models(const fs::path& folder, const std::vector<std::string>& names,
                           const RemoveOptions& options) try {
  std::optional<BundleEdit> edit;
  // What a link leads to is replaced, not the link.
  std::error_code none;
  const fs::path resolved = fs::canonical(folder, none);
  const fs::path bundle = none ? folder : resolved;
  if (!options.dry_run) edit.emplace(bundle, "remove", options.wait);
  const Manifest manifest = edit ? edit->manifest() : load_manifest(bundle);
  Remainder left = drop_models(manifest, names);
  RemoveReport report;
  report.removed = std::move(left.removed);
  report.bytes_before = bundle_bytes(manifest, fs::file_size(bundle / kManifestName));
  if (options.compact) {
    report.bytes_out =
        rewrite(left.manifest, manifest, bundle, edit ? &*edit : nullptr, options, report.kept);
    return report;
  }
  const unsigned threads = thread_count(options.threads);
  retire_files(manifest, left.manifest);
  report.unused_bytes = left.unused_bytes;
  report.bytes_out = bundle_bytes(left.manifest, to_json(left.manifest, threads).size());
  for (BundleFile& file : files_gone(manifest, left.manifest))
    report.files.push_back({std::move(file.name), file.size});
  if (edit) edit->publish(std::move(left.manifest), threads);
  return report;
} catch (const std::system_error& error) {
  throw_as_error(error);
}

}  // namespace wshare

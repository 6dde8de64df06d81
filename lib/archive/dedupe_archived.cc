#include <filesystem>
#include <utility>

#include "bundle/replace_bundle.h"
#include "bundle/target.h"
#include "format/manifest/text.h"
#include "model/scan.h"
#include "remove/compact.h"
#include "util/system_errors.h"
#include "wshare/archive.h"

namespace fs = std::filesystem;

// dedupe ─► a bundle in the hidden folder ─ archive ─► archives in it ─ compact ─► the bundle
//
// Archives are computed from what lies in a bundle. So one is made first, where nobody sees it, and
// what is left of it is laid out anew: a bundle from scratch has no bytes that nothing needs.

namespace wshare {

ArchivedDedupe dedupe_archived(const std::vector<ModelInput>& inputs, const fs::path& bundle,
                               const DedupeOptions& options) try {
  check_target(bundle, inputs, options.replace);
  for (const ModelInput& input : inputs) check_external(bundle, scan_model(input.path));
  NewBundle output(bundle, options.replace, "dedupe", options.wait);
  const fs::path whole = output.path() / ".whole";
  DedupeOptions first = options;
  first.replace = false;
  ArchivedDedupe report;
  report.dedupe = dedupe(inputs, whole, first);
  ArchiveOptions second;
  second.threads = options.threads;
  second.wait = options.wait;
  second.progress = options.progress;
  report.archive = archive(whole, {}, second);
  RemoveOptions compact;
  compact.threads = options.threads;
  compact.progress = options.progress;
  report.archive.bytes_out = report.dedupe.bytes_out =
      compact_bundle(load_manifest(whole), whole, output.path(), compact);
  report.archive.unused_bytes = 0;
  fs::remove_all(whole);
  if (options.progress) options.progress("committing", 0, 0);
  report.dedupe.kept = output.commit();
  for (DedupedModel& model : report.dedupe.models) {
    for (const ArchivedModel& archived : report.archive.models)
      model.archived = model.archived || archived.name == model.name;
  }
  return report;
} catch (const std::system_error& error) {
  throw_as_error(error);
}

}  // namespace wshare

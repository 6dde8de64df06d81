#include "wshare/thaw.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "bundle/drop_unneeded.h"
#include "bundle/edit.h"
#include "format/bundle_files.h"
#include "format/manifest/extents.h"
#include "format/manifest/text.h"
#include "thaw/thawer.h"
#include "util/parallel.h"
#include "util/suggest.h"
#include "util/system_errors.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

// Throws Error(kInvalid) if one of `names` is none.
std::vector<size_t> numbers_of(const Manifest& manifest, const std::vector<std::string>& names) {
  std::set<size_t> numbers;
  for (const std::string& name : names) {
    const ArchivedRecord* const model = find_archived(manifest, name);
    if (model != nullptr) {
      numbers.insert(static_cast<size_t>(model - manifest.archived.data()));
      continue;
    }
    if (owner_of_name(manifest, name) != nullptr)
      throw Error(ErrorCode::kInvalid, in_quotes(name) + ": is not archived");
    std::vector<std::string> known;
    for (const ArchivedRecord& archived : manifest.archived) known.push_back(archived.name);
    throw Error(ErrorCode::kInvalid, in_quotes(name) + ": no such archived model in the bundle",
                known.empty() ? "the bundle has none" : hint_of_names(name, known));
  }
  return {numbers.begin(), numbers.end()};
}

void fill_in(const Manifest& before, const Manifest& after, ThawReport& report,
             const std::vector<size_t>& numbers) {
  for (const size_t number : numbers) {
    const ModelRecord& model = find_model(after, before.archived[number].name);
    ThawedModel& out = report.models.emplace_back(ThawedModel{model.name, model.size, 0});
    std::set<ExtentKey> seen;
    for (const TensorRecord& tensor : model.tensors) {
      if (!seen.insert(key_of(tensor.extent)).second) continue;
      out.bytes += tensor.extent.size;
      const std::string& file = after.blobs[tensor.extent.blob].file;
      const auto named = [&](const BlobRecord& blob) { return blob.file == file; };
      if (std::any_of(before.blobs.begin(), before.blobs.end(), named))
        out.shared_bytes += tensor.extent.size;
    }
  }
}

}  // namespace

ThawReport thaw(const fs::path& bundle, const std::vector<std::string>& names,
                const ThawOptions& options) try {
  std::optional<BundleEdit> edit;
  if (!options.dry_run) edit.emplace(bundle, "thaw", options.wait);
  const Manifest manifest = edit ? edit->manifest() : load_manifest(bundle);
  const std::vector<size_t> numbers = numbers_of(manifest, names);
  const unsigned threads = thread_count(options.threads);
  ThawReport report;
  report.bytes_before = bundle_bytes(manifest, fs::file_size(bundle / kManifestName));
  const StoredFiles files(bundle, manifest);
  std::optional<fs::path> folder;
  if (edit) folder = edit->staging();
  Manifest after =
      Thawer(manifest, files, numbers, taken_names(bundle, manifest), folder, options).run();
  fill_in(manifest, after, report, numbers);
  retire_files(manifest, after);
  report.unused_bytes = unused_bytes(after);
  report.bytes_out = bundle_bytes(after, to_json(after, threads).size());
  if (!edit) return report;
  if (options.progress) options.progress("committing", 0, 0);
  edit->publish(std::move(after), threads);
  return report;
} catch (const std::system_error& error) {
  throw_as_error(error);
}

}  // namespace wshare

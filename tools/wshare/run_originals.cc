#include "run_originals.h"

#include <algorithm>
#include <set>

#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "restore/original.h"
#include "util/suggest.h"
#include "util/text.h"
#include "wshare/error.h"
#include "wshare/restore.h"

namespace wshare {
namespace {

std::vector<std::string> names_of(const std::vector<NamedModel>& models) {
  std::vector<std::string> names;
  for (const NamedModel& model : models) names.push_back(model.name);
  return names;
}

}  // namespace

void check_originals(const RunJob& job) {
  for (const auto& [name, path] : job.against) {
    const auto is_run = [&wanted = name](const NamedModel& model) { return model.name == wanted; };
    if (std::none_of(job.models.begin(), job.models.end(), is_run)) {
      throw Error(ErrorCode::kInvalid,
                  "--against: " + in_quotes(name) + " is none of the models that are run",
                  hint_of_names(name, names_of(job.models)));
    }
    if (!std::filesystem::exists(path))
      throw Error(ErrorCode::kIo, "--against: " + in_quotes(path.string()) + ": no such file");
  }
}

RunJob plain_side(const RunJob& job, const std::filesystem::path& folder, const Context& context) {
  Originals originals = job.against;
  const Manifest manifest = load_manifest(job.bundle);
  std::set<std::string> missing;
  for (const Original& original : originals_of(manifest)) {
    const auto is_it = [&](const NamedModel& model) { return model.name == original.name; };
    const bool runs = std::any_of(job.models.begin(), job.models.end(), is_it);
    if (runs && !originals.contains(original.name)) missing.insert(original.name);
  }
  if (!missing.empty()) {  // restore() takes no names for all
    RestoreOptions options;
    context.apply_to(options);
    const std::vector<std::string> names(missing.begin(), missing.end());
    for (const RestoredModel& model : restore(job.bundle, names, folder, options))
      originals[model.name] = folder / model.path;
  }
  RunJob plain = job;
  plain.bundle.clear();
  plain.models.clear();
  plain.against.clear();
  for (const NamedModel& model : job.models) {
    const auto original = originals.find(model.name);
    if (original != originals.end())
      plain.models.push_back({model.name, original->second, {}, false, model.base});
  }
  if (plain.models.empty()) {
    throw Error(
        ErrorCode::kInvalid,
        "--baseline: " + in_quotes(job.models.at(0).name) + " has no original in the bundle",
        "name one: --against NAME=original.onnx");
  }
  return plain;
}

}  // namespace wshare

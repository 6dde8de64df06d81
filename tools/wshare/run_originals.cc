#include "run_originals.h"

#include <algorithm>
#include <set>

#include "format/manifest.h"
#include "restore/original.h"
#include "run/arguments.h"
#include "run/compare_sessions.h"
#include "run_options.h"
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

Originals read_originals(const std::vector<std::string>& against) {
  Originals originals;
  for (const std::string& text : against) {
    const auto [name, path] = split_assignment(text, "--against", "NAME=original.onnx");
    if (!originals.emplace(name, path).second)
      throw Error(ErrorCode::kInvalid, "--against: " + in_quotes(name) + " is given twice");
  }
  return originals;
}

void check_originals(const Originals& originals, const std::vector<NamedModel>& models) {
  for (const auto& [name, path] : originals) {
    const auto is_run = [&wanted = name](const NamedModel& model) { return model.name == wanted; };
    if (std::none_of(models.begin(), models.end(), is_run)) {
      throw Error(ErrorCode::kInvalid,
                  "--against: " + in_quotes(name) + " is none of the models that are run",
                  hint_of_names(name, names_of(models)));
    }
    if (!std::filesystem::exists(path))
      throw Error(ErrorCode::kIo, "--against: " + in_quotes(path.string()) + ": no such file");
  }
}

std::vector<NamedModel> find_plain(const std::filesystem::path& bundle,
                                   const std::vector<NamedModel>& models, Originals originals,
                                   const std::filesystem::path& folder, const Context& context) {
  const Manifest manifest = load_manifest(bundle);
  std::set<std::string> missing;
  for (const Original& original : originals_of(manifest)) {
    const auto is_it = [&](const NamedModel& model) { return model.name == original.name; };
    const bool runs = std::any_of(models.begin(), models.end(), is_it);
    if (runs && !originals.contains(original.name)) missing.insert(original.name);
  }
  if (!missing.empty()) {  // restore() takes no names for all
    RestoreOptions options;
    context.apply_to(options);
    const std::vector<std::string> names(missing.begin(), missing.end());
    for (const RestoredModel& model : restore(bundle, names, folder, options))
      originals[model.name] = folder / model.path;
  }
  std::vector<NamedModel> plain;
  for (const NamedModel& model : models) {
    const auto original = originals.find(model.name);
    if (original != originals.end())
      plain.push_back({model.name, original->second, {}, false, model.base});
  }
  if (plain.empty()) {
    throw Error(ErrorCode::kInvalid,
                "--baseline: " + in_quotes(models.at(0).name) + " has no original in the bundle",
                "name one: --against NAME=original.onnx");
  }
  return plain;
}

std::vector<ParityRow> compare_with_originals(const std::filesystem::path& bundle, Tier tier,
                                              const DeviceArguments& device,
                                              const std::vector<NamedModel>& models,
                                              const Originals& originals,
                                              const InputArguments& inputs,
                                              const ProgressFn& progress) {
  std::vector<ParityRow> all;
  if (originals.empty()) return all;
  const EnvironmentOptions shared = environment_options(inputs);
  if (shared != EnvironmentOptions{}) set_up_environment(shared);
  silence_log();
  const MeasureOptions options = measure_options(inputs);
  Bundle opened = Bundle::open(bundle);
  const std::optional<Device> on = open_device(device);
  const Opener open_shared = shared_opener(opened, tier, on, copies_of(device));
  const Opener open_original = plain_opener(on, options.threads);
  for (const NamedModel& model : models) {
    const auto original = originals.find(model.name);
    if (original == originals.end()) continue;
    if (progress) progress(("comparing outputs of " + in_quotes(model.name)).c_str(), 0, 0);
    const auto rows = compare_sessions(model, open_shared, {model.name, original->second},
                                       open_original, options.inputs, on);
    all.insert(all.end(), rows.begin(), rows.end());
  }
  return all;
}

}  // namespace wshare

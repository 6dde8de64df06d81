#include "run_originals.h"

#include <unistd.h>

#include <algorithm>

#include "run_options.h"
#include "util/text.h"
#include "wshare/error.h"
#include "wshare/restore.h"

namespace wshare {

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
    const auto is_run = [&](const NamedModel& model) { return model.name == name; };
    if (std::none_of(models.begin(), models.end(), is_run)) {
      throw Error(ErrorCode::kInvalid,
                  "--against: " + in_quotes(name) + " is none of the models that are run");
    }
    if (!std::filesystem::exists(path))
      throw Error(ErrorCode::kIo, "--against: " + in_quotes(path.string()) + ": no such file");
  }
}

std::vector<NamedModel> find_plain(const std::filesystem::path& bundle,
                                   const std::vector<NamedModel>& models, Originals originals,
                                   const std::filesystem::path& folder, unsigned threads) {
  std::vector<std::string> missing;
  for (const NamedModel& model : models) {
    if (!originals.contains(model.name)) missing.push_back(model.name);
  }
  if (!missing.empty()) {  // restore() takes no names for all
    RestoreOptions options;
    options.threads = threads;
    for (const RestoredModel& model : restore(bundle, missing, folder, options))
      originals[model.name] = folder / model.path;
  }
  std::vector<NamedModel> plain;
  for (const NamedModel& model : models) plain.push_back({model.name, originals.at(model.name)});
  return plain;
}

std::vector<ParityRow> compare_with_originals(const std::filesystem::path& bundle, Tier tier,
                                              const std::vector<NamedModel>& models,
                                              const Originals& originals,
                                              const InputOptions& inputs) {
  std::vector<ParityRow> all;
  if (originals.empty()) return all;
  silence_log();
  Bundle opened = Bundle::open(bundle);
  const Opener open_shared = shared_opener(opened, tier);
  for (const NamedModel& model : models) {
    const auto original = originals.find(model.name);
    if (original == originals.end()) continue;
    const auto rows =
        compare_models(model, open_shared, {model.name, original->second}, open_plain, inputs);
    all.insert(all.end(), rows.begin(), rows.end());
  }
  return all;
}

}  // namespace wshare

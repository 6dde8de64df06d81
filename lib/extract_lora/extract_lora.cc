#include "wshare/extract_lora.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "bundle/replace_bundle.h"
#include "bundle/target.h"
#include "extract_lora/extraction.h"
#include "extract_lora/peft_output.h"
#include "util/output_folder.h"
#include "util/paths.h"
#include "util/system_errors.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

// A name for a base that is none of the tasks'.
std::string unused_base_name(const std::vector<ModelInput>& tasks) {
  for (int number = 1;; ++number) {
    std::string name = number == 1 ? "base" : "base_" + std::to_string(number);
    const auto same = [&](const ModelInput& task) { return task.name == name; };
    if (std::none_of(tasks.begin(), tasks.end(), same)) return name;
  }
}

// The base first, then the tasks, without the base's own file. `base` may be empty: then it comes
// from the first task.
std::vector<ModelInput> resolve_all(const std::vector<ModelInput>& tasks, const std::string& base) {
  if (base.empty()) {
    std::vector<ModelInput> all = {{unused_base_name(tasks), tasks.at(0).path}};
    all.insert(all.end(), tasks.begin(), tasks.end());
    return all;
  }
  std::vector<ModelInput> all = {resolve_input(base)};
  CanonicalPaths places;
  const fs::path of_base = places.place_of(all[0].path);
  for (const ModelInput& task : tasks) {
    if (places.place_of(task.path) == of_base) continue;
    if (task.name == all[0].name) {
      throw Error(ErrorCode::kInvalid, in_quotes(task.name) + ": name of the base and of a task",
                  "name one of them: NAME=file");
    }
    all.push_back(task);
  }
  if (all.size() == 1)
    throw Error(ErrorCode::kInvalid, "there is no task beside the base",
                "name the models of tasks, too; 'wshare dedupe' bundles a model alone");
  return all;
}

// To unmap the inputs takes about as long as the disk does, so it happens while that is at work.
std::jthread unmap_meanwhile(std::unique_ptr<Extraction>& extraction) {
  try {
    return std::jthread([&extraction] { extraction.reset(); });
  } catch (const std::system_error&) {  // there is no thread to be had
    return {};
  }
}

// The bundle is at its place: what fails now does not take it away again.
void commit_peft(OutputFolder& adapters, const fs::path& bundle) {
  try {
    adapters.commit();
  } catch (const Error& error) {
    throw Error(error.code(),
                std::string(error.what()) + "; the bundle " + in_quotes(bundle.string()) +
                    " is complete, only its adapters of PEFT are missing",
                error.hint());
  }
}

}  // namespace

ExtractReport extract_lora(const std::vector<ModelInput>& tasks, const fs::path& bundle,
                           const ExtractOptions& options) try {
  std::vector<ModelInput> inputs = resolve_all(tasks, options.base);
  if (!options.dry_run || !bundle.empty()) {
    check_target(bundle, inputs, options.replace || options.dry_run);
  }
  if (!options.peft.folder.empty() && !options.dry_run)
    check_peft_target(options.peft.folder, bundle, options.replace);
  std::optional<NewBundle> output;
  if (!options.dry_run) output.emplace(bundle, options.replace, "extract-lora", options.wait);
  auto extraction = std::make_unique<Extraction>(std::move(inputs), options);
  extraction->read();
  if (!bundle.empty()) {
    for (const ScannedModel* model : extraction->inputs()) check_external(bundle, *model);
  }
  extraction->compose();
  const std::vector<PeftTask> peft_tasks = extraction->peft_tasks();
  if (options.dry_run) {
    ExtractReport report = extraction->report(extraction->measure());
    add_to_report(peft_tasks, report);
    return report;
  }
  if (options.progress) options.progress("writing", 0, 0);
  ExtractReport report = extraction->report(extraction->write(output->path()));
  add_to_report(peft_tasks, report);
  std::optional<OutputFolder> peft;
  if (!peft_tasks.empty()) {
    peft.emplace(options.peft.folder, options.replace);
    write_peft_tasks(peft_tasks, report.base, peft->path());
  }
  const std::jthread unmap = unmap_meanwhile(extraction);
  if (options.progress) options.progress("committing", 0, 0);
  report.kept = output->commit();
  if (peft) commit_peft(*peft, bundle);
  return report;
} catch (const std::system_error& error) {
  throw_as_error(error);
}

}  // namespace wshare

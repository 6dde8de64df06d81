#include "wshare/import_adapter.h"

#include <deque>
#include <optional>
#include <set>
#include <utility>

#include "bundle/edit.h"
#include "bundle/plan.h"
#include "bundle/replace_model.h"
#include "format/manifest/text.h"
#include "import_adapter/adapter.h"
#include "import_adapter/base_import.h"
#include "import_adapter/match_parts.h"
#include "import_adapter/whole_tensors.h"
#include "util/name_list.h"
#include "util/parallel.h"
#include "util/paths.h"
#include "util/system_errors.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

// lock ─ bases of the bundle ─ adapter ─ each module to its weights ─ A and B as the bases take
// them
//                                                                   │
//   manifest.json (the commit) ◄─ restore records of bases ◄─ bases with more inputs ◄─ task files
//
// All that can be refused is refused before the first file is made. Files that the bundle has stay
// as they are; a base that lacks inputs gets a new file, and the old one goes after the commit.

namespace wshare {
namespace {

std::vector<std::string> choose_bases(const Manifest& manifest,
                                      const std::vector<std::string>& wanted) {
  std::set<std::string> seen;
  for (const std::string& name : wanted) {
    if (!seen.insert(find_model(manifest, name).name).second)
      throw Error(ErrorCode::kInvalid, "base " + in_quotes(name) + " is given twice");
  }
  if (!wanted.empty()) return wanted;
  std::set<std::string> bases = bases_of_tasks(manifest);
  if (bases.empty()) {
    for (const ModelRecord& model : manifest.models) bases.insert(model.name);
  }
  if (bases.size() == 1) return {*bases.begin()};
  throw Error(ErrorCode::kInvalid,
              "the bundle has " + std::to_string(bases.size()) +
                  " models that the adapter may be for: " + list_in_quotes(bases),
              "say which one: --base NAME; several where it is for all of them");
}

void check_name(const Manifest& manifest, const std::string& name) {
  const char* hint = "give it another name: --name TASK";
  if (!is_file_name(name)) {
    throw Error(ErrorCode::kInvalid, in_quotes(name) + ": cannot be the name of a task", hint);
  }
  if (const char* owner = owner_of_name(manifest, name)) {
    throw Error(ErrorCode::kInvalid,
                in_quotes(name) + ": the bundle has a " + owner + " of this name", hint);
  }
}

class Import {
 public:
  Import(const fs::path& bundle, Manifest manifest, const fs::path& adapter,
         const ImportOptions& options)
      : bundle_(bundle), progress_(options.progress), manifest_(std::move(manifest)) {
    const std::vector<std::string> bases = choose_bases(manifest_, options.bases);
    const std::string task = options.task.empty() ? task_name_of(adapter) : options.task;
    const auto name_over = [&](const std::string& base) {
      return bases.size() == 1 ? task : task + "-" + base;
    };
    for (const std::string& base : bases) check_name(manifest_, name_over(base));
    std::vector<MatchedBase> matched;
    std::vector<std::string> inputs;
    for (const std::string& base : bases) {
      const BaseImport& part =
          parts_.emplace_back(bundle, find_model(manifest_, base), thread_count(options.threads));
      matched.push_back(part.matched());
      for (const auto& [name, input] : part.inputs()) inputs.push_back(name);
    }
    given_.emplace(load_adapter(adapter, inputs));
    keep_parts(given_->modules, options.parts);
    std::vector<std::vector<ModuleMatch>> matches = match_parts(given_->modules, matched);
    check_base_weights(given_->base_weights, matched);
    const std::vector<std::vector<WholeMatch>> whole =
        match_whole_tensors(given_->whole, given_->stored_in_out, matched);
    for (size_t b = 0; b < bases.size(); ++b)
      parts_[b].take(*given_, std::move(matches[b]), whole[b], name_over(bases[b]));
  }

  // Makes the new files of the bundle up, and the manifest that names them.
  void compose() {
    UnusedNames names(taken_names(bundle_, manifest_));
    std::vector<ReplacedModel> replaced;
    for (BaseImport& part : parts_) {
      if (auto model = part.compose(manifest_, names)) replaced.push_back(*std::move(model));
    }
    new_files_ = replace_models(manifest_, bundle_, std::move(replaced), names);
  }

  // Writes all files but the manifest into `folder`, and returns that.
  const Manifest& write(const fs::path& folder) {
    write_files(folder, new_files_);
    uint64_t total = 0, before = 0;
    for (const BaseImport& part : parts_) total += part.adapter_bytes();
    for (BaseImport& part : parts_) {
      part.write(manifest_, folder, [&](uint64_t bytes) {
        if (progress_) progress_("writing", before + bytes, total);
      });
      before += part.adapter_bytes();
      part.check_unchanged();
    }
    given_->file.check_unchanged();
    return manifest_;
  }

  std::vector<ImportReport> report() const {
    std::vector<ImportReport> reports;
    for (const BaseImport& part : parts_) reports.push_back(part.report(manifest_));
    return reports;
  }

 private:
  const fs::path& bundle_;
  const ProgressFn& progress_;
  Manifest manifest_;
  std::deque<BaseImport> parts_;  // one for each base
  std::optional<GivenAdapter> given_;
  std::vector<NewFile> new_files_;  // beside the adapters
};

}  // namespace

std::vector<ImportReport> import_adapter(const fs::path& bundle, const fs::path& path,
                                         const ImportOptions& options) try {
  std::optional<BundleEdit> edit;  // a dry run only reads, also what it may not write to
  if (!options.dry_run) edit.emplace(bundle, "import-adapter", options.wait);
  if (options.progress) options.progress("reading", 0, 0);
  Import job(bundle, edit ? edit->manifest() : load_manifest(bundle), path, options);
  job.compose();
  if (!edit) return job.report();
  edit->publish(job.write(edit->staging()), thread_count(options.threads));
  return job.report();
} catch (const std::system_error& error) {
  throw_as_error(error);
}

}  // namespace wshare

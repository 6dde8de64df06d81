#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bundle/plan.h"
#include "bundle/replace_model.h"
#include "format/adapter_file.h"
#include "format/manifest/manifest.h"
#include "import_adapter/adapter.h"
#include "import_adapter/match_modules.h"
#include "import_adapter/task_file.h"
#include "import_adapter/whole_tensors.h"
#include "lora/branch_sites.h"
#include "model/scan.h"
#include "util/scratch.h"
#include "wshare/import_adapter.h"

namespace wshare {

// What an import does over one base of the bundle: a task with an adapter, and a new file for a
// base that lacks inputs for it. The adapter that is given must outlive it.
class BaseImport {
 public:
  // Throws Error(kInvalid) if the base's file is not the manifest's, and what reading it throws.
  BaseImport(const std::filesystem::path& bundle, const ModelRecord& base, unsigned threads);
  BaseImport(const BaseImport&) = delete;
  BaseImport& operator=(const BaseImport&) = delete;

  MatchedBase matched() const { return {base_.name, &model_, &sites_}; }
  const SessionInputs& inputs() const { return sites_.inputs; }

  // Makes the adapter's parameters for this base up, as task `task`.
  //
  // Throws Error(kInvalid) if it has none or a run would refuse them, and what make_task_file()
  // throws.
  void take(const GivenAdapter& given, std::vector<ModuleMatch> matches,
            const std::vector<WholeMatch>& whole, std::string task);

  // Adds the task to `manifest` with a new file, whose name is from `names`. Returns the base's new
  // file if it needs one.
  std::optional<ReplacedModel> compose(Manifest& manifest, UnusedNames& names);

  const std::string& adapter_name() const { return adapter_name_; }
  uint64_t adapter_bytes() const { return layout_.size; }

  // Writes the adapter's file and says its hash in `manifest`. `on_bytes` is called with how many
  // of its bytes are there.
  void write(Manifest& manifest, const std::filesystem::path& bundle,
             const std::function<void(uint64_t)>& on_bytes);

  // Throws Error(kIo) if the base's file has changed since it was opened.
  void check_unchanged() const { model_.file.file().check_unchanged(); }

  // `manifest` has what compose() and the caller made of it.
  ImportReport report(const Manifest& manifest) const;

 private:
  void add_whole(const std::vector<WholeMatch>& whole);
  void give_defaults();
  void check_values();
  void add_value(const NamedTensor& value, ImportReport& report) const;

  ModelRecord base_;  // as it was
  ScannedModel model_;
  BranchSites sites_;
  const GivenAdapter* given_ = nullptr;
  std::vector<ModuleMatch> matches_;
  std::string task_;
  std::vector<BranchSite> added_;       // that get inputs
  std::vector<std::string> defaulted_;  // inputs that get a default
  std::vector<std::string> vectors_;    // initializers that become defaults of inputs
  std::vector<ImportedModule> whole_;   // what takes the place of the base's
  std::vector<std::string> same_;       // what is the base's
  size_t first_value_ = 0;              // in file_.parameters, behind all those
  Scratch scratch_;
  TaskFile file_;
  AdapterLayout layout_;
  std::string adapter_name_;
  size_t blob_ = 0;  // in Manifest::blobs
};

}  // namespace wshare

#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "bundle/draft.h"
#include "bundle/replace_model.h"
#include "format/manifest/manifest.h"
#include "lora/branch_sites.h"
#include "model/scan.h"

namespace wshare {

// The base of an extracted bundle, as it lies there with its branches, when more tasks come to it.
//
// Tasks are compared with the base without its branches, in which weights have other numbers.
class StoredBase {
 public:
  // Reads model `name` of `manifest`, of the bundle in `folder`.
  //
  // Throws Error(kInvalid) if its file is not the manifest's; what scan_model() throws.
  StoredBase(std::filesystem::path folder, Manifest manifest, const std::string& name,
             unsigned threads);

  const std::string& name() const { return record_.name; }
  std::filesystem::path path() const { return folder_ / record_.file; }

  // Returns the base without its branches; its graph is written into `folder`.
  ScannedModel without_branches(const std::filesystem::path& folder) const;

  // Gives `sites`, found in `plain`, which is the base without its branches, the names that the
  // branches of the base have, or would get.
  void name_branches(const ScannedModel& plain, BranchSites& sites);

  // Returns the bundle as a start for a draft whose first model is `plain`, with a base that has
  // branches for the tensors `weights` of `plain` and inputs for its `vectors`. Where it lacks
  // some, the base gets a new file.
  DraftStart extend(const std::set<int32_t>& weights, const std::set<int32_t>& vectors,
                    const ScannedModel& plain, unsigned threads);

  // Files beside those of the draft: the new base, if there is one.
  const std::vector<NewFile>& new_files() const { return new_files_; }

 private:
  std::filesystem::path folder_;
  Manifest manifest_;
  ModelRecord record_;
  ScannedModel model_;
  BranchSites sites_;
  std::map<int32_t, const BranchSite*> site_of_;  // [tensor of `plain`]
  std::vector<NewFile> new_files_;
};

}  // namespace wshare

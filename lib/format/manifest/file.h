#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "format/manifest/index.h"
#include "util/folder.h"
#include "util/mapped_file.h"

namespace wshare {

// manifest.json of a bundle that stays open: records of models are read from its map when they are
// asked for. All functions may be called by several threads.
class ManifestFile {
 public:
  // Opens and checks that of the bundle in `folder`. Throws what load_manifest() throws, but for
  // what index_manifest() leaves to read().
  explicit ManifestFile(std::shared_ptr<const Folder> folder);

  const std::shared_ptr<const std::vector<BlobRecord>>& blobs() const { return index_.blobs; }
  const std::vector<TaskRecord>& tasks() const { return index_.tasks; }  // without tensors
  std::vector<std::string> models() const;
  bool has_model(std::string_view name) const { return index_.models.contains(name); }

  // Returns what the manifest says of the model called `name`.
  //
  // Throws as find_model() and read_model_part() do, and Error(kIo) if somebody has written to this
  // very file since.
  ModelPart read(std::string_view name) const;

 private:
  void require_unwritten() const;

  std::shared_ptr<const Folder> folder_;
  MappedFile file_;
  ManifestIndex index_;
};

}  // namespace wshare

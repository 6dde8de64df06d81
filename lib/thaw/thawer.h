#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bundle/bundle_output.h"
#include "bundle/plan.h"
#include "format/blob_reader.h"
#include "format/bundle_files.h"
#include "format/manifest/manifest.h"
#include "wshare/thaw.h"

namespace wshare {

// Makes models of archived ones.
class Thawer {
 public:
  // `manifest`, `files` and `options` must outlive this; `numbers` are of archived models, `taken`
  // the names that no new file may have. Without `folder` nothing is written.
  Thawer(const Manifest& manifest, const StoredFiles& files, std::vector<size_t> numbers,
         std::vector<std::string> taken, const std::optional<std::filesystem::path>& folder,
         const ThawOptions& options);

  // Writes all, and returns the manifest that has the models.
  //
  // Throws Error(kInvalid) if something is damaged, Error(kIo).
  Manifest run();

 private:
  // A content that some of the tensors have, and one of these.
  struct Source {
    std::string owner;
    const OriginalTensor* tensor = nullptr;
    std::optional<Extent> stored;  // where it stays
  };

  void list_contents();
  uint32_t content_of(const ArchivedRecord& model, const OriginalTensor& tensor);
  std::optional<Extent> find_stored(const ArchivedRecord& model, const OriginalTensor& tensor);
  void write_blob(size_t b);
  void write_models();
  ModelRecord make_model(size_t i, std::string& packed) const;

  const Manifest& manifest_;
  const StoredFiles& files_;
  std::vector<size_t> numbers_;
  std::vector<std::string> taken_;
  BundleOutput output_;
  const ThawOptions& options_;
  unsigned threads_;
  BlobReader reader_;
  std::map<std::string, uint32_t> content_called_;                  // by how it is kept
  std::multimap<std::pair<ContentHash, uint64_t>, Extent> stored_;  // of live models
  std::vector<Source> contents_;
  std::vector<PlanModel> planned_;
  Plan plan_;
  Manifest after_;
  uint64_t total_ = 0;
  std::atomic<uint64_t> done_{0};
};

}  // namespace wshare

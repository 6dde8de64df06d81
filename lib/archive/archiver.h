#pragma once

#include <atomic>
#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "archive/archive_file.h"
#include "archive/tensors.h"
#include "bundle/bundle_output.h"
#include "compare/bases/members.h"
#include "format/bundle_files.h"
#include "format/manifest/manifest.h"
#include "wshare/archive.h"

namespace wshare {

// Writes the archives of `targets`, models of one bundle.
class Archiver {
 public:
  // All but `names`, of the files, must outlive this. Without `folder` nothing is written, and
  // sizes of residuals are estimates.
  Archiver(const Manifest& manifest, const StoredFiles& files, const std::vector<Member>& members,
           std::vector<Target> targets, std::vector<std::string> names,
           const std::optional<std::filesystem::path>& folder, const ArchiveOptions& options);

  // Writes all, and returns the manifest that has the targets archived.
  //
  // What is to be computed is computed once here, as restore will: the bytes that it stands for may
  // go then. Throws Error(kInvalid) if the bundle is damaged, Error(kIo), Error(kUnsupported).
  Manifest run();

  // After run().
  std::vector<ArchivedModel> report() const;

 private:
  // One target as it is written.
  struct Job {
    ArchivedRecord record;
    BlobRecord blob;
    std::vector<Extent> residuals;  // [tensor]: also estimates
  };

  // Bytes that the archive has got, by where they lie in it.
  using NewBytes = std::map<ExtentKey, std::span<const std::byte>>;

  const ModelRecord& model_of(size_t t) const;
  std::vector<bool> blobs_that_stay() const;
  void write(size_t t);
  void write_graph(size_t t, ArchiveFile& file);
  OriginalTensor write_tensor(size_t t, size_t i, ArchiveFile& file);
  OriginalTensor write_derived(size_t t, size_t i, ArchiveFile& file);
  MatrixRecord write_numbers(size_t t, const StoredNumbers& numbers, NewBytes& fresh,
                             ArchiveFile& file) const;
  Extent write_residual(const OriginalTensor& tensor, std::span<const std::byte> actual,
                        const TensorPlan& plan, const NewBytes& fresh, ArchiveFile& file);
  std::span<const std::byte> checked_bytes(const TensorRecord& tensor) const;
  void follow_others();
  void prove() const;
  ArchivedTensor report_of(size_t t, size_t i) const;

  const Manifest& manifest_;
  const StoredFiles& files_;
  const std::vector<Member>& members_;
  std::vector<Target> targets_;
  std::vector<std::string> names_;
  std::optional<std::filesystem::path> folder_;  // none: all is only measured
  BundleOutput output_;
  const ArchiveOptions& options_;
  unsigned threads_, inner_threads_;  // of all, and inside one tensor
  BytesOf bytes_of_;
  std::vector<std::vector<TensorPlan>> plans_;
  std::vector<Job> jobs_;
  uint64_t total_ = 0;
  std::atomic<uint64_t> done_{0};
};

}  // namespace wshare

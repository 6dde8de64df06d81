#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "bundle/bundle_output.h"
#include "bundle/distinct.h"
#include "bundle/originals.h"
#include "bundle/plan.h"
#include "format/manifest/manifest.h"
#include "wshare/progress.h"

namespace wshare {

// Writes the blobs of tensors that a plan has. Borrows all it is given. Threads may write different
// blobs.
class TensorBlobs {
 public:
  TensorBlobs(const Plan& plan, const Contents& contents, const BundleOutput& output,
              const ProgressFn& progress);

  // Writes plan.blobs[b]. Throws Error(kIo).
  void write(size_t b) const;

 private:
  const Plan& plan_;
  const Contents& contents_;
  const BundleOutput& output_;
  const ProgressFn& progress_;
  uint64_t to_write_ = 0;
  mutable std::atomic<uint64_t> written_{0};
};

// Writes the blob that only restore reads, the last one of `manifest`: a compressed record for each
// original, then the gaps. Throws Error(kIo).
class RestoreBlob {
 public:
  RestoreBlob(Manifest& manifest, const BundleOutput& output);

  // Writes `packed` and says in `source` where it is.
  void add_record(const std::string& packed, SourceRecord& source);

  // Adds `gap` to the manifest's, and its bytes where no blob has them.
  void add_gap(const ExternalGap& gap);

  void close();

 private:
  Manifest& manifest_;
  const BundleOutput& output_;
  BlobRecord& blob_;
  std::optional<OutputFile> file_;
};

}  // namespace wshare

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "bundle/bundle_output.h"
#include "format/manifest/manifest.h"
#include "util/content_hash.h"
#include "util/output_file.h"

namespace wshare {

// The archive of one model as it is written, front to back: its graph, its restore record,
// residuals and tensors. Where files go nowhere, it is only measured.
class ArchiveFile {
 public:
  // Will be blob number `blob` of the manifest. Throws Error(kIo).
  ArchiveFile(const BundleOutput& output, uint32_t blob, std::string name);

  // Appends `bytes`, aligned. Throws Error(kIo).
  Extent add(std::span<const std::byte> bytes);

  // The same for what comes in pieces: start(), any number of append(), then end().
  void start();
  void append(std::span<const std::byte> piece);
  Extent end() const { return {blob_, start_, size_ - start_}; }

  // Counts `bytes` that are not known yet, for a file that is only measured.
  Extent skip(uint64_t bytes);

  // Returns what the manifest says of it. Nothing can be added then.
  BlobRecord close();

 private:
  const BundleOutput& output_;
  uint32_t blob_;
  std::string name_;
  std::optional<OutputFile> file_;
  ContentHasher hasher_;
  uint64_t start_ = 0, size_ = 0;
};

}  // namespace wshare

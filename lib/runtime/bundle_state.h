#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "format/manifest.h"
#include "util/mapped_file.h"
#include "wshare/runtime.h"

namespace wshare {

struct Bundle::State {
  std::filesystem::path folder;
  Manifest manifest;
  std::vector<std::optional<MappedFile>> blobs;  // as in the manifest; only those that are needed
  Ort::PrepackedWeightsContainer packed{};       // thread-safe; must outlive the sessions
  mutable std::mutex mutex;
  std::map<std::string, ModelReport> reports;  // guarded by mutex
};

// Maps the file at `path`. Throws Error(kInvalid) if it has not `size` bytes, Error(kIo) if it is
// missing.
MappedFile open_checked(const std::filesystem::path& path, uint64_t size);

// The same; also throws Error(kInvalid) if the hash of its bytes is not `hash`.
MappedFile open_checked(const std::filesystem::path& path, uint64_t size, const ContentHash& hash);

}  // namespace wshare

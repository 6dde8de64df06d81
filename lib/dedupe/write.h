#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "dedupe/distinct.h"
#include "dedupe/plan.h"
#include "format/manifest.h"
#include "model/tensors.h"

namespace wshare {

struct WriteInput {
  std::vector<std::string> names;
  std::vector<std::string> folders;  // SourceRecord::folder of each model
  const std::vector<ScannedModel>* models = nullptr;
  const Contents* contents = nullptr;
  const Plan* plan = nullptr;
  std::vector<std::vector<uint32_t>> content_of;  // [model][tensor]; meaningful for placed tensors
};

// Writes all files of the bundle into `folder`, the manifest last, and returns the manifest.
//
// Throws Error(kIo) if something cannot be written or an input changed since it was scanned.
Manifest write_bundle(const WriteInput& input, const std::filesystem::path& folder,
                      unsigned threads);

}  // namespace wshare

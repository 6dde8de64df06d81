#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "format/manifest/manifest.h"
#include "wshare/remove.h"

namespace wshare {

// Writes into `output` the bundle that dedupe or extract-lora would make of the models and tasks in
// `manifest`, whose files lie in `folder`; returns the size of all files. Without `output` it
// writes nothing.
//
// Throws Error(kInvalid) if something in the bundle is damaged, Error(kIo) if it is missing or
// something cannot be written.
uint64_t compact_bundle(const Manifest& manifest, const std::filesystem::path& folder,
                        const std::optional<std::filesystem::path>& output,
                        const RemoveOptions& options);

}  // namespace wshare

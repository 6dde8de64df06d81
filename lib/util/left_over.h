#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "util/descriptor.h"

// What appears at its place as a whole is written beside it first, under a hidden name:
// ".NAME.wshare-abcdefghij". Its writer holds a lock (flock) on it, which ends with the process,
// however that ends. So a hidden name without a lock is what a killed writer of NAME left, and the
// next writer of NAME deletes it.

namespace wshare {

// Returns a hidden name for something that is to be called `name`, hardly ever the same twice.
std::string hidden_name(std::string_view name);

// Deletes what is left over from this user's killed writers of `name` in `folder`. What cannot be
// listed, locked or deleted stays: it harms nobody.
void clear_left_over(const std::filesystem::path& folder, std::string_view name);

// Makes a folder under a hidden name in `parent`, with what the umask leaves of `mode`, and returns
// it open and locked; `made` is its path. Throws Error(kIo) about `name` in `parent`.
Descriptor make_hidden_folder(const std::filesystem::path& parent, std::string_view name,
                              unsigned mode, std::filesystem::path& made);

// Removes `folder` with all that is in it, also while others put files there; returns true if it is
// gone. Follows no links.
bool remove_folder(const std::filesystem::path& folder);

}  // namespace wshare

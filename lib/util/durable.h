#pragma once

#include <filesystem>

// What the word "durable" means here, in one place: bytes by fdatasync on the descriptor that wrote
// them (OutputFile::finish), since no other one is told of an error that has already been reported;
// then the name, by fsync of the folder it stands in, before anything refers to it.

namespace wshare {

// Makes the names in a folder durable. A file system that has no such call is let off. Throws
// Error(kIo).
void sync_folder(int folder, const std::filesystem::path& shown_as);
void sync_folder(const std::filesystem::path& folder);

// The same after a commit, which is not undone where the system cannot make it durable.
void sync_folder_after_commit(const std::filesystem::path& folder);

// Does so for all folders below `folder`, and last for itself.
void sync_folders(const std::filesystem::path& folder);

}  // namespace wshare

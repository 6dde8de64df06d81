#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>

// What the word "durable" means here, in one place: bytes by fdatasync on the descriptor that wrote
// them (OutputFile::finish), since no other one is told of an error that has already been reported;
// then the name, by fsync of the folder it stands in, before anything refers to it. Where there are
// many, one syncfs does for them what it does well: see sync_all().

namespace wshare {

// Makes all that is on the file system of the open folder `folder` durable, in one go, and tells of
// every error since it was opened. Returns false, and has done nothing, where `count` files and
// folders, of `bytes` together, are better synced one by one:
//
// - They are few.
// - Much else waits for the disk, for which syncfs would wait, too: more than is written in the
// time
//   that syncs of so many files take.
// - Errors would not be told. Linux tells syncfs of failed transfers of any file from 5.8 on, of a
//   failed journal from 5.17 on; this trusts ext4, XFS and btrfs to (an overlay hides both).
//
// Throws Error(kIo), perhaps for a file of another program. Source: Linux, fs/sync.c and errseq_t;
// syncfs(2).
bool sync_all(int folder, size_t count, uint64_t bytes, const std::filesystem::path& shown_as);

// Makes the names in a folder durable. A file system that has no such call is let off. Throws
// Error(kIo).
void sync_folder(int folder, const std::filesystem::path& shown_as);
void sync_folder(const std::filesystem::path& folder);

// The same after a commit, which is not undone where the system cannot make it durable.
void sync_folder_after_commit(const std::filesystem::path& folder);

// Does so for `folder` and all folders below it.
void sync_folders(const std::filesystem::path& folder);

}  // namespace wshare

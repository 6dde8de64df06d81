#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// Archives as layers of images are: POSIX.1-2001 (ustar, with pax records for names that are long
// or no ASCII), sizes of 8 GiB and more as GNU tar writes them.

namespace wshare::tar {

struct Entry {
  std::string name;
  std::span<const std::byte> bytes;
  bool is_folder = false;
};

// Returns what stands before the bytes of an entry: no time, no owner; files 0644, folders 0755.
std::string header(std::string_view name, uint64_t size, bool is_folder);

// Zeros that fill the bytes of an entry up, and that end an archive.
std::span<const std::byte> padding(uint64_t size);
std::span<const std::byte> end();

// Returns the entries of `archive`, in its order; they point into it.
//
// Throws Error(kInvalid) if it is cut or damaged, Error(kUnsupported) if it has anything but files
// and folders.
std::vector<Entry> read(std::span<const std::byte> archive);

}  // namespace wshare::tar

#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

namespace wshare {

// The files that a restore is about to write, each with a number; nothing is written before all
// are known and one folder can hold them.
class FilePlan {
 public:
  // `output` is what messages begin paths with.
  explicit FilePlan(std::filesystem::path output) : output_(std::move(output)) {}

  // Adds a model at `path`, relative to the output. Throws Error(kInvalid) if its place is taken or
  // is none for a file.
  size_t add_model(const std::filesystem::path& path, uint64_t size);

  // Adds an external file, or returns its number if another model has it, too.
  size_t add_external(const std::filesystem::path& path, uint64_t size);

  // Throws Error(kInvalid) if a file would also have to be a folder, or a name is longer than file
  // systems take. In a folder that holds other files already (not `fresh`) also if a name is one
  // that users do not see or that commands mistake for something else: it begins with '.' or '-',
  // or has control characters. (A bundle from elsewhere must not leave .ssh/authorized_keys at
  // home.)
  void check(bool fresh) const;

  // Throws Error(kIo) if the disk of the output has not the room for all files.
  void check_room() const;

  const std::vector<std::filesystem::path>& paths() const { return paths_; }
  std::filesystem::path shown(size_t number) const { return output_ / paths_[number]; }

 private:
  size_t add(const std::filesystem::path& path, uint64_t size);

  std::filesystem::path output_;
  std::vector<std::filesystem::path> paths_;  // normal, relative
  std::unordered_map<std::string, size_t> number_of_;
  std::vector<bool> is_external_;
  std::vector<uint64_t> sizes_;
};

}  // namespace wshare

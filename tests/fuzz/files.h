#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>

#include "fuzz/fuzz.h"
#include "util/temporary_folder.h"

namespace wshare::fuzz {

// A folder of this process, below TMPDIR.
inline std::filesystem::path work_folder() {
  static const TemporaryFolder folder;
  return folder.path;
}

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_file(const std::filesystem::path& path, std::string_view text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary);
  file << text;
  expect(static_cast<bool>(file.flush()), "the work folder can be written to");
}

}  // namespace wshare::fuzz

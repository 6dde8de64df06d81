#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "format/manifest.h"

namespace wshare {

// A blob that takes the place of another one; its file has no name yet.
struct NewBlob {
  uint32_t blob = 0;  // in Manifest::blobs
  std::string bytes;
};

// Packs the restore records that need the file of model `base` anew, against `after` in place of
// `before`: each blob that has some becomes a new one with all its records and gaps. `manifest`
// then says where these lie in the new ones.
//
// Throws Error(kInvalid) if a record is damaged or lies among other things; Error(kIo) if a blob
// cannot be read.
std::vector<NewBlob> move_records(Manifest& manifest, const std::filesystem::path& folder,
                                  const std::string& base, std::string_view before,
                                  std::string_view after);

}  // namespace wshare

#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/draft.h"
#include "format/manifest/manifest.h"

namespace wshare {

// Returns the bytes of model `m` as it stands in the bundle, whose blobs are `blobs`.
std::string make_model_file(const Draft& draft, size_t m, const std::vector<BlobRecord>& blobs);

// Returns the record of model `m`, whose bytes in the bundle are `file`, without its source.
ModelRecord make_model_record(const Draft& draft, size_t m, std::string_view file);

}  // namespace wshare

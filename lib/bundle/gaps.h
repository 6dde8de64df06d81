#pragma once

#include <cstdint>
#include <vector>

#include "format/manifest/manifest.h"
#include "format/restore_record.h"

namespace wshare {

// Returns the numbers of the gaps that `record` names, in order.
std::vector<uint64_t> gaps_in(const RestoreRecord& record);

// Returns the blobs of `manifest` that `gaps` lie in, rising: SourceRecord::blobs of a record that
// lies in none of them.
//
// Throws Error(kInvalid) if there is no such gap.
std::vector<uint32_t> blobs_of_gaps(const Manifest& manifest, const std::vector<uint64_t>& gaps);

}  // namespace wshare

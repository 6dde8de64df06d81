#include "bundle/gaps.h"

#include <set>
#include <string>

#include "wshare/error.h"

namespace wshare {

std::vector<uint64_t> gaps_in(const RestoreRecord& record) {
  std::vector<uint64_t> gaps;
  for (const ExternalRecord& external : record.external) {
    for (const ExternalPiece& piece : external.pieces) {
      if (piece.kind == ExternalPiece::Kind::kGap) gaps.push_back(piece.value);
    }
  }
  return gaps;
}

std::vector<uint32_t> blobs_of_gaps(const Manifest& manifest, const std::vector<uint64_t>& gaps) {
  std::set<uint32_t> blobs;
  for (const uint64_t gap : gaps) {
    if (gap >= manifest.gaps.size()) {
      throw Error(ErrorCode::kInvalid,
                  "a restore record names gap " + std::to_string(gap) + ", there are " +
                      std::to_string(manifest.gaps.size()),
                  "'wshare verify' lists all damage");
    }
    blobs.insert(manifest.gaps[static_cast<size_t>(gap)].extent.blob);
  }
  return {blobs.begin(), blobs.end()};
}

}  // namespace wshare

#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "format/manifest/manifest.h"

namespace wshare {

// Stands for the name of what kernels packed, in findings.
inline constexpr char kPackedWeight[] = "packed weight";

// A range of a blob that the manifest gives a hash.
struct Claim {
  Extent extent;
  ContentHash hash;
  std::string tensor;  // or what else lies there
};

// Returns the claims on each blob of `manifest`, by offset and each once; a longer one comes before
// those that begin with it.
std::vector<std::vector<Claim>> claims_of(const Manifest& manifest);

// Claims at one offset of a blob, the longest first: what the others claim is its front.
using ClaimGroup = std::span<const Claim>;

// Returns the groups of `claims`, which are those on one blob as above and must outlive them.
std::vector<ClaimGroup> group_by_offset(const std::vector<Claim>& claims);

// Calls visit(claim, fits) for each claim of `group` on `blob`. Each byte is hashed once, however
// many claims there are.
void check_group(ClaimGroup group, std::span<const std::byte> blob,
                 const std::function<void(const Claim&, bool)>& visit);

}  // namespace wshare

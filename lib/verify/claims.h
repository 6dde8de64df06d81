#pragma once

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

}  // namespace wshare

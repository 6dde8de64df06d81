#pragma once

#include <string>
#include <vector>

#include "format/manifest/manifest.h"

namespace wshare {

// True if the ONNX Runtime of this process made the pack, or one of the same version.
bool is_of_this_release(const PackRecord& pack);

// Returns why no session of this ONNX Runtime on this CPU can be made over `pack`, as far as its
// record tells, or "". `model` is the hash of the file that its model has.
std::string why_unfit(const PackRecord& pack, const ContentHash& model);

// Returns why a session must not be made over `pack` where nothing shows that ONNX Runtime packs
// the same bytes, or "": this release made it.
std::string why_unknown(const PackRecord& pack);

// Returns the packs of a model in the order in which a session tries them: those of this release
// first, else as they are.
std::vector<const PackRecord*> in_order(const std::vector<PackRecord>& packs);

}  // namespace wshare

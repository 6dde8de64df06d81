#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "format/bundle_files.h"
#include "format/manifest/index.h"
#include "format/manifest/manifest.h"

namespace wshare {

// All of this asks no ONNX Runtime: `release` is the version of the one that makes the session.

// True if that one made the pack, or one of the same version.
bool is_of_release(const PackRecord& pack, std::string_view release);

// What of a session's options matters to packs.
struct PackUse {
  bool on_device = false;
  bool packing_off = false;
};

// Returns why no session that is made so can be made over any pack of `part`, or "".
std::string why_no_pack(const ModelPart& part, const PackUse& use);

// Returns why no session on this CPU can be made over `pack`, as far as its
// record tells, or "". `model` is the hash of the file that its model has.
std::string why_unfit(const PackRecord& pack, const ContentHash& model);

// Returns which file of the pack is missing, or "". Throws Error(kInvalid) if one of its blobs has
// another size.
std::string why_missing(const StoredFiles& files, const PackRecord& pack);

// Returns why a session must not be made over `pack` where nothing shows that ONNX Runtime packs
// the same bytes, or "": this release made it.
std::string why_unknown(const PackRecord& pack, std::string_view release);

// Returns the packs of a model in the order in which a session tries them: those of this release
// first, else as they are.
std::vector<const PackRecord*> in_order(const std::vector<PackRecord>& packs,
                                        std::string_view release);

}  // namespace wshare

#pragma once

#include <string>
#include <vector>

#include "format/manifest/manifest.h"

namespace wshare {

// What is left of a bundle without some of its models and tasks.
struct Remainder {
  Manifest manifest;
  std::vector<std::string> removed;  // names, in the order of the bundle
  // In blobs of tensors that stay: bytes that no model uses any more.
  uint64_t unused_bytes = 0;
};

// Returns `manifest` without the models and tasks `names`, without packs that no longer fit their
// model, and without the blobs that nothing left needs. A task takes the model of its own with it,
// and the other way round. What removed tensors leave in other blobs becomes gaps, so that every
// byte stays accounted for; gaps that restore records name keep their numbers.
//
// Throws Error(kInvalid) if there is no such model or task, tasks that stay need a model, or
// nothing would be left.
Remainder drop_models(const Manifest& manifest, const std::vector<std::string>& names);

}  // namespace wshare

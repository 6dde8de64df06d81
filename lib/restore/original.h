#pragma once

#include <string>
#include <vector>

#include "format/manifest/manifest.h"

namespace wshare {

// A model that the bundle gives back, from its models, its tasks or its archive.
struct Original {
  std::string name;
  const SourceRecord* source;
  const ModelRecord*
      model;  // whose .onnx the restore record is compressed against; null: `archived`
  std::vector<OriginalTensor> tensors;
  bool exact = true;  // false: some tensor is only approximated
  const ArchivedRecord* archived = nullptr;
};

// Returns all originals of the bundle: its models in order, tasks that none of these gives back,
// then archived models. Pointers lead into `manifest`.
std::vector<Original> originals_of(const Manifest& manifest);

// Throws Error(kInvalid) about `name`, or without a name about the bundle, if it is a part of
// another bundle.
void require_whole(const Manifest& manifest, const std::string& name);

// Returns the one called `name`. Throws Error(kInvalid) that lists the names if there is none, and
// says so if `manifest` has a task of that name that came without a model.
const Original& find_original(const Manifest& manifest, const std::vector<Original>& originals,
                              const std::string& name);

}  // namespace wshare

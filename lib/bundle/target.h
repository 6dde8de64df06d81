#pragma once

#include <filesystem>
#include <vector>

#include "model/scan.h"
#include "wshare/models.h"

namespace wshare {

// Refuses a target that is no place for a new bundle made of `inputs`.
//
// Throws Error(kIo) if it holds an input, is no folder, or exists already; with `replace` it may be
// a bundle with nothing else in it.
void check_target(const std::filesystem::path& bundle, const std::vector<ModelInput>& inputs,
                  bool replace);

// Throws Error(kIo) if one of `inputs` lies in the folder `bundle`.
void check_inputs_outside(const std::filesystem::path& bundle,
                          const std::vector<ModelInput>& inputs);

// The same for external data of `model`, which may lie in a folder below it: in the very bundle
// that would be replaced.
void check_external(const std::filesystem::path& bundle, const ScannedModel& model);

}  // namespace wshare

#pragma once

#include <optional>
#include <vector>

#include "run/inputs.h"
#include "run/named_model.h"
#include "run/openers.h"
#include "run/parity.h"

namespace wshare {

// Returns how the outputs of a session of `ours` compare with those of `theirs`, on the same
// inputs; where bits differ, also how much `theirs` differs from itself without optimisations (if
// it runs without, on `device`).
std::vector<ParityRow> compare_sessions(const NamedModel& ours, const Opener& open_ours,
                                        const NamedModel& theirs, const Opener& open_theirs,
                                        const InputOptions& inputs,
                                        const std::optional<Device>& device = std::nullopt);

}  // namespace wshare

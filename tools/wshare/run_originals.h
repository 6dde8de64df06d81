#pragma once

#include <filesystem>

#include "cli.h"
#include "run/job.h"

namespace wshare {

// Throws Error(kInvalid) if a file that `job` compares with belongs to none of its models,
// Error(kIo) if it does not exist.
void check_originals(const RunJob& job);

// Returns the job of the plain side beside `job`: the same models as files, those that it compares
// with, the others restored into `folder`. A base that extract-lora made itself has no original and
// is left out.
//
// Throws the errors of restore(); Error(kInvalid) if no model is left.
RunJob plain_side(const RunJob& job, const std::filesystem::path& folder, const Context& context);

}  // namespace wshare

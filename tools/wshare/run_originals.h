#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "cli.h"
#include "run/named_model.h"
#include "run/parity.h"
#include "run_options.h"

namespace wshare {

// The files that --against names, by model.
using Originals = std::map<std::string, std::filesystem::path>;

// Returns the file that each "NAME=original.onnx" names.
//
// Throws Error(kInvalid) if one is not of this form or a name is given twice.
Originals read_originals(const std::vector<std::string>& against);

// Throws Error(kInvalid) if one belongs to none of `models`, Error(kIo) if its file does not exist.
void check_originals(const Originals& originals, const std::vector<NamedModel>& models);

// Returns `models` as plain files: those in `originals`, the others restored from `bundle` into
// `folder`. A base that extract-lora made itself has no original and is left out.
//
// Throws the errors of restore(); Error(kInvalid) if none is left.
std::vector<NamedModel> find_plain(const std::filesystem::path& bundle,
                                   const std::vector<NamedModel>& models, Originals originals,
                                   const std::filesystem::path& folder, const Context& context);

// Returns how the outputs of each model in `originals` compare, in the order of `models`; both
// sides run where `device` says, with as many threads. Sets up the environment as `inputs` say, if
// that is not the default.
std::vector<ParityRow> compare_with_originals(const std::filesystem::path& bundle, Tier tier,
                                              const DeviceArguments& device,
                                              const std::vector<NamedModel>& models,
                                              const Originals& originals,
                                              const InputArguments& inputs,
                                              const ProgressFn& progress);

}  // namespace wshare

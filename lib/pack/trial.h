#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "run/inputs.h"
#include "runtime/pack_proof.h"

namespace wshare {

// A pack to be run beside a plain session of its model.
struct TrialJob {
  std::string model;
  std::filesystem::path packed, plain;  // the .onnx of each
  PackBytes bytes;
  InputOptions inputs;
};

struct Trial {
  std::string why_not;  // the pack must not be used; empty: it may
  std::string untried;  // why nothing could be compared
  // Outputs that a plain session gives otherwise at each run, so that there is nothing to compare.
  std::vector<std::string> random;
};

inline constexpr char kTrialJob[] = "try-pack";  // the name of a TrialJob

// Tries the pack in this process: where ONNX Runtime cannot read what the pack refers to, that may
// be the process's end (1.29 makes a session without a word, whose first run is a segmentation
// fault).
//
// Throws Error(kRuntime) if ONNX Runtime refuses the pack, Error(kIo) if a file cannot be read,
// Error(kInvalid) if inputs that are given contradict the model.
Trial try_pack(const TrialJob& job);

// Has the pack tried by a child process, which is `program` (run/ask_child.h). Throws what
// try_pack() throws; Error(kRuntime), too, if the child ends without an answer.
Trial try_pack_in_child(const std::filesystem::path& program, const TrialJob& job);

// The child's side.
nlohmann::ordered_json do_trial(const nlohmann::ordered_json& job);

}  // namespace wshare

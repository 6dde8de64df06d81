#include "run/compare_sessions.h"

#include <algorithm>
#include <string>

#include "run/first_run.h"
#include "runtime/ort_errors.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

// Fills in how much the original differs from itself without optimisations, where there is a
// difference to judge. An original that does not run so has none: outputs are compared all the
// same.
void add_noise(std::vector<ParityRow>& rows, const NamedModel& original,
               const std::vector<std::string>& names, const Inputs& inputs,
               const std::vector<Ort::Value>& optimised, const std::optional<Device>& device) {
  const auto differs = [](const ParityRow& row) { return !row.bit_equal; };
  if (std::none_of(rows.begin(), rows.end(), differs)) return;
  std::vector<Ort::Value> plain;
  try {
    const Opener open = plain_opener(device, 1, ORT_DISABLE_ALL);
    plain = run_once(original.name, open(original), inputs);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kRuntime) throw;
    return;
  }
  const std::vector<ParityRow> noise = compare_outputs(original.name, names, plain, optimised);
  for (size_t i = 0; i < rows.size(); ++i) {
    if (differs(rows[i])) rows[i].noise_abs_diff = noise[i].max_abs_diff;
  }
}

// By their places: the base of a task may have other names for its outputs. Of one that both name,
// the place must be the same.
bool same_places(const std::vector<std::string>& ours, const std::vector<std::string>& theirs) {
  if (ours.size() != theirs.size()) return false;
  for (size_t i = 0; i < ours.size(); ++i) {
    if (ours[i] == theirs[i]) continue;
    const bool is_elsewhere = std::find(theirs.begin(), theirs.end(), ours[i]) != theirs.end() ||
                              std::find(ours.begin(), ours.end(), theirs[i]) != ours.end();
    if (is_elsewhere) return false;
  }
  return true;
}

}  // namespace

std::vector<ParityRow> compare_sessions(const NamedModel& ours, const Opener& open_ours,
                                        const NamedModel& theirs, const Opener& open_theirs,
                                        const InputOptions& inputs,
                                        const std::optional<Device>& device) {
  const Runner our_runner = translate_errors(ours.name, [&] { return open_ours(ours); });
  const Runner their_runner =
      translate_errors(theirs.path.string(), [&] { return open_theirs(theirs); });
  const std::vector<std::string> names = our_runner.session->GetOutputNames();
  const std::vector<std::string> of_theirs = their_runner.session->GetOutputNames();
  if (!(ours.is_task() ? same_places(names, of_theirs) : names == of_theirs) ||
      our_runner.session->GetInputNames() != their_runner.session->GetInputNames()) {
    throw Error(ErrorCode::kInvalid,
                in_quotes(theirs.path.string()) + ": has other inputs or outputs than model " +
                    in_quotes(ours.name) + " of the bundle",
                "--against wants the file that this model was made from");
  }
  const FirstRun first = run_first(ours, our_runner, inputs);
  const std::vector<Ort::Value> their_outputs =
      run_once(theirs.path.string(), their_runner, first.inputs);
  std::vector<ParityRow> rows = compare_outputs(ours.name, names, first.outputs, their_outputs);
  add_noise(rows, theirs, names, first.inputs, their_outputs, device);
  return rows;
}

}  // namespace wshare

#include "pack/trial.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "run/ask_child.h"
#include "run/compare_sessions.h"
#include "run/first_run.h"
#include "run/job_json.h"
#include "runtime/ort_errors.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using Json = nlohmann::ordered_json;

// Makes `session` as the loader does; returns why it takes no session of this pack, or "".
std::string open_as_loader(const TrialJob& job, Ort::Session& session) {
  Ort::SessionOptions options = default_ort_options();
  options.SetGraphOptimizationLevel(ORT_DISABLE_ALL);
  return translate_errors(job.model,
                          [&] { return make_proven(job.packed, job.bytes, "", options, session); });
}

// Returns the outputs that a plain session gives otherwise at each run: those of random operators
// without a seed. (Sessions of one process may agree: each begins with the process's seed.) Chance
// may make one equal once.
std::vector<std::string> find_random(const NamedModel& plain, const InputOptions& inputs) {
  constexpr int kTries = 3;
  const Runner runner = plain_opener()(plain);
  const FirstRun first = run_first(plain, runner, inputs);
  std::vector<std::string> random;
  for (int i = 0; i < kTries; ++i) {
    for (const ParityRow& row :
         compare_outputs(plain.name, runner.session->GetOutputNames(),
                         run_once(plain.name, runner, first.inputs), first.outputs)) {
      const bool is_known = std::find(random.begin(), random.end(), row.output) != random.end();
      if (!row.bit_equal && !is_known) random.push_back(row.output);
    }
  }
  return random;
}

void compare(const TrialJob& job, const Opener& open_packed, Trial& trial) {
  const NamedModel plain{job.model, job.plain};
  std::vector<ParityRow> rows =
      compare_sessions({job.model, job.packed}, open_packed, plain, plain_opener(), job.inputs);
  std::erase_if(rows, [](const ParityRow& row) { return row.bit_equal; });
  if (rows.empty()) return;
  trial.random = find_random(plain, job.inputs);
  for (const ParityRow& row : rows) {
    if (std::find(trial.random.begin(), trial.random.end(), row.output) != trial.random.end())
      continue;
    trial.why_not = "output " + in_quotes(row.output) + " differs from a plain session's";
  }
}

}  // namespace

Trial try_pack(const TrialJob& job) {
  Trial trial;
  const auto session = std::make_shared<Ort::Session>(nullptr);
  trial.why_not = open_as_loader(job, *session);
  if (!trial.why_not.empty()) return trial;
  const Opener open = [&](const NamedModel&) {
    return Runner{session, std::make_shared<Ort::RunOptions>()};
  };
  try {
    compare(job, open, trial);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kIo || error.code() == ErrorCode::kInvalid) throw;
    trial.untried = error.what() + (error.hint().empty() ? "" : "; " + error.hint());
  }
  return trial;
}

Trial try_pack_in_child(const std::filesystem::path& program, const TrialJob& job) {
  const Json answer = ask_child(program,
                                {{"job", kTrialJob},
                                 {"model", job.model},
                                 {"packed", job.packed.string()},
                                 {"plain", job.plain.string()},
                                 {"packed_bytes", job.bytes.packed},
                                 {"own_bytes", job.bytes.own},
                                 {"file_bytes", job.bytes.file},
                                 {"inputs", to_json(job.inputs)}},
                                {});
  return {answer.at("why_not"), answer.at("untried"), answer.at("random")};
}

Json do_trial(const Json& job) {
  silence_log();
  const auto path = [&](const char* key) { return job.at(key).get<std::string>(); };
  const auto bytes = [&](const char* key) { return job.at(key).get<uint64_t>(); };
  const PackBytes sizes{bytes("packed_bytes"), bytes("own_bytes"), bytes("file_bytes")};
  const Trial trial = try_pack(
      {path("model"), path("packed"), path("plain"), sizes, inputs_from(job.at("inputs"))});
  return {{"why_not", trial.why_not}, {"untried", trial.untried}, {"random", trial.random}};
}

}  // namespace wshare

#include "pack/trial.h"

#include <memory>
#include <nlohmann/json.hpp>

#include "run/ask_child.h"
#include "run/compare_sessions.h"
#include "runtime/ort_errors.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using Json = nlohmann::ordered_json;

// A session of the optimised model, as the loader opens it.
Runner open_optimised(const NamedModel& model) {
  Ort::SessionOptions options = default_ort_options();
  options.SetGraphOptimizationLevel(ORT_DISABLE_ALL);
  return {std::make_shared<Ort::Session>(environment(), model.path.c_str(), options),
          std::make_shared<Ort::RunOptions>()};
}

}  // namespace

Trial try_pack(const TrialJob& job) {
  Trial trial;
  translate_errors(job.model, [&] { open_optimised({job.model, job.packed}); });
  try {
    for (const ParityRow& output :
         compare_sessions({job.model, job.packed}, open_optimised, {job.model, job.plain},
                          plain_opener(), InputOptions())) {
      if (output.bit_equal) continue;
      trial.why_not = "output " + in_quotes(output.output) + " differs from a plain session's";
    }
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kIo) throw;
    trial.untried = error.what();
  }
  return trial;
}

Trial try_pack_in_child(const std::filesystem::path& program, const TrialJob& job) {
  const Json answer = ask_child(program,
                                {{"job", kTrialJob},
                                 {"model", job.model},
                                 {"packed", job.packed.string()},
                                 {"plain", job.plain.string()}},
                                {});
  return {answer.value("why_not", ""), answer.value("untried", "")};
}

Json do_trial(const Json& job) {
  silence_log();
  const auto path = [&](const char* key) { return job.at(key).get<std::string>(); };
  const Trial trial = try_pack({path("model"), path("packed"), path("plain")});
  return {{"why_not", trial.why_not}, {"untried", trial.untried}};
}

}  // namespace wshare

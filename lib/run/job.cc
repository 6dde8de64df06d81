#include "run/job.h"

#include <algorithm>
#include <optional>

#include "run/compare_sessions.h"
#include "run/openers.h"
#include "util/text.h"

namespace wshare {
namespace {

std::optional<Device> open_device(const DeviceChoice& choice) {
  if (choice.ep == "cpu") return std::nullopt;
  return Device::open(choice.ep, choice.library, choice.number, choice.options);
}

void set_up(const RunJob& job) {
  EnvironmentOptions shared;
  if (job.shared_threads > 0) shared.threads = SharedThreads{static_cast<int>(job.shared_threads)};
  shared.arena = job.shared_arena;
  if (!job.bundle.empty()) set_up_environment(shared);
  silence_log();
}

std::vector<ParityRow> compare_outputs(const RunJob& job, Bundle& bundle,
                                       const MeasureOptions& options) {
  std::vector<ParityRow> all;
  const Opener open_shared = shared_opener(bundle, job.tier, options.device, job.device.copies);
  const Opener open_original = plain_opener(options.device, options.threads);
  for (const NamedModel& model : job.models) {
    const auto original = job.against.find(model.name);
    if (original == job.against.end()) continue;
    if (options.progress) options.progress("comparing outputs of " + in_quotes(model.name));
    const auto rows = compare_sessions(model, open_shared, {model.name, original->second},
                                       open_original, options.inputs, options.device);
    all.insert(all.end(), rows.begin(), rows.end());
  }
  return all;
}

}  // namespace

RunAnswer do_job(const RunJob& job, const TellFn& tell) {
  set_up(job);
  MeasureOptions options{.sessions = job.sessions,
                         .repeat = job.repeat,
                         .max_seconds = job.max_seconds,
                         .threads = static_cast<int>(std::max(job.shared_threads, 1U)),
                         .inputs = job.inputs,
                         .device = open_device(job.device),
                         .progress = tell};
  if (job.bundle.empty())
    return {measure(job.models, plain_opener(options.device, options.threads), options), {}};
  Bundle bundle = Bundle::open(job.bundle);
  options.shared_on_device = [&bundle] { return bundle.report().device_bytes(); };
  RunAnswer answer;
  std::optional<MemoryWatch> watch;
  if (!options.device) options.watch = &watch.emplace(job.bundle, job.shared_arena);
  answer.measurement = measure(
      job.models, shared_opener(bundle, job.tier, options.device, job.device.copies), options);
  answer.measurement.models = bundle.report().models;
  if (watch) {
    tell("finding out where the memory is");
    answer.measurement.parts =
        watch->gone([&](const std::string& model) { return open_bare(bundle, model); });
  }
  answer.parity = compare_outputs(job, bundle, options);
  return answer;
}

}  // namespace wshare

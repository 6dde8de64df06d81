#include "run/measure.h"

#include <algorithm>
#include <map>
#include <set>

#include "run/first_run.h"
#include "runtime/ort_errors.h"
#include "util/stopwatch.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

struct Opened {
  const NamedModel* model;
  Runner runner;
};

void tell(const MeasureOptions& options, const std::string& what, size_t i, size_t count) {
  if (!options.progress) return;
  options.progress(what + " " + std::to_string(i + 1) + " of " + std::to_string(count));
}

std::vector<Opened> open_all(const std::vector<NamedModel>& models, const Opener& open,
                             const MeasureOptions& options, Measurement& result) {
  std::vector<Opened> opened;
  std::set<const Ort::Session*> distinct;
  for (const NamedModel& model : models) {
    for (unsigned i = 0; i < options.sessions; ++i) {
      tell(options, "opening session", opened.size(), models.size() * options.sessions);
      const uint64_t before = measure_memory().anonymous;
      const Stopwatch watch;
      opened.push_back({&model, translate_errors(model.name, [&] { return open(model); })});
      const double created = watch.milliseconds();
      const uint64_t after = measure_memory().anonymous;
      result.sessions.push_back({model.session_model(), created, 0, 0,
                                 model.is_task() ? model.name : "", model.shares_session,
                                 after > before ? after - before : 0});
      const auto& clock = opened.back().runner.clock;
      if (clock != nullptr) result.sessions.back().stages = clock->stages(created);
      distinct.insert(opened.back().runner.session.get());
    }
  }
  result.session_count = distinct.size();
  return opened;
}

// Runs each session for the first time, and returns what each model runs on.
std::map<const NamedModel*, Inputs> run_all_first(const std::vector<Opened>& opened,
                                                  const MeasureOptions& options,
                                                  Measurement& result) {
  std::map<const NamedModel*, Inputs> inputs;
  for (size_t i = 0; i < opened.size(); ++i) {
    tell(options, "first run of session", i, opened.size());
    const NamedModel& model = *opened[i].model;
    const auto known = inputs.find(&model);
    if (known == inputs.end()) {
      FirstRun first = run_first(model, opened[i].runner, options.inputs);
      result.sessions[i].first_run_ms = first.milliseconds;
      inputs.emplace(&model, std::move(first.inputs));
    } else {
      const Stopwatch watch;
      run_once(model.name, opened[i].runner, known->second);
      result.sessions[i].first_run_ms = watch.milliseconds();
    }
  }
  return inputs;
}

// Returns what all sessions hold on their device, once where they share it.
uint64_t bytes_on_device(const std::vector<Opened>& opened, const MeasureOptions& options) {
  if (!options.device) return 0;
  uint64_t bytes = options.shared_on_device ? options.shared_on_device() : 0;
  std::set<const Ort::Session*> seen;
  for (const Opened& each : opened) {
    if (!seen.insert(each.runner.session.get()).second) continue;
    const auto use = options.device->use_of(*each.runner.session);
    bytes += use ? use->held : 0;
  }
  return bytes;
}

std::vector<MemoryWatch::OfModel> sessions_of(const std::vector<Opened>& opened) {
  std::vector<MemoryWatch::OfModel> sessions;
  for (const Opened& each : opened)
    sessions.push_back({each.model->session_model(), each.runner.session.get()});
  return sessions;
}

}  // namespace

Measurement measure(const std::vector<NamedModel>& models, const Opener& open,
                    const MeasureOptions& options) {
  Measurement result;
  const std::vector<Opened> opened = open_all(models, open, options, result);
  if (options.watch != nullptr) options.watch->made(sessions_of(opened));
  std::vector<KnownInputs> known;
  for (const Opened& one : opened)
    known.push_back({one.model->names(), one.runner.session->GetInputNames()});
  check_used(options.inputs, known);
  const std::map<const NamedModel*, Inputs> inputs = run_all_first(opened, options, result);
  result.memory = measure_memory();
  result.threads = count_threads();
  result.memory.device = bytes_on_device(opened, options);
  const double seconds_each = options.max_seconds / static_cast<double>(opened.size());
  for (size_t i = 0; i < opened.size(); ++i) {
    std::vector<double> times;
    const Stopwatch all;
    for (unsigned run = 0; run < options.repeat; ++run) {
      if (run > 0 && all.seconds() > seconds_each) {
        result.cut_short = true;
        break;
      }
      const Stopwatch watch;
      run_once(opened[i].model->name, opened[i].runner, inputs.at(opened[i].model));
      times.push_back(watch.milliseconds());
    }
    SessionFigures& figures = result.sessions[i];
    const auto [least, most] = std::minmax_element(times.begin(), times.end());
    if (!times.empty()) figures.run_ms_min = *least, figures.run_ms_max = *most;
    figures.run_ms_median = median(std::move(times));
  }
  if (options.watch != nullptr) options.watch->ran(sessions_of(opened), result.memory);
  return result;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace wshare

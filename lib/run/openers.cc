#include "run/openers.h"

#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/ort_errors.h"
#include "runtime/session_log.h"
#include "runtime/thread_room.h"
#include "util/text.h"

namespace wshare {
namespace {

LogFunction log_to(const std::shared_ptr<StageClock>& clock) {
  return [clock](OrtLoggingLevel, std::string_view message) { clock->add(message); };
}

// A stock session, and what it logs to.
struct PlainSession {
  explicit PlainSession(LogFunction next) : log(std::move(next)) {}

  SessionLog log;
  Ort::Session session{nullptr};
};

// Runs are not to be logged: only creation is.
std::shared_ptr<Ort::RunOptions> quiet(Ort::RunOptions options) {
  options.SetRunLogSeverityLevel(ORT_LOGGING_LEVEL_FATAL);
  return std::make_shared<Ort::RunOptions>(std::move(options));
}

}  // namespace

Opener shared_opener(Bundle& bundle, Tier tier, const std::optional<Device>& device,
                     DeviceCopies copies) {
  // Of each base, its sessions; of each base and task, how many it has taken.
  struct State {
    std::map<std::string, std::vector<TaskSession>> sessions;
    std::map<std::pair<std::string, std::string>, size_t> taken;
  };
  const auto state = std::make_shared<State>();
  return [&bundle, tier, device, copies, state](const NamedModel& model) {
    const auto clock = std::make_shared<StageClock>();
    const SessionOptions options{tier, default_ort_options(), device, copies, log_to(clock)};
    const std::string& of = model.session_model();
    if (!model.shares_session) {
      const auto session = std::make_shared<Session>(bundle.session(of, options));
      return Runner{std::shared_ptr<Ort::Session>(session, &**session), quiet({}), nullptr, "",
                    clock};
    }
    std::vector<TaskSession>& sessions = state->sessions[of];
    const std::string task = model.is_task() ? model.name : "";
    const size_t number = state->taken[{of, task}]++;
    if (number == sessions.size()) sessions.push_back(bundle.task_session(of, options));
    const auto session = std::make_shared<TaskSession>(sessions[number]);
    return Runner{std::shared_ptr<Ort::Session>(session, &session->session()),
                  quiet(session->options(task)), device ? session : nullptr, task, clock};
  };
}

Session open_bare(Bundle& bundle, const std::string& model) {
  SessionOptions options{Tier::kCompact, default_ort_options()};
  options.ort.SetGraphOptimizationLevel(ORT_DISABLE_ALL);
  return bundle.session(model, options);
}

Opener plain_opener(const std::optional<Device>& device, int threads,
                    GraphOptimizationLevel level) {
  return [=](const NamedModel& model) {
    require_thread_room(in_quotes(model.path.string()), threads);
    return translate_errors(model.path.string(), [&] {
      Ort::SessionOptions options = default_ort_options(threads);
      if (device) device->append_to(options);
      options.SetGraphOptimizationLevel(level);
      const auto clock = std::make_shared<StageClock>();
      const auto made = std::make_shared<PlainSession>(log_to(clock));
      made->log.attach(options);
      made->session = Ort::Session(environment(), model.path.c_str(), options);
      return Runner{std::shared_ptr<Ort::Session>(made, &made->session), quiet({}), nullptr, "",
                    clock};
    });
  };
}

Ort::SessionOptions default_ort_options(int threads) {
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(threads);
  options.SetInterOpNumThreads(1);
  return options;
}

void silence_log() { environment().UpdateEnvWithCustomLogLevel(ORT_LOGGING_LEVEL_FATAL); }

}  // namespace wshare

#include "runtime/environment.h"

#include <onnxruntime_session_options_config_keys.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>

#include "runtime/ort_errors.h"
#include "runtime/smallest_model.h"
#include "runtime/thread_room.h"
#include "util/text.h"
#include "wshare/error.h"

// ONNX Runtime has one environment per process: an Ort::Env that is made later is the same one, and
// what it was to be made with is dropped without a word. So what sessions share is decided once,
// and where someone else was first, that is found out and refused.
//
// Which of a session's options contradict that, ONNX Runtime does not say either: it takes one and
// drops the other. What can be read (config entries) is honoured or refused here, one by one. What
// cannot be read (what has a setter of its own) is in environment.h, and what providers an options
// object holds is seen by where the nodes of the session went.

namespace wshare {
namespace {

struct Made {
  Ort::Env env;
  EnvironmentOptions options;
};

std::mutex mutex;
Made* made = nullptr;  // guarded by mutex; set once, and never destroyed

constexpr OrtLoggingLevel kLevel = ORT_LOGGING_LEVEL_ERROR;
constexpr char kName[] = "wshare";

Ort::Env make_env(const std::optional<SharedThreads>& threads) {
  if (!threads) return Ort::Env(kLevel, kName);
  const unsigned cores = std::max(std::thread::hardware_concurrency(), 1U);
  require_thread_room("shared threads",
                      threads->intra_op > 0 ? threads->intra_op : static_cast<int>(cores));
  Ort::ThreadingOptions options;
  options.SetGlobalIntraOpNumThreads(threads->intra_op);
  options.SetGlobalInterOpNumThreads(threads->inter_op);
  return Ort::Env(options, kLevel, kName);
}

// ONNX Runtime gives the environment that is there, and says only to a session that wants shared
// threads that it has none.
void check_has_threads(Ort::Env& env) {
  Ort::SessionOptions options;
  options.DisablePerSessionThreads();
  try {
    const Ort::Session session(env, kSmallestModel.data(), kSmallestModel.size(), options);
  } catch (const Ort::Exception& exception) {
    if (std::string_view(exception.what()).find("GlobalThreadPools") == std::string_view::npos)
      throw;
    throw Error(ErrorCode::kInvalid,
                "shared threads: this process has an environment of ONNX Runtime without them",
                "call set_up_environment() before anything else makes an Ort::Env");
  }
}

void add_arena(Ort::Env& env) {
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  env.CreateAndRegisterAllocator(memory, nullptr);
}

// To be called with the mutex held, and no environment yet.
Made& make(const EnvironmentOptions& options) {
  Ort::Env env = make_env(options.threads);
  if (options.threads) check_has_threads(env);
  if (options.arena) add_arena(env);
  made = new Made{std::move(env), options};
  return *made;
}

Made& require_made() {
  const std::lock_guard lock(mutex);
  return made == nullptr ? make({}) : *made;
}

bool is(const Ort::SessionOptions& options, const char* entry, const char* value) {
  return options.HasConfigEntry(entry) && options.GetConfigEntry(entry) == value;
}

[[noreturn]] void refuse(const std::string& model, const std::string& entry,
                         const Ort::SessionOptions& options, const std::string& why,
                         const std::string& hint) {
  throw Error(
      ErrorCode::kUnsupported,
      in_quotes(model) + ": " + entry + "=" + options.GetConfigEntry(entry.c_str()) + ": " + why,
      hint);
}

void check_weights(const std::string& model, const SessionOptions& options) {
  const Ort::SessionOptions& ort = options.ort;
  if (ort.HasConfigEntry(kOrtSessionOptionsModelExternalInitializersFileFolderPath)) {
    refuse(model, kOrtSessionOptionsModelExternalInitializersFileFolderPath, ort,
           "weights are those of the bundle; some would be read from there instead",
           "leave it out");
  }
  if (options.tier == Tier::kCompact && is(ort, kOrtSessionOptionsConfigDisablePrepacking, "0")) {
    refuse(model, kOrtSessionOptionsConfigDisablePrepacking, ort, "the compact tier packs nothing",
           "leave it out, or take another tier");
  }
}

// Entries of a pool of the session's own, which there is none of. Before 1.23 nobody could list
// entries, so these are asked for by name.
const char* const kPoolEntries[] = {kOrtSessionOptionsConfigAllowInterOpSpinning,
                                    kOrtSessionOptionsConfigAllowIntraOpSpinning,
                                    kOrtSessionOptionsConfigIntraOpThreadAffinities};
constexpr unsigned kListsEntries = 23;

constexpr char kNoPool[] = "all sessions share the threads of the environment";

void check_threads(const std::string& model, const Ort::SessionOptions& ort) {
  if (runtime_release() < kListsEntries) {
    for (const char* const entry : kPoolEntries) {
      if (ort.HasConfigEntry(entry)) refuse(model, entry, ort, kNoPool, "leave it out");
    }
    return;
  }
  OrtKeyValuePairs* found = nullptr;
  Ort::ThrowOnError(Ort::GetApi().GetSessionOptionsConfigEntries(ort, &found));
  const auto unordered = Ort::KeyValuePairs(found).GetKeyValuePairs();
  for (const auto& [key, value] : std::map(unordered.begin(), unordered.end())) {
    if (!key.starts_with("session.intra_op") && !key.starts_with("session.inter_op")) continue;
    refuse(model, key, ort, kNoPool, "leave it out");
  }
}

}  // namespace

void set_up_environment(const EnvironmentOptions& options) {
  if (options.threads && (options.threads->intra_op < 0 || options.threads->inter_op < 0)) {
    throw Error(ErrorCode::kInvalid,
                "shared threads: " +
                    std::to_string(std::min(options.threads->intra_op, options.threads->inter_op)) +
                    " is no number of threads");
  }
  const std::lock_guard lock(mutex);
  if (made == nullptr) {
    translate_errors("environment", [&] { make(options); });
  } else if (made->options != options) {
    throw Error(ErrorCode::kInvalid, "the environment was made before, with other options",
                "call set_up_environment() before the first bundle or device is opened");
  }
}

Ort::Env& environment() { return require_made().env; }

Ort::SessionOptions join_environment(const std::string& model, const SessionOptions& options) {
  check_weights(model, options);
  const EnvironmentOptions& shared = require_made().options;
  Ort::SessionOptions ort = options.ort.Clone();
  if (shared.threads) {
    check_threads(model, ort);
    ort.DisablePerSessionThreads();
  }
  if (shared.arena && !options.device &&
      !ort.HasConfigEntry(kOrtSessionOptionsConfigUseEnvAllocators))
    ort.AddConfigEntry(kOrtSessionOptionsConfigUseEnvAllocators, "1");
  ort.AddConfigEntry(kOrtSessionOptionsRecordEpGraphAssignmentInfo, "1");
  return ort;
}

void check_providers(const std::string& model, const SessionOptions& options,
                     const Ort::Session& session) {
  constexpr std::string_view kCpu = "CPUExecutionProvider";
  constexpr unsigned kTellsAssignments = 24;  // before, where nodes went stays unknown
  if (runtime_release() < kTellsAssignments) return;
  const std::string own = options.device ? options.device->provider() : "";
  for (const Ort::ConstEpAssignedSubgraph& part : session.GetEpGraphAssignmentInfo()) {
    const std::string provider = part.GetEpName();
    if (provider == kCpu || provider == own) continue;
    throw Error(ErrorCode::kUnsupported,
                in_quotes(model) + ": the session options name provider " + in_quotes(provider) +
                    ", which would make copies of shared weights for itself",
                "give it as the device of the session (--ep, SessionOptions::device)");
  }
}

}  // namespace wshare

#include "runtime/session_log.h"

// The messages are those of SaveInitializedTensors() in ONNX Runtime's session_state_utils.cc, 1.23
// to 1.32. Should a version say it in other words, nothing is found, and the count of bytes alone
// decides (device_session.cc).

namespace wshare {
namespace {

constexpr std::string_view kUsed = "Using user supplied initializer with name (";
constexpr std::string_view kRefused = "Cannot use user supplied initializer with name: (";
constexpr std::string_view kReason = ") because the ORT planned memory location device Device:[";
constexpr std::string_view kOnHost = "DeviceType:0 ";

void ORT_API_CALL receive(void* log, OrtLoggingLevel level, const char*, const char*, const char*,
                          const char* message) {
  static_cast<SessionLog*>(log)->add(level, message);
}

}  // namespace

void SessionLog::attach(Ort::SessionOptions& options) {
  Ort::ThrowOnError(Ort::GetApi().SetUserLoggingFunction(options, receive, this));
  options.SetLogSeverityLevel(ORT_LOGGING_LEVEL_INFO);
}

void SessionLog::close() {
  const std::lock_guard lock(mutex_);
  open_ = false;
}

std::map<std::string, Taken, std::less<>> SessionLog::taken() const {
  const std::lock_guard lock(mutex_);
  return taken_;
}

void SessionLog::add(OrtLoggingLevel level, std::string_view message) {
  if (next_) next_(level, message);
  read(message);
}

void SessionLog::read(std::string_view message) {
  const size_t used = message.find(kUsed), refused = message.find(kRefused);
  if (used == message.npos && refused == message.npos) return;
  const std::lock_guard lock(mutex_);
  if (!open_) return;
  if (used != message.npos) {
    const std::string_view name = message.substr(used + kUsed.size());
    taken_.emplace(name.substr(0, name.rfind(").")), Taken::kInPlace);
    return;
  }
  const std::string_view name = message.substr(refused + kRefused.size());
  const size_t end = name.find(kReason);
  if (end == name.npos) return;
  const bool on_host = name.substr(end + kReason.size()).starts_with(kOnHost);
  // A refusal counts for more than a use: in one of several scopes it is a copy all the same.
  taken_.insert_or_assign(std::string(name.substr(0, end)),
                          on_host ? Taken::kPlannedOnHost : Taken::kPlannedElsewhere);
}

}  // namespace wshare

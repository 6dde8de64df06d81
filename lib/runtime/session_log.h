#pragma once

#include <onnxruntime_cxx_api.h>

#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "wshare/runtime.h"

namespace wshare {

// What ONNX Runtime did with an initializer that it was handed.
enum class Taken {
  kInPlace,
  kPlannedOnHost,     // refused: nodes on the CPU use it
  kPlannedElsewhere,  // refused: nodes on another device use it
};

// Reads the log of a session while it is made, the only place where ONNX Runtime says which of the
// initializers it took. Must outlive the session.
class SessionLog {
 public:
  // All messages are passed on to `next`, if there is one.
  explicit SessionLog(LogFunction next = nullptr) : next_(std::move(next)) {}

  // Makes sessions with `options` write to this log, and nowhere else.
  void attach(Ort::SessionOptions& options);

  // Ends the reading; what comes later is only passed on.
  void close();

  // Returns what became of each initializer; one of which ONNX Runtime said nothing is missing.
  std::map<std::string, Taken, std::less<>> taken() const;

  // Takes one message of ONNX Runtime.
  void add(OrtLoggingLevel level, std::string_view message);

 private:
  void read(std::string_view message);

  const LogFunction next_;
  mutable std::mutex mutex_;
  bool open_ = true;
  std::map<std::string, Taken, std::less<>> taken_;
};

}  // namespace wshare

#pragma once

#include <onnxruntime_cxx_api.h>

#include <map>
#include <mutex>
#include <string>
#include <string_view>

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
  // Makes sessions with `options` write to this log, and nowhere else.
  void attach(Ort::SessionOptions& options);

  // Ends the reading; what comes later is dropped.
  void close();

  // Returns what became of each initializer; one of which ONNX Runtime said nothing is missing.
  std::map<std::string, Taken, std::less<>> taken() const;

  // Takes one message of ONNX Runtime.
  void add(std::string_view message);

 private:
  mutable std::mutex mutex_;
  bool open_ = true;
  std::map<std::string, Taken, std::less<>> taken_;
};

}  // namespace wshare

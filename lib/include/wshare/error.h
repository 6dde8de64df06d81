#pragma once

#include <stdexcept>
#include <string>

namespace wshare {

// What went wrong, in the order of the exit codes of the command line (docs/cli.md).
enum class ErrorCode {
  kIo = 3,           // a file cannot be read or written
  kInvalid = 4,      // an input breaks its format, or two inputs contradict each other
  kUnsupported = 5,  // the input may be right, but this build or version cannot handle it
  kRuntime = 6,      // ONNX Runtime reported an error
};

// The only exception type that wshare throws of its own.
//
// The message is one line: subject first, then what is wrong. `hint` says what the user can do, or
// is empty.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message, std::string hint = {})
      : std::runtime_error(message), code_(code), hint_(std::move(hint)) {}

  ErrorCode code() const { return code_; }
  const std::string& hint() const { return hint_; }

 private:
  ErrorCode code_;
  std::string hint_;
};

}  // namespace wshare

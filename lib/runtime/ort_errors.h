#pragma once

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>

#include "util/text.h"
#include "util/visible.h"
#include "wshare/error.h"

namespace wshare {

// Returns a message of ONNX Runtime on one line, safe to show.
inline std::string one_line(std::string message) {
  std::replace(message.begin(), message.end(), '\n', ' ');
  return visible(message);
}

// How messages start that are about a function which this ONNX Runtime does not have.
inline constexpr char kTooOld[] = "ONNX Runtime is too old: ";
inline constexpr char kTooOldHint[] =
    "give a newer ONNX Runtime (--onnxruntime, WSHARE_ONNXRUNTIME)";

// The first release that keeps packed weights in a file.
inline constexpr unsigned kFirstWithPacks = 21;

// Returns N of the version "1.N.P"; 0 of any other text.
inline unsigned release_in(std::string_view version) {
  unsigned release = 0;
  if (version.starts_with("1."))
    std::from_chars(version.data() + 2, version.data() + version.size(), release);
  return release;
}

// Returns the version of the ONNX Runtime in use.
inline const char* runtime_version() { return OrtGetApiBase()->GetVersionString(); }

// Returns N of the version 1.N of it.
inline unsigned runtime_release() { return release_in(runtime_version()); }

// Throws Error(kUnsupported) unless the ONNX Runtime in use is 1.`release` or newer: `what` needs
// it ("packs need").
inline void require_release(unsigned release, const std::string& what) {
  if (runtime_release() >= release) return;
  throw Error(ErrorCode::kUnsupported,
              kTooOld + what + " 1." + std::to_string(release) + " or newer, in use is " +
                  OrtGetApiBase()->GetVersionString(),
              kTooOldHint);
}

// Returns body(); an Ort::Exception becomes Error(kRuntime) with `subject` in front, on one line,
// or Error(kUnsupported) where this ONNX Runtime lacks a function.
template <typename Body>
auto translate_errors(std::string_view subject, const Body& body) {
  try {
    return body();
  } catch (const Ort::Exception& exception) {
    const std::string message = in_quotes(subject) + ": " + one_line(exception.what());
    if (std::string_view(exception.what()).starts_with(kTooOld))
      throw Error(ErrorCode::kUnsupported, message, kTooOldHint);
    throw Error(ErrorCode::kRuntime, message);
  }
}

}  // namespace wshare

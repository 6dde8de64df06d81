#pragma once

#include <onnxruntime_cxx_api.h>

#include <algorithm>
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

// Returns body(); an Ort::Exception becomes Error(kRuntime) with `subject` in front, on one line.
template <typename Body>
auto translate_errors(std::string_view subject, const Body& body) {
  try {
    return body();
  } catch (const Ort::Exception& exception) {
    throw Error(ErrorCode::kRuntime, in_quotes(subject) + ": " + one_line(exception.what()));
  }
}

}  // namespace wshare

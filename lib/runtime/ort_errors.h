#pragma once

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "util/text.h"
#include "util/visible.h"
#include "wshare/error.h"

namespace wshare {

// Returns body(); an Ort::Exception becomes Error(kRuntime) with `subject` in front, on one line.
template <typename Body>
auto translate_errors(std::string_view subject, const Body& body) {
  try {
    return body();
  } catch (const Ort::Exception& exception) {
    std::string message = exception.what();
    std::replace(message.begin(), message.end(), '\n', ' ');
    throw Error(ErrorCode::kRuntime, in_quotes(subject) + ": " + visible(message));
  }
}

}  // namespace wshare

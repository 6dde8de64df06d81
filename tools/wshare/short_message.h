#pragma once

#include <string>

namespace wshare {

// Returns what a message of ONNX Runtime says at last, in one line, cut in the middle.
//
// A message may have 2,000 characters: of nested nodes each says that it failed, the innermost why,
// behind the file, line and signature of the C++ function that found out. Here that is "Pad node
// 'stft/Pad': post-pad (32) exceeds maximum allowed (7)".
std::string short_message(const std::string& message);

}  // namespace wshare

#pragma once

#include <string>

namespace wshare {

// Returns the versions of wshare and of what it is built on, a line each: ONNX Runtime (the library
// that was loaded; "none" in a build without it), onnx, protobuf.
std::string versions_text();

}  // namespace wshare

#pragma once

#include <string>

namespace wshare {

// Returns the versions of wshare and of what it is built on, a line each: ONNX Runtime (the library
// that 'wshare run' would take, and why that one; "none" where there is none), onnx, protobuf.
std::string versions_text();

}  // namespace wshare

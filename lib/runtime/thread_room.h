#pragma once

#include <string>

namespace wshare {

// Returns how many of `wanted` threads this process can have beside those that it has; it starts
// them to see, and one more, and ends them again.
//
// To be asked before ONNX Runtime is to start threads: where one of them cannot be had (for want of
// memory, or beyond a limit), it waits for ever for the others to end (1.29).
unsigned count_startable(unsigned wanted);

// Throws Error(kIo) if ONNX Runtime cannot have `threads` threads, the calling one among them;
// `subject` is who wants them.
void require_thread_room(const std::string& subject, int threads);

}  // namespace wshare

#pragma once

#include <cstddef>
#include <functional>

namespace wshare {

// Returns `asked`, or the number of cores when `asked` is 0.
unsigned thread_count(unsigned asked);

// Calls body(0) .. body(count - 1), each once, on up to `threads` threads (the caller's is one of
// them), on fewer where the system gives no more.
//
// The first exception stops the hand-out of further indices and is rethrown in the caller.
void parallel_for(size_t count, unsigned threads, const std::function<void(size_t)>& body);

}  // namespace wshare

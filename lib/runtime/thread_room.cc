#include "runtime/thread_room.h"

#include <algorithm>
#include <atomic>
#include <latch>
#include <memory>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "util/text.h"
#include "wshare/error.h"

namespace wshare {

// All at once, each with a heap of its own, as ONNX Runtime's will be: they get the same stacks and
// heaps again, which the C library keeps. One more than is wanted, whose room stays for what ONNX
// Runtime takes before it starts them: 1.32 waited for ever for want of less than a stack.
unsigned count_startable(unsigned wanted) {
  if (wanted == 0) return 0;
  std::latch all_there(1);
  std::atomic<unsigned> with_heap = 0;
  std::vector<std::jthread> threads;
  threads.reserve(wanted + size_t{1});
  try {
    for (unsigned started = 0; started <= wanted; ++started) {
      threads.emplace_back([&] {
        const std::unique_ptr<volatile char[]> heap(new (std::nothrow) char[64]);
        if (heap != nullptr) heap[0] = 1;
        ++with_heap;
        with_heap.notify_one();
        all_there.wait();
      });
      with_heap.wait(started);
    }
  } catch (const std::system_error&) {
  }
  const auto started = static_cast<unsigned>(threads.size());
  all_there.count_down();
  return started > wanted ? wanted : started - std::min(started, 1U);
}

void require_thread_room(const std::string& subject, int threads) {
  if (threads <= 1) return;
  const unsigned more = static_cast<unsigned>(threads) - 1;
  const unsigned startable = count_startable(more);
  if (startable == more) return;
  throw Error(ErrorCode::kIo,
              subject + ": the system gives " + std::to_string(startable + 1) +
                  " threads instead of " + std::to_string(threads) +
                  ": there is no memory for more, or a limit",
              "fewer threads need less");
}

}  // namespace wshare

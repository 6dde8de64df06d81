#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/map_room.h"

namespace wshare::test {

// Leaves this process no room for more maps, as MapCount counts it, while it lives: neighbours that
// differ in what may be done with them are maps of their own.
class UsedUpMaps {
 public:
  // More would take too long in a test.
  static bool can_be() { return count_maps() && count_maps()->limit <= 200000; }

  UsedUpMaps() {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t pairs = static_cast<size_t>(count_maps()->room()) / 2;
    size_ = 2 * pairs * page;
    block_ = mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(block_, MAP_FAILED);
    for (size_t i = 0; i < pairs; ++i)
      EXPECT_EQ(mprotect(static_cast<char*>(block_) + 2 * i * page, page, PROT_READ), 0);
  }
  UsedUpMaps(const UsedUpMaps&) = delete;
  UsedUpMaps& operator=(const UsedUpMaps&) = delete;
  ~UsedUpMaps() { munmap(block_, size_); }

 private:
  void* block_ = nullptr;
  size_t size_ = 0;
};

}  // namespace wshare::test

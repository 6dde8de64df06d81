#include "format/packed_buffers.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "support/errors.h"

namespace wshare::test {
namespace {

TEST(MovePackedBuffers, ChangesOffsetsAndNothingElse) {
  std::vector<std::pair<uint64_t, uint64_t>> asked;
  const std::string moved = move_packed_buffers("MatMul+123|4096;64;cafe|8192;128;;x",
                                                [&](uint64_t offset, uint64_t size) {
                                                  asked.emplace_back(offset, size);
                                                  return offset + 1;
                                                });
  EXPECT_EQ(moved, "MatMul+123|4097;64;cafe|8193;128;;x");
  EXPECT_EQ(asked, (std::vector<std::pair<uint64_t, uint64_t>>{{4096, 64}, {8192, 128}}));
}

TEST(MovePackedBuffers, TakesAKeyWithoutBuffers) {
  const auto never = [](uint64_t, uint64_t) -> uint64_t {
    ADD_FAILURE();
    return 0;
  };
  EXPECT_EQ(move_packed_buffers("key", never), "key");
  EXPECT_EQ(move_packed_buffers("", never), "");
}

TEST(MovePackedBuffers, RefusesWhatIsNoBuffer) {
  for (const char* value : {"k||1;2;c", "k|x;2;c", "k|1", "k|1;;c", "k|-1;2;c", "k|1;2x;c",
                            "k|99999999999999999999;2;c"}) {
    EXPECT_EQ(
        code_of([&] { move_packed_buffers(value, [](uint64_t at, uint64_t) { return at; }); }), 4)
        << value;
  }
}

}  // namespace
}  // namespace wshare::test

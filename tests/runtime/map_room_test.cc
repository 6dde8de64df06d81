#include "runtime/map_room.h"

#include <sys/mman.h>
#include <unistd.h>

#include "runtime/ort_errors.h"
#include "runtime/task_models.h"
#include "runtime/used_up_maps.h"
#include "support/bundle_test.h"
#include "wshare/runtime.h"

namespace wshare::test {
namespace {

TEST(MapRoom, LeavesSomeForOthers) {
  EXPECT_EQ((MapCount{100, 65530}.room()), 65530u - 100 - 1024);
  EXPECT_EQ((MapCount{65000, 65530}.room()), 0u);
  EXPECT_EQ((MapCount{70000, 65530}.room()), 0u);  // the limit was lowered since
}

TEST(MapRoom, RefusesWhatDoesNotFitWithAllNumbers) {
  const MapCount count{100, 2000};  // room for 876
  require_map_room("m", 876, count);
  require_map_room("m", 0, MapCount{3000, 2000});  // nothing is needed
  require_map_room("m", 1u << 20, std::nullopt);   // nothing is known
  std::string message;
  EXPECT_EQ(code_of([&] { require_map_room("m", 877, count); }, &message), 5);
  EXPECT_EQ(message,
            "'m': a session has 877 tensors that ONNX Runtime maps, this process has room for 876 "
            "maps (it has 100 of 2000), and the rest would be copied");
}

TEST(MapRoom, CountsTheMapsOfThisProcess) {
  const std::optional<MapCount> before = count_maps();
  ASSERT_TRUE(before);
  EXPECT_GT(before->used, 10u);
  EXPECT_GT(before->limit, before->used);
  // Neighbours that differ in what may be done with them are maps of their own.
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  constexpr size_t kPairs = 100;
  void* block = mmap(nullptr, 2 * kPairs * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(block, MAP_FAILED);
  for (size_t i = 0; i < kPairs; ++i)
    ASSERT_EQ(mprotect(static_cast<char*>(block) + 2 * i * page, page, PROT_READ), 0);
  const uint64_t now = count_maps()->used;
  munmap(block, 2 * kPairs * page);
  EXPECT_GE(now, before->used + 2 * kPairs - 5);  // some may have joined their neighbours
  EXPECT_LE(now, before->used + 2 * kPairs + 5);
}

class MapsOfASession : public BundleTest {
 protected:
  // Before, ONNX Runtime takes no file that is in memory as it is.
  static bool are_needed() { return runtime_release() < 32; }
};

// What is small stays with ONNX Runtime, which takes it from the bundle's maps, too.
TEST_F(MapsOfASession, AreNoneOfTheFilesWhereOnnxRuntimeTakesOurs) {
  if (are_needed()) GTEST_SKIP() << "ONNX RUNTIME 1.32 IS THE FIRST THAT TAKES FILES IN MEMORY";
  add("a.onnx", task_model(11));
  make();
  Bundle bundle = Bundle::open(temp_ / "bundle");
  Session first = bundle.session("a");  // maps the blob
  const std::string maps = read_file("/proc/self/maps");
  Session second = bundle.session("a");
  const auto count = [](const std::string& text) {
    size_t found = 0;
    for (size_t at = 0; (at = text.find("a.bin", at)) != text.npos; ++at) ++found;
    return found;
  };
  EXPECT_EQ(count(maps), 1u);
  EXPECT_EQ(count(read_file("/proc/self/maps")), 1u);
  EXPECT_EQ(bytes_in(run_task(*first).at(0)), bytes_in(run_task(*second).at(0)));
}

// What is small stays with ONNX Runtime, which maps each tensor for itself.
TEST_F(MapsOfASession, AreRefusedWhereThereIsNoRoom) {
  if (!are_needed()) GTEST_SKIP() << "THIS ONNX RUNTIME NEEDS NO MAPS: 1.32 AND NEWER";
  add("a.onnx", task_model(11));
  make();
  Bundle bundle = Bundle::open(temp_ / "bundle");
  if (!UsedUpMaps::can_be()) GTEST_SKIP() << "VM.MAX_MAP_COUNT IS TOO LARGE TO BE USED UP";
  std::string message;
  int code = 0;
  {
    const UsedUpMaps none_left;
    code = code_of([&] { bundle.session("a"); }, &message);
  }
  EXPECT_EQ(code, 5);
  EXPECT_NE(message.find("'a': a session has 2 tensors that ONNX Runtime maps"), std::string::npos)
      << message;
  Session session = bundle.session("a");  // there is room again
  EXPECT_EQ(run_task(*session).size(), 1u);
}

}  // namespace
}  // namespace wshare::test

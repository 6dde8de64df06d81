// Bundle::prefault(): files in memory before a run needs them.

#include <sys/resource.h>

#include "runtime/task_models.h"
#include "support/bundle_test.h"
#include "support/own_process.h"
#include "support/resident_bytes.h"
#include "wshare/pack.h"
#include "wshare/runtime.h"

namespace wshare::test {
namespace {

class Prefaulted : public BundleTest {
 protected:
  Prefaulted() {
    add("a.onnx", task_model(11));
    add("b.onnx", task_model(12));
    make();
  }

  Bundle open() const { return Bundle::open(temp_ / "bundle"); }
};

TEST_F(Prefaulted, HasInMemoryWhatTheModelReads) {
  Bundle bundle = open();
  EXPECT_EQ(resident_bytes("shared.bin"), 0u);
  EXPECT_GE(bundle.prefault("a"), kShared + kOwn);
  EXPECT_GE(resident_bytes("shared.bin"), kShared);
  EXPECT_GT(resident_bytes("a.bin"), 0u);
  EXPECT_EQ(resident_bytes("b.bin"), 0u);
  std::string message;
  EXPECT_EQ(code_of([&] { bundle.prefault("c"); }, &message), 4);
  fs::remove(temp_ / "bundle/b.bin");
  EXPECT_EQ(code_of([&] { bundle.prefault("b"); }), 3);
}

TEST_F(Prefaulted, StaysThereWhenItIsLocked) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "A SANITIZER MAKES NOTHING OF mlock()";
#endif
  EXPECT_IN_OWN_PROCESS({
    rlimit limit{};
    getrlimit(RLIMIT_MEMLOCK, &limit);
    Bundle bundle = open();
    if (limit.rlim_cur >= 2 * kShared) {
      bundle.prefault("a", Prefault::kLock);
      EXPECT_GE(resident_bytes("shared.bin", "Locked"), kShared);
      const Session session = bundle.session("a");  // gives back what it read once
      EXPECT_GE(resident_bytes("shared.bin", "Locked"), kShared);
    }
  });
}

TEST_F(Prefaulted, SaysHowMuchMayBeLocked) {
  EXPECT_IN_OWN_PROCESS({
    rlimit limit{};
    limit.rlim_cur = limit.rlim_max = 4096;
    if (setrlimit(RLIMIT_MEMLOCK, &limit) == 0) {
      if (geteuid() == 0) {
        // root may lock all the same
        EXPECT_EQ(code_of([&] { open().prefault("a", Prefault::kLock); }), 0);
      } else {
        std::string message;
        EXPECT_EQ(code_of([&] { open().prefault("a", Prefault::kLock); }, &message), 3);
        EXPECT_NE(message.find("this process may lock 4096"), message.npos) << message;
      }
    }
  });
}

}  // namespace
}  // namespace wshare::test

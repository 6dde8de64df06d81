// A progress function that throws cancels the call: what was thrown comes out of it, and nothing
// stays of what was begun.

#include <atomic>

#include "support/bundle_test.h"
#include "wshare/append.h"
#include "wshare/remove.h"
#include "wshare/restore.h"

namespace wshare::test {
namespace {

struct Cancelled {};

class Cancel : public BundleTest {
 protected:
  Cancel() {
    for (const char* name : {"a", "b", "c"}) {
      add(std::string(name) + ".onnx", {raw("w", noise(100000, 1)), raw(name, noise(50000, 2))});
    }
    make(1024, 2, "before");
  }

  // Calls `command` with a progress function that throws at call 1, 2, 3, ... until it ends by
  // itself; expects that all others leave the folder as it was.
  template <typename Command>
  void expect_cancelled_anywhere(const char* name, const Command& command) {
    SCOPED_TRACE(name);
    const std::map<std::string, std::string> before = files_in(temp_.path());
    int cancelled = 0;
    for (int last = 1;; ++last) {
      std::atomic<int> calls = 0;
      try {
        command([&](const char*, uint64_t, uint64_t) {
          if (++calls >= last) throw Cancelled{};
        });
        break;
      } catch (const Cancelled&) {
        ++cancelled;
        EXPECT_TRUE(files_in(temp_.path()) == before) << last;
      }
    }
    EXPECT_GT(cancelled, 0);
  }

  template <typename Options>
  static Options with(const ProgressFn& progress) {
    Options options;
    options.threads = 2;
    options.progress = progress;
    return options;
  }
};

TEST_F(Cancel, EndsACommandWhichLeavesNothing) {
  const fs::path before = temp_ / "before";
  expect_cancelled_anywhere("dedupe", [&](const ProgressFn& progress) {
    dedupe(inputs({"a.onnx"}), temp_ / "bundle", with<DedupeOptions>(progress));
  });
  expect_cancelled_anywhere("append", [&](const ProgressFn& progress) {
    append(temp_ / "bundle", inputs({"b.onnx"}), with<AppendOptions>(progress));
  });
  expect_cancelled_anywhere("verify", [&](const ProgressFn& progress) {
    EXPECT_TRUE(verify(before, with<VerifyOptions>(progress)).empty());
  });
  expect_cancelled_anywhere("restore", [&](const ProgressFn& progress) {
    restore(before, {}, temp_ / "out", with<RestoreOptions>(progress));
  });
  expect_cancelled_anywhere("remove", [&](const ProgressFn& progress) {
    RemoveOptions options = with<RemoveOptions>(progress);
    options.compact = true;
    remove_models(before, {"c"}, options);
  });
}

}  // namespace
}  // namespace wshare::test

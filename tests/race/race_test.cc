// Threads that load and run models of a bundle while others change it: made for ThreadSanitizer
// (tools/test.sh --tsan), true without it. What is counted are rounds, so it ends on any machine.

#include <atomic>
#include <thread>

#include "run/run_matmul.h"
#include "support/bundle_test.h"
#include "wshare/append.h"
#include "wshare/pack.h"
#include "wshare/remove.h"
#include "wshare/restore.h"
#include "wshare/runtime.h"

namespace wshare::test {
namespace {

constexpr int64_t kRows = 64, kColumns = 512;  // 128 KiB of float32: large enough to be shared
constexpr int kRounds = 4;

// The bytes of y.
std::string run(Ort::Session& session) { return bytes_in(run_matmul(session, kRows).at(0)); }

class Race : public BundleTest {
 protected:
  Race() {
    for (const uint32_t i : {0u, 1u, 2u, 3u}) {
      add(std::string(1, "abcd"[i]) + ".onnx",
          matmul_model(kRows, kColumns, floats(kColumns, i + 2)));
    }
    dedupe(inputs({"a.onnx", "b.onnx"}), folder(), {});
    Bundle bundle = Bundle::open(folder());
    of_a_ = run(*bundle.session("a"));
    of_b_ = run(*bundle.session("b"));
  }

  fs::path folder() const { return temp_ / "bundle"; }

  // A command that changes the bundle: it may come too late, or find what another has done.
  template <typename Command>
  void change(const Command& command) {
    std::string message;
    const int code = code_of(command, &message);
    EXPECT_TRUE(code == 0 || code == 3 || code == 4) << message;
    changes_ += code == 0 ? 1 : 0;
  }

  // Opens sessions of `bundle`, and runs them, until the changes have ended.
  void load(Bundle& bundle, Tier tier) {
    SessionOptions options;
    options.tier = tier;
    do {
      std::string of_a, of_b, message;
      const int code = code_of(
          [&] {
            Session a = bundle.session("a", options), b = bundle.session("b", options);
            of_a = run(*a);
            of_b = run(*b);
          },
          &message);
      EXPECT_TRUE(code == 0 ? of_a == of_a_ && of_b == of_b_ : code == 3) << code << message;
      sessions_ += code == 0 ? 2 : 0;
    } while (!is_over_);
  }

  std::string of_a_, of_b_;
  std::atomic<bool> is_over_ = false;
  std::atomic<int> changes_ = 0, sessions_ = 0;
};

TEST_F(Race, SessionsAreRightOrErrorsWhileTheirBundleChanges) {
  Bundle shared = Bundle::open(folder());
  Session open = shared.session("a");
  std::vector<std::thread> loaders;
  for (const Tier tier : {Tier::kAuto, Tier::kShared})
    loaders.emplace_back([&, tier] { load(shared, tier); });
  loaders.emplace_back([&] {
    do {
      change([&] {
        Bundle bundle = Bundle::open(folder());
        EXPECT_TRUE(run(*bundle.session("a")) == of_a_);
      });
      EXPECT_TRUE(run(*open) == of_a_);
    } while (!is_over_);
  });
  std::thread other([&] {
    for (int round = 0; round < kRounds; ++round) {
      change([&] { append(folder(), inputs({"d.onnx"}), {}); });
      change([&] { remove_models(folder(), {"d"}, {}); });
    }
  });
  for (int round = 0; round < kRounds; ++round) {
    change([&] { append(folder(), inputs({"c.onnx"}), {}); });
    change([&] { pack(folder(), {}); });
    change([&] { EXPECT_TRUE(verify(folder(), 2).empty()); });
    RemoveOptions options;
    options.compact = round % 2 == 0;
    change([&] { remove_models(folder(), {"c"}, options); });
    change([&] { restore(folder(), {"a"}, temp_ / ("back" + std::to_string(round)), {}); });
  }
  other.join();
  is_over_ = true;
  for (std::thread& loader : loaders) loader.join();
  EXPECT_GT(changes_, 4 * kRounds);
  EXPECT_GT(sessions_, 0);
  expect_sound();
}

// Threads that meet while a bundle's files are mapped and its packs tried for the first time.
TEST_F(Race, FirstSessionsOfOneBundleComeAtOnce) {
  pack(folder(), {});
  for (int round = 0; round < kRounds; ++round) {
    Bundle bundle = Bundle::open(folder());
    is_over_ = true;  // one session of each
    std::vector<std::thread> loaders;
    for (const Tier tier : {Tier::kAuto, Tier::kShared, Tier::kPacked, Tier::kShared})
      loaders.emplace_back([&, tier] { load(bundle, tier); });
    for (std::thread& loader : loaders) loader.join();
  }
  EXPECT_EQ(sessions_, 4 * 2 * kRounds);
}

}  // namespace
}  // namespace wshare::test

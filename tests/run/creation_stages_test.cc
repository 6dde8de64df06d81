#include "run/creation_stages.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>

namespace wshare::test {
namespace {

// Logs `messages`, and lets 20 ms pass after each.
void log_slowly(StageClock& clock, const std::vector<std::string>& messages) {
  for (const std::string& message : messages) {
    clock.add(message);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

TEST(StageClock, TellsStagesByWhatIsLogged) {
  StageClock clock;
  EXPECT_EQ(clock.stages(1000), std::nullopt);
  log_slowly(clock, {"Session Options {...", "Initializing session.", "Adding default CPU ...",
                     "GraphTransformer A modified: 0", "GraphTransformer B modified: 1",
                     "Saving initialized tensors.", "Done saving initialized tensors",
                     "Saving initialized tensors.", "Session successfully initialized."});
  const auto stages = clock.stages(1000);
  ASSERT_TRUE(stages);
  EXPECT_GE(stages->optimise, 40);  // from A
  EXPECT_GE(stages->pack, 60);      // from the first saving
  EXPECT_DOUBLE_EQ(stages->load + stages->optimise + stages->pack, 1000);
  EXPECT_EQ(clock.stages(1)->load, 0);  // never less than nothing
}

TEST(StageClock, CountsAttemptsThatSucceed) {
  StageClock clock;
  log_slowly(clock, {"Initializing session.", "Saving initialized tensors."});  // refused
  EXPECT_EQ(clock.stages(1000), std::nullopt);
  clock.add("Initializing session.");
  clock.add("Saving initialized tensors.");
  clock.add("Session successfully initialized.");
  const auto once = clock.stages(1000);
  ASSERT_TRUE(once);
  EXPECT_GT(once->load, once->optimise + once->pack);  // the 40 ms before are loading
  log_slowly(clock, {"Initializing session.", "Saving initialized tensors.",
                     "Session successfully initialized."});
  const auto twice = clock.stages(1000);
  EXPECT_GE(twice->optimise, once->optimise + 20);
  EXPECT_GE(twice->pack, once->pack + 20);
}

TEST(StageClock, ReportsNothingOfWordsThatItDoesNotKnow) {
  StageClock clock;
  for (const char* message : {"", "Initializing", "Session successfully initialized.",
                              "Saving initialized tensors.", "Session successfully initialized."})
    clock.add(message);
  EXPECT_EQ(clock.stages(1000), std::nullopt);
}

}  // namespace
}  // namespace wshare::test

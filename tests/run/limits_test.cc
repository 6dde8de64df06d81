#include "run/limits.h"

#include <gtest/gtest.h>

#include <limits>

namespace wshare {
namespace {

using Lines = std::vector<std::string>;

Measurement measurement() {
  Measurement result;
  result.sessions = {{"a", 10, 1, 1}, {"b", 20.5, 1, 1}};
  result.memory = {300 << 20, 200 << 20, 100 << 20};
  return result;
}

const std::vector<ParityRow> kParity = {{"a", "y", true, 0}, {"b", "y", false, 1e-9}};

TEST(FindExceeded, AcceptsWhatJustFits) {
  Limits limits;
  EXPECT_EQ(find_exceeded(limits, measurement(), kParity), Lines{});
  limits.pss = 300 << 20;
  limits.anonymous = 200 << 20;
  limits.device = 100 << 20;
  limits.create_ms = 20.5;
  limits.abs_diff = 1e-9;
  EXPECT_EQ(find_exceeded(limits, measurement(), kParity), Lines{});
}

TEST(FindExceeded, GivesBothNumbersOfEachLimitThatIsPassed) {
  Limits limits;
  limits.pss = 100 << 20;
  limits.anonymous = (200 << 20) - 1;
  limits.device = 50 << 20;
  limits.create_ms = 20;
  limits.abs_diff = 1e-10;
  EXPECT_EQ(find_exceeded(limits, measurement(), kParity),
            (Lines{"PSS is 300.0 MiB, the limit is 100.0 MiB",
                   "anonymous memory is 209715200 bytes, the limit is 209715199 bytes",
                   "memory of the device is 100.0 MiB, the limit is 50.0 MiB",
                   "'b': making a session took 20.5 ms, the limit is 20 ms",
                   "'b': output 'y' differs by 1e-09, the limit is 1e-10"}));
}

TEST(FindExceeded, LetsNoDifferencePassThatIsNoNumber) {
  Limits limits;
  limits.abs_diff = std::numeric_limits<double>::max();
  for (const double difference :
       {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_EQ(find_exceeded(limits, measurement(), {{"a", "y", false, difference}}).size(), 1u);
  }
}

}  // namespace
}  // namespace wshare

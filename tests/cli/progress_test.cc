#include <gtest/gtest.h>

#include <sstream>

#include "progress_bar.h"
#include "support/cli_test.h"

namespace wshare {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;

TEST(ProgressLine, ShowsBytesRateAndTimeLeft) {
  EXPECT_EQ(progress_line({"comparing", kGiB, 4 * kGiB, 2, 512.0 * (1 << 20)}, 100),
            "comparing  [#####...............]   25 %  1.0 GiB of 4.0 GiB  512.0 MiB/s  6 s left");
}

TEST(ProgressLine, ShowsTheTimeOfAStageWithoutBytes) {
  EXPECT_EQ(progress_line({"waiting for the disk", 0, 0, 3.2, 0}, 80), "waiting for the disk  3 s");
  EXPECT_EQ(progress_line({"measuring", 0, 0, 135, 0}, 80), "measuring  2 min 15 s");
  EXPECT_EQ(progress_line({"measuring", 0, 0, 7322, 0}, 80), "measuring  2 h 02 min");
}

TEST(ProgressLine, NeverFillsTheTerminalsLine) {
  const StageState state = {"comparing", kGiB, 4 * kGiB, 2, 512.0 * (1 << 20)};
  EXPECT_EQ(progress_line(state, 80),
            "comparing   25 %  1.0 GiB of 4.0 GiB  512.0 MiB/s  6 s left");
  for (const unsigned columns : {0U, 1U, 2U, 20U, 40U, 81U, 200U}) {
    const size_t most = columns == 0 ? 0 : columns - 1;
    EXPECT_LE(progress_line(state, columns).size(), most) << columns;
  }
}

TEST(ProgressLine, HasNoShareAboveAHundred) {
  const std::string line = progress_line({"writing", 5 * kGiB, 4 * kGiB, 1, 1}, 100);
  EXPECT_NE(line.find("100 %  4.0 GiB of 4.0 GiB"), std::string::npos) << line;
  EXPECT_NE(line.find("0 s left"), std::string::npos) << line;
}

using Clock = std::chrono::steady_clock;

// What is drawn, for a thread that looks on.
class Screen : public std::streambuf {
 public:
  std::string text() {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 protected:
  int_type overflow(int_type c) override {
    const char text = traits_type::to_char_type(c);
    return xsputn(&text, 1) == 1 ? c : traits_type::eof();
  }
  std::streamsize xsputn(const char* text, std::streamsize size) override {
    const std::lock_guard lock(mutex_);
    text_.append(text, static_cast<size_t>(size));
    return size;
  }

 private:
  std::mutex mutex_;
  std::string text_;
};

TEST(ProgressBar, IsSeenAfterASecondAndGoesBeforeAResult) {
  Screen screen;
  std::ostream err(&screen);
  const Clock::time_point begin = Clock::now();
  {
    ProgressBar bar(err, {true, false, 100});
    HidingBuffer buffer(&screen, bar);
    std::ostream out(&buffer);
    bar.update("comparing", kGiB, 4 * kGiB);
    while (screen.text().empty() && Clock::now() < begin + std::chrono::minutes(1)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT_GE(Clock::now(), begin + std::chrono::seconds(1));
    out << "result\n";
  }
  const std::string text = screen.text();
  EXPECT_TRUE(text.starts_with("\rcomparing  [#####")) << text;
  EXPECT_TRUE(text.ends_with("\r\x1b[Kresult\n")) << text;
}

TEST(ProgressBar, IsNotSeenInTheFirstSecond) {
  std::ostringstream screen;
  Clock::time_point begin;
  do {  // again where the machine took longer over it
    screen.str("");
    begin = Clock::now();
    ProgressBar bar(screen, {true, true, 100});
    bar.update("comparing", 1, 2);
    std::this_thread::sleep_for(std::chrono::milliseconds(250));
  } while (Clock::now() >= begin + std::chrono::seconds(1));
  EXPECT_EQ(screen.str(), "");
}

using Colors = test::CliTest;

TEST_F(Colors, AreForATerminalThatHasThem) {
  struct Case {
    const char* name;
    Console console;
    bool colored;
  };
  for (const Case& c : {Case{"piped", {}, false}, Case{"NO_COLOR", {true, false, 80}, false},
                        Case{"terminal", {true, true, 80}, true}}) {
    SCOPED_TRACE(c.name);
    std::ostringstream out, err;
    EXPECT_EQ(run_cli({"dedup"}, out, err, "", c.console), 2);
    EXPECT_EQ(err.str().find('\x1b') != std::string::npos, c.colored) << err.str();
    EXPECT_NE(err.str().find("did you mean 'dedupe'?"), std::string::npos) << err.str();
  }
}

}  // namespace
}  // namespace wshare

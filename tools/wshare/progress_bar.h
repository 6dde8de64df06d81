#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <iosfwd>
#include <mutex>
#include <streambuf>
#include <string>
#include <thread>

#include "console.h"
#include "util/interrupt.h"

namespace wshare {

// How far a stage is.
struct StageState {
  std::string stage;
  uint64_t done = 0, total = 0;  // bytes; 0: not known
  double seconds = 0;            // since it began
  double bytes_per_second = 0;   // of late; 0: not known
};

// Returns the line to show, at most `columns` wide: stage, bar, share, bytes, rate, time left; of a
// stage without bytes the time that it has taken.
std::string progress_line(const StageState& state, unsigned columns);

// Draws progress on one line of a terminal, from the first second on. Another thread draws, so that
// a stage that reports nothing is seen to be alive.
class ProgressBar {
 public:
  // Draws to `err`, which must outlive this.
  ProgressBar(std::ostream& err, const Console& console);
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  // Clears the line.
  ~ProgressBar();

  // As ProgressFn; from any thread.
  void update(const char* stage, uint64_t done, uint64_t total);

  // Clears the line; the next update() shows it again.
  void hide();

 private:
  using Clock = std::chrono::steady_clock;
  struct Sample {
    Clock::time_point at;
    uint64_t done;
  };

  void draw_until(const std::stop_token& stop);
  void draw();
  void clear();

  std::ostream& err_;
  Console console_;
  std::mutex mutex_;  // of all below
  std::condition_variable_any wake_;
  const Clock::time_point begin_ = Clock::now();
  StageState state_;
  Clock::time_point stage_begin_ = begin_;
  std::deque<Sample> samples_;
  bool is_fresh_ = false;  // updated since it was hidden
  bool is_drawn_ = false;
  bool is_over_ = false;
  CleanUp clean_up_;
  std::jthread drawer_;
};

// Passes on to `inner` what is written, after hiding `bar`: a result never stands behind progress.
class HidingBuffer : public std::streambuf {
 public:
  HidingBuffer(std::streambuf* inner, ProgressBar& bar) : inner_(inner), bar_(bar) {}

 protected:
  int_type overflow(int_type c) override;
  std::streamsize xsputn(const char* text, std::streamsize size) override;
  int sync() override;

 private:
  std::streambuf* inner_;
  ProgressBar& bar_;
};

}  // namespace wshare

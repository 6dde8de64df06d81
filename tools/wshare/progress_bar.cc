#include "progress_bar.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ostream>

#include "util/text.h"
#include "util/visible.h"

namespace wshare {
namespace {

constexpr std::chrono::milliseconds kTick{100};
constexpr std::chrono::seconds kPatience{1};  // what ends sooner shows nothing
constexpr std::chrono::seconds kRateOver{3};  // the rate is the mean of so long
constexpr size_t kBarColumns = 20;

std::string duration_text(double seconds) {
  const auto whole = static_cast<uint64_t>(std::llround(std::min(std::max(seconds, 0.0), 1e9)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
}

std::string bar_text(double share) {
  const auto full = static_cast<size_t>(share * static_cast<double>(kBarColumns));
  return "[" + std::string(full, '#') + std::string(kBarColumns - full, '.') + "]";
}

}  // namespace

std::string progress_line(const StageState& state, unsigned columns) {
  std::string bar, rest;
  if (state.total > 0) {
    const uint64_t done = std::min(state.done, state.total);
    const double share = static_cast<double>(done) / static_cast<double>(state.total);
    bar = "  " + bar_text(share);
    rest = fmt::format("  {:3.0f} %  {} of {}", std::floor(share * 100), format_bytes(done),
                       format_bytes(state.total));
    if (state.bytes_per_second > 0) {
      rest += fmt::format(
          "  {}/s  {} left", format_bytes(static_cast<uint64_t>(state.bytes_per_second)),
          duration_text(static_cast<double>(state.total - done) / state.bytes_per_second));
    }
  } else {
    rest = "  " + duration_text(state.seconds);
  }
  const size_t room = columns > 1 ? columns - 1 : 0;  // a full line would wrap
  std::string line = state.stage + bar + rest;
  if (line.size() > room) line = state.stage + rest;
  return line.substr(0, room);
}

ProgressBar::ProgressBar(std::ostream& err, const Console& console)
    : err_(err),
      console_(console),
      clean_up_([this] {
        const std::lock_guard lock(mutex_);
        clear();
        is_over_ = true;
        return true;
      }),
      drawer_([this](const std::stop_token& stop) { draw_until(stop); }) {}

ProgressBar::~ProgressBar() {
  drawer_.request_stop();
  drawer_.join();
  clear();
}

void ProgressBar::update(const char* stage, uint64_t done, uint64_t total) {
  const std::lock_guard lock(mutex_);
  // Threads overtake each other by a few updates; what falls back to the start is a new stage.
  const std::string shown = visible(stage);  // it may name models
  const bool is_new = shown != state_.stage || total != state_.total || done < state_.done / 2;
  if (is_new) {
    state_ = {shown, done, total, 0, 0};
    stage_begin_ = Clock::now();
    samples_.clear();
  }
  state_.done = std::max(state_.done, done);
  is_fresh_ = true;
}

void ProgressBar::hide() {
  const std::lock_guard lock(mutex_);
  is_fresh_ = false;
  clear();
}

void ProgressBar::draw_until(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    wake_.wait_for(lock, stop, kTick, [] { return false; });
    if (!stop.stop_requested() && is_fresh_ && !is_over_) draw();
  }
}

void ProgressBar::draw() {
  const Clock::time_point now = Clock::now();
  samples_.push_back({now, state_.done});
  while (samples_.size() > 2 && now - samples_[1].at > kRateOver) samples_.pop_front();
  const std::chrono::duration<double> span = now - samples_.front().at;
  const std::chrono::duration<double> stage = now - stage_begin_;
  state_.seconds = stage.count();
  if (span.count() > 0) {
    state_.bytes_per_second =
        static_cast<double>(state_.done - samples_.front().done) / span.count();
  }
  if (now - begin_ < kPatience) return;
  err_ << '\r' << in_cyan(console_, progress_line(state_, console_.columns)) << "\x1b[K"
       << std::flush;
  is_drawn_ = true;
}

void ProgressBar::clear() {
  if (is_drawn_) err_ << "\r\x1b[K" << std::flush;
  is_drawn_ = false;
}

HidingBuffer::int_type HidingBuffer::overflow(int_type c) {
  if (traits_type::eq_int_type(c, traits_type::eof())) return traits_type::not_eof(c);
  bar_.hide();
  return inner_->sputc(traits_type::to_char_type(c));
}

std::streamsize HidingBuffer::xsputn(const char* text, std::streamsize size) {
  bar_.hide();
  return inner_->sputn(text, size);
}

int HidingBuffer::sync() { return inner_->pubsync(); }

}  // namespace wshare

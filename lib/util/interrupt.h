#pragma once

#include <functional>

namespace wshare {

// What is to be undone when a signal ends the process; undone by the owner's destructor otherwise.
//
// Does nothing by itself: only a program that has called stop_cleanly_on_signals() acts on it.
class CleanUp {
 public:
  // `undo` runs on another thread, after the gate of Unstoppable has closed. It returns true if
  // nothing stays behind, and must not throw.
  explicit CleanUp(std::function<bool()> undo);
  CleanUp(const CleanUp&) = delete;
  CleanUp& operator=(const CleanUp&) = delete;
  ~CleanUp();

 private:
  const std::function<bool()> undo_;
};

// While one lives on any thread, a signal waits. For steps that must be done as a whole, such as
// making a file and writing down that it is there. Short ones only; may be nested.
//
// Once a signal is being acted on, the constructor does not return.
class Unstoppable {
 public:
  Unstoppable();
  Unstoppable(const Unstoppable&) = delete;
  Unstoppable& operator=(const Unstoppable&) = delete;
  ~Unstoppable();
};

// From now on SIGINT, SIGTERM and SIGHUP (those that the process does not ignore) run what every
// living CleanUp holds, the newest first, then `say` with whether nothing stays, and then end the
// process as they would have.
//
// To be called once, before any other thread is made: threads inherit what it sets.
void stop_cleanly_on_signals(std::function<void(bool clean)> say);

// Does not return if a signal is being acted on: what fails then fails because of it.
void wait_if_stopping();

}  // namespace wshare

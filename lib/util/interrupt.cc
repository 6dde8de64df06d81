#include "util/interrupt.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <utility>
#include <vector>

// Problem: destructors tidy up, but a signal ends the process without them; and a handler may not
// do what they do. Asking a flag everywhere would let Ctrl-C wait for the longest step.
//
// So all threads block the signals and one waits for them. It closes the gate: who makes a file or
// puts one in place has passed it before (and is waited for) or waits in front of it for ever. So
// what the thread then deletes is all there is, whatever the others are doing meanwhile; their
// errors are not shown, as wait_if_stopping() holds them.

namespace wshare {
namespace {

constexpr std::array kSignals = {SIGINT, SIGTERM, SIGHUP};

struct State {
  std::shared_mutex gate;  // shared by Unstoppable, taken for good by the thread that stops
  std::mutex mutex;        // of `living`
  std::vector<const std::function<bool()>*> living;
  std::atomic<bool> watching{false}, stopping{false};
};

// Never destroyed: a signal may come while the process ends.
State& state() {
  static State* const all = new State;
  return *all;
}

thread_local int unstoppable_depth = 0;

[[noreturn]] void end_by(int signal) {
  std::signal(signal, SIG_DFL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  ::kill(::getpid(), signal);
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  ::_exit(128 + signal);
}

[[noreturn]] void wait_and_stop(const sigset_t& set, const std::function<void(bool)>& say) {
  int signal = 0;
  while (sigwait(&set, &signal) != 0) {
  }
  state().stopping = true;
  state().gate.lock();
  state().mutex.lock();
  bool clean = true;
  for (size_t i = state().living.size(); i-- > 0;) clean = (*state().living[i])() && clean;
  say(clean);
  end_by(signal);
}

}  // namespace

CleanUp::CleanUp(std::function<bool()> undo) : undo_(std::move(undo)) {
  const std::lock_guard lock(state().mutex);
  state().living.push_back(&undo_);
}

CleanUp::~CleanUp() {
  const std::lock_guard lock(state().mutex);
  std::erase(state().living, &undo_);
}

Unstoppable::Unstoppable() {
  if (unstoppable_depth++ == 0) state().gate.lock_shared();
}

Unstoppable::~Unstoppable() {
  if (--unstoppable_depth == 0) state().gate.unlock_shared();
}

void stop_cleanly_on_signals(std::function<void(bool clean)> say) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : kSignals) {
    struct sigaction now {};
    // nohup and shells ignore signals on purpose.
    if (sigaction(signal, nullptr, &now) == 0 && now.sa_handler != SIG_IGN) sigaddset(&set, signal);
  }
  state().watching = true;
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::thread([set, say = std::move(say)] { wait_and_stop(set, say); }).detach();
}

void wait_if_stopping() {
  if (!state().watching) return;
  sigset_t pending;
  sigemptyset(&pending);
  sigpending(&pending);
  const bool comes = std::any_of(kSignals.begin(), kSignals.end(),
                                 [&](int signal) { return sigismember(&pending, signal) == 1; });
  while (comes || state().stopping) ::pause();
}

}  // namespace wshare

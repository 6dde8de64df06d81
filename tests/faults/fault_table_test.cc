// Every command that writes, with every call to the file system failing once, in every way. All of
// them where WSHARE_FAULTS=all, else a part that differs from kind to kind.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <iostream>
#include <mutex>

#include "faults/commands.h"
#include "util/file_calls.h"

namespace wshare::test {
namespace {

using Kind = FileCall::Kind;
using Seen = WritingCommand::Seen;

struct Fault {
  const char* name;
  int error;  // or one of:
  static constexpr int kNone = 0, kShortWrite = -1, kKill = -2;

  bool is_to_be_seen() const { return error > 0 && error != EINTR; }
};

constexpr Fault kFaults[] = {{"ENOSPC", ENOSPC},
                             {"EIO", EIO},
                             {"EDQUOT", EDQUOT},
                             {"EINTR", EINTR},
                             {"short write", Fault::kShortWrite}};

// Lets call `number` fail.
class Injector : public FileCallProbe {
 public:
  Injector(size_t number, int error) : number_(number), error_(error) {
    before_ = watch_file_calls(this);
  }
  ~Injector() override { watch_file_calls(before_); }

  int before(FileCall& call) override {
    const std::lock_guard lock(mutex_);
    const bool is_it = calls_++ == number_;
    if (is_it) hit_ = call.kind;
    if (is_it && error_ == Fault::kKill) kill(getpid(), SIGKILL);
    if (is_it && error_ == Fault::kShortWrite && call.kind == Kind::kWrite) call.size /= 2;
    if (is_it && error_ == Fault::kShortWrite && call.size == 0) call.size = 1;
    if (is_it && error_ > 0) return error_;
    // What these make durable is another test's matter; here they would only take time.
    if (is_look_at_disk(call)) return ENOENT;
    return is_sync(call) ? kPretend : kMake;
  }
  void after(const FileCall&, int64_t) override {}

  size_t calls() const { return calls_; }
  int hit() const { return static_cast<int>(hit_); }

 private:
  FileCallProbe* before_;
  std::mutex mutex_;
  size_t number_, calls_ = 0;
  int error_;
  Kind hit_{};
};

constexpr size_t kNever = SIZE_MAX;

// How many calls to go on: a whole table of `calls` x `faults` has at most `most` injections.
size_t step_for(size_t calls, size_t faults, size_t most) {
  const char* const all = std::getenv("WSHARE_FAULTS");
  if (all != nullptr && std::string(all) == "all") return 1;
  return std::max<size_t>(1, calls * faults / most);
}

bool is_hidden(const std::string& path) {
  return path[0] == '.' || path.find("/.") != std::string::npos;
}

State visible(const State& state) {
  State result;
  for (const auto& [path, bytes] : state) {
    if (!is_hidden(path) && !path.starts_with("tmp/")) result[path] = bytes;
  }
  return result;
}

bool holds(const State& state, const State& all_of) {
  return std::all_of(all_of.begin(), all_of.end(), [&](const auto& each) {
    const auto at = state.find(each.first);
    return at != state.end() && at->second == each.second;
  });
}

// What differs, for a message.
std::string difference(const State& now, const State& wanted) {
  std::string text;
  for (const auto& [path, bytes] : now) {
    const auto at = wanted.find(path);
    if (at == wanted.end()) text += " more:" + path;
    if (at != wanted.end() && at->second != bytes) text += " changed:" + path;
  }
  for (const auto& [path, bytes] : wanted) {
    if (!now.contains(path)) text += " missing:" + path;
  }
  return text;
}

class FaultTable : public testing::TestWithParam<WritingCommand> {
 protected:
  FaultTable() : work_(GetParam()) {}

  void SetUp() override {
    const Injector none(kNever, Fault::kNone);
    const Answer answer = run(command().arguments);
    ASSERT_EQ(answer.code, 0) << answer.said;
    calls_ = none.calls();
    after_ = work_.now();
    expect_sound();
    work_.reset();
    ASSERT_EQ(difference(work_.now(), work_.before()), "");
  }

  static const WritingCommand& command() { return GetParam(); }

  // States are compared by bytes, so that one look at the last one does for all.
  void expect_sound() const {
    if (!fs::exists("bundle")) return;
    EXPECT_EQ(run({"verify", "bundle"}).code, 0);
    const Answer restored = run({"restore", "bundle", "-o", "looked_at"});
    EXPECT_EQ(restored.code, 0) << restored.said;
    for (const auto& [path, bytes] : files_in("looked_at")) {
      std::string original;
      for (const std::string folder : {"in/", "kin/", "lora/", "runs/"}) {
        if (fs::exists(folder + path)) original = folder + path;
      }
      EXPECT_TRUE(read_file(original) == bytes) << path;
    }
    fs::remove_all("looked_at");
  }

  void expect_old_or_new_after_kill() const {
    const State now = work_.now();
    const State seen = visible(now), old = visible(work_.before()), fresh = visible(after_);
    switch (command().seen) {
      case Seen::kAllOrNothing:
        EXPECT_TRUE(seen == old || seen == fresh || holds_folders_only(seen, old))
            << difference(seen, old) << " or" << difference(seen, fresh);
        break;
      case Seen::kOldOrNew:
        EXPECT_TRUE(holds(seen, old) || holds(seen, fresh))
            << difference(seen, old) << " or" << difference(seen, fresh);
        break;
      case Seen::kFileByFile:
        for (const auto& [path, bytes] : seen) {
          const auto is = [&, &file = path, &text = bytes](const State& state) {
            return state.contains(file) && state.at(file) == text;
          };
          EXPECT_TRUE(is(old) || is(fresh)) << path;
        }
        break;
    }
  }

  // The state in which a command that says `answer` has to leave.
  State wanted(const Answer& answer) const {
    if (answer.code == 0) return after_;
    if (answer.said.find("only its adapters of PEFT are missing") == std::string::npos)
      return work_.before();
    State bundle_only = after_;
    std::erase_if(bundle_only,
                  [](const auto& each) { return each.first.starts_with("keep/peft"); });
    return bundle_only;
  }

  // Folders on the way to one that has not appeared yet.
  static bool holds_folders_only(const State& seen, const State& old) {
    return holds(seen, old) && std::all_of(seen.begin(), seen.end(), [&](const auto& each) {
             return each.second == "a folder" || old.contains(each.first);
           });
  }

  Workplace work_;
  size_t calls_ = 0;
  State after_;
};

TEST_P(FaultTable, LeavesTheOldOrTheNewAndNothingElse) {
  constexpr size_t kMost = 60;
  const size_t step = step_for(calls_, std::size(kFaults), kMost);
  size_t injections = 0, failed = 0;
  for (size_t f = 0; f < std::size(kFaults); ++f) {
    const Fault& fault = kFaults[f];
    for (size_t call = f % step; call < calls_; call += step) {
      Answer answer{};
      int hit = 0;
      {
        const Injector injector(call, fault.error);
        answer = run(command().arguments);
        hit = injector.hit();
      }
      SCOPED_TRACE(std::string(fault.name) + " at call " + std::to_string(call) + " of kind " +
                   std::to_string(hit) + ": " + answer.said);
      ++injections;
      failed += answer.code != 0;
      EXPECT_TRUE(answer.code == 0 || (fault.is_to_be_seen() && answer.code == 3)) << answer.code;
      EXPECT_EQ(difference(work_.now(), wanted(answer)), "");
      work_.reset();
    }
  }
  std::cout << command().name << ": " << injections << " injections into " << calls_ << " calls, "
            << failed << " of them errors\n";
}

TEST_P(FaultTable, IsWholeAfterAKillAndTheNextCommandTidiesUp) {
  constexpr size_t kMost = 20;
  const size_t step = step_for(calls_, 1, kMost);
  size_t kills = 0;
  for (size_t call = 0; call < calls_; call += step) {
    SCOPED_TRACE("call " + std::to_string(call));
    const pid_t child = fork();
    if (child == 0) {
      const Injector injector(call, Fault::kKill);
      run(command().arguments);
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
    ++kills;
    expect_old_or_new_after_kill();
    const bool ended = holds(work_.now(), visible(after_));
    const Injector quick(kNever, Fault::kNone);
    const Answer answer = run(ended ? command().tidy_up : command().again);
    EXPECT_EQ(difference(work_.now(), after_), "") << answer.said;
    work_.reset();
  }
  std::cout << command().name << ": " << kills << " kills at " << calls_ << " calls\n";
}

INSTANTIATE_TEST_SUITE_P(Of, FaultTable, testing::ValuesIn(writing_commands()),
                         [](const auto& row) { return std::string(row.param.name); });

}  // namespace
}  // namespace wshare::test

// The same for tasks: threads that switch adapters on sessions of a base, while others append and
// import tasks and remove them again.

#include <atomic>
#include <thread>

#include "runtime/task_sessions.h"
#include "support/places.h"
#include "wshare/append.h"
#include "wshare/import_adapter.h"
#include "wshare/remove.h"

namespace wshare::test {
namespace {

constexpr int kRounds = 3;
const std::vector<std::string> kTasks = {"summarize", "translate", ""};

class RaceOfTasks : public TaskSessions {
 protected:
  RaceOfTasks() {
    Bundle bundle = Bundle::open(folder());
    TaskSession session = bundle.task_session("base");
    for (const std::string& task : kTasks) outputs_.push_back(run(session, task));
  }

  template <typename Command>
  void change(const Command& command) {
    std::string message;
    const int code = code_of(command, &message);
    EXPECT_TRUE(code == 0 || code == 3 || code == 4) << message;
    changes_ += code == 0 ? 1 : 0;
  }

  // Runs each task on `session`, which is open and has to stay right.
  void run_all(TaskSession& session) {
    for (size_t i = 0; i < kTasks.size(); ++i) EXPECT_TRUE(run(session, kTasks[i]) == outputs_[i]);
    runs_ += static_cast<int>(kTasks.size());
  }

  // Opens sessions of `bundle`, or of a new one each time, until the changes have ended.
  void load(Bundle* bundle) {
    do {
      std::string message;
      const int code = code_of(
          [&] {
            if (bundle != nullptr) {
              TaskSession session = bundle->task_session("base");
              run_all(session);
            } else {
              Bundle fresh = Bundle::open(folder());
              TaskSession session = fresh.task_session("base");
              run_all(session);
            }
          },
          &message);
      EXPECT_TRUE(code == 0 || code == 3) << code << message;
    } while (!is_over_);
  }

  std::vector<std::string> outputs_;
  std::atomic<bool> is_over_ = false;
  std::atomic<int> changes_ = 0, runs_ = 0;
};

TEST_F(RaceOfTasks, SessionsAreRightOrErrorsWhileTasksComeAndGo) {
  Bundle shared = Bundle::open(folder());
  TaskSession open = shared.task_session("base");
  std::vector<std::thread> loaders;
  loaders.emplace_back([&] { load(&shared); });
  loaders.emplace_back([&] { load(nullptr); });
  loaders.emplace_back([&] {
    do {
      run_all(open);
    } while (!is_over_);
  });
  std::thread other([&] {
    for (int round = 0; round < kRounds; ++round) {
      ImportOptions options;
      options.task = "imported";
      change([&] { import_adapter(folder(), fs::path(kTestdata) / "adapters/classify", options); });
      change([&] { remove_models(folder(), {"imported"}, {}); });
    }
  });
  for (int round = 0; round < kRounds; ++round) {
    change([&] { append(folder(), {{"again", kFamily / "classify.onnx"}}, {}); });
    change([&] { EXPECT_TRUE(verify(folder(), {2}).empty()); });
    RemoveOptions options;
    options.compact = round % 2 == 1;
    change([&] { remove_models(folder(), {"again"}, options); });
  }
  other.join();
  is_over_ = true;
  for (std::thread& loader : loaders) loader.join();
  EXPECT_GE(changes_, 3 * kRounds);
  EXPECT_GT(runs_, 0);
  expect_sound();
}

}  // namespace
}  // namespace wshare::test

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "runtime/bundle_state.h"
#include "runtime/task_adapter.h"

namespace wshare {

// What bind() gives to a binding for one task, and what that lies in.
struct TaskInputs {
  std::shared_ptr<const TaskAdapter> adapter;  // null: the base
  std::vector<std::pair<std::string, const Ort::Value*>> values;
  uint64_t of_version = 0;
};

// The adapters over one session, of the bundle's tasks and of others. All functions may be called
// by several threads; no file is read under a lock that they need for an adapter that is there.
class TaskAdapters {
 public:
  // `inputs` are those of the session, of the model `base` of `bundle`, a state of `opened`.
  // `device`: that it runs on; null: the CPU.
  TaskAdapters(std::shared_ptr<const OpenBundle> opened, std::shared_ptr<BundleState> bundle,
               std::string base, SessionInputs inputs, std::shared_ptr<const DeviceWeights> device);

  // As TaskSession::tasks().
  std::vector<std::string> tasks();

  // Returns the adapter of `task`, loaded if need be; null for the base and what equals it. It must
  // be kept for as long as a run needs it. Throws what TaskSession's functions throw.
  std::shared_ptr<const TaskAdapter> find(const std::string& task);

  // As TaskSession::add_adapter() and remove_adapter().
  void add(const std::string& name, const std::filesystem::path& path);
  void remove(const std::string& task);

  // Returns all inputs that any task has given so far, or gives by the manifest: each as `task`
  // gives it, else with its default. Throws as TaskSession::bind().
  std::shared_ptr<const TaskInputs> inputs_of(const std::string& task);

 private:
  // The place of one adapter.
  struct Slot {
    std::shared_ptr<BundleState> bundle;  // null: it was added
    TaskRecord record;                    // of the bundle
    std::mutex mutex;
    std::shared_ptr<const TaskAdapter> adapter;  // guarded by mutex; null: not loaded
  };

  // With mutex_ held: takes the tasks of a reloaded bundle.
  void follow_reload();
  void drop_changed_slots();
  void know_parameters(const std::set<std::string, std::less<>>& names);
  std::shared_ptr<Slot> find_slot(const std::string& task);
  std::shared_ptr<const TaskAdapter> load(Slot& slot);
  std::shared_ptr<const TaskInputs> make_inputs(const std::string& task,
                                                std::shared_ptr<const TaskAdapter> adapter,
                                                std::set<std::string, std::less<>> names,
                                                uint64_t version);

  const std::shared_ptr<const OpenBundle> opened_;
  const std::shared_ptr<BundleState> bundle_;  // that the session was made of
  const std::string base_;
  const SessionInputs inputs_;
  const std::shared_ptr<const DeviceWeights> device_;
  std::mutex defaults_mutex_;
  std::map<std::string, Ort::Value> defaults_;  // guarded by defaults_mutex_; none ever goes
  std::mutex mutex_;
  // Guarded by mutex_.
  std::shared_ptr<BundleState> looked_at_;  // the last state of the bundle
  std::shared_ptr<BundleState> tasks_of_;   // the last one whose tasks are of this session's base
  std::map<std::string, std::shared_ptr<Slot>, std::less<>> slots_;
  std::vector<std::string> added_;                 // names of add()
  std::set<std::string, std::less<>> parameters_;  // inputs that a binding may have; none ever goes
  uint64_t version_ = 1;                           // of parameters_
  std::map<std::string, std::shared_ptr<const TaskInputs>, std::less<>> ready_;  // by task
};

}  // namespace wshare

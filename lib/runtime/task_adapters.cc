#include "runtime/task_adapters.h"

#include <algorithm>

#include "runtime/empty_inputs.h"
#include "runtime/input_defaults.h"
#include "runtime/ort_errors.h"
#include "runtime/task_lookup.h"
#include "util/text.h"
#include "wshare/error.h"

// Runs ask for an adapter at each request, so what is there must be given at once, whatever other
// threads load meanwhile: the map of adapters has one lock, held for a look-up, and each adapter
// another, held while it is loaded. An adapter that is taken away, or that a reloaded bundle has no
// longer, lives on in the runs that hold it.
//
// A binding keeps what it was given, also of the task before. So bind() gives every input that any
// task gives, and what a task needs of that is put together once: inputs that were ever given are
// never forgotten, and a list is made anew only when there are more of them.

namespace wshare {
namespace {

// True if both tasks have the same file as their adapter.
bool is_same_adapter(const BundleState& a, const TaskRecord& x, const BundleState& b,
                     const TaskRecord& y) {
  if (!x.adapter || !y.adapter) return !x.adapter && !y.adapter;
  const BlobRecord& left = a.files.records()[*x.adapter];
  const BlobRecord& right = b.files.records()[*y.adapter];
  return left.file == right.file && left.size == right.size && left.hash == right.hash;
}

std::set<std::string, std::less<>> parameter_names(const TaskRecord& task) {
  std::set<std::string, std::less<>> names;
  for (const ParameterRecord& parameter : task.parameters) names.insert(parameter.name);
  return names;
}

}  // namespace

TaskAdapters::TaskAdapters(std::shared_ptr<const OpenBundle> opened,
                           std::shared_ptr<BundleState> bundle, std::string base,
                           SessionInputs inputs, std::shared_ptr<const DeviceWeights> device)
    : opened_(std::move(opened)),
      bundle_(std::move(bundle)),
      base_(std::move(base)),
      inputs_(std::move(inputs)),
      device_(std::move(device)),
      looked_at_(bundle_),
      tasks_of_(bundle_) {
  for (const TaskRecord& task : bundle_->manifest.tasks()) {
    if (task.base == base_) know_parameters(parameter_names(task));
  }
}

void TaskAdapters::know_parameters(const std::set<std::string, std::less<>>& names) {
  const size_t before = parameters_.size();
  for (const std::string& name : names) {
    // What is no input is refused when its task is named.
    if (inputs_.contains(name)) parameters_.insert(name);
  }
  if (parameters_.size() != before) ++version_;
}

void TaskAdapters::follow_reload() {
  std::shared_ptr<BundleState> now = opened_->now();
  if (now == looked_at_) return;
  looked_at_ = now;
  if (!now->has_same(*bundle_, base_)) return;  // its tasks are of another model
  tasks_of_ = std::move(now);
  drop_changed_slots();
  for (const TaskRecord& task : tasks_of_->manifest.tasks()) {
    if (task.base == base_) know_parameters(parameter_names(task));
  }
}

void TaskAdapters::drop_changed_slots() {
  std::erase_if(slots_, [&](const auto& entry) {
    const Slot& slot = *entry.second;
    if (slot.bundle == nullptr) return false;
    const std::optional<TaskRecord> task = find_task(*tasks_of_, base_, entry.first);
    return !task || !is_same_adapter(*slot.bundle, slot.record, *tasks_of_, *task);
  });
}

std::vector<std::string> TaskAdapters::tasks() {
  const std::lock_guard lock(mutex_);
  follow_reload();
  std::vector<std::string> names;
  for (const TaskRecord& task : tasks_of_->manifest.tasks()) {
    const bool is_hidden = std::find(added_.begin(), added_.end(), task.name) != added_.end();
    if (task.base == base_ && is_over_base(task) && !is_hidden) names.push_back(task.name);
  }
  names.insert(names.end(), added_.begin(), added_.end());
  return names;
}

std::shared_ptr<TaskAdapters::Slot> TaskAdapters::find_slot(const std::string& task) {
  {
    const std::lock_guard lock(mutex_);
    follow_reload();
    if (const auto found = slots_.find(task); found != slots_.end()) return found->second;
    if (std::optional<TaskRecord> record = find_task(*tasks_of_, base_, task)) {
      require_over_base(*record);
      auto slot = std::make_shared<Slot>();
      slot->bundle = tasks_of_;
      slot->record = *std::move(record);
      return slots_.emplace(task, std::move(slot)).first->second;
    }
  }
  const std::vector<std::string> names = tasks();
  const std::lock_guard lock(mutex_);
  refuse_unknown(task, base_, names, looked_at_ != tasks_of_);
}

std::shared_ptr<const TaskAdapter> TaskAdapters::load(Slot& slot) {
  const TaskRecord& record = slot.record;
  const std::vector<NamedTensor> listed = parameters_of(record);
  check_parameters(record.name, listed, inputs_);
  TaskAdapter adapter = translate_errors(record.name, [&] {
    return read_task_adapter(slot.bundle->files.whole_blob(*record.adapter), device_.get());
  });
  check_is_listed(record, adapter.file.path(), adapter.parameters);
  return std::make_shared<const TaskAdapter>(std::move(adapter));
}

std::shared_ptr<const TaskAdapter> TaskAdapters::find(const std::string& task) {
  if (task.empty()) return nullptr;
  const std::shared_ptr<Slot> slot = find_slot(task);
  const std::lock_guard lock(slot->mutex);
  if (slot->adapter == nullptr && slot->record.adapter) slot->adapter = load(*slot);
  return slot->adapter;
}

void TaskAdapters::add(const std::string& name, const std::filesystem::path& path) {
  if (name.empty()) throw Error(ErrorCode::kInvalid, "a task needs a name");
  auto slot = std::make_shared<Slot>();
  slot->adapter = translate_errors(name, [&] {
    return std::make_shared<const TaskAdapter>(
        read_task_adapter(MappedFile::open(std::filesystem::absolute(path)), device_.get()));
  });
  check_parameters(name, slot->adapter->parameters, inputs_);
  const std::lock_guard lock(mutex_);
  follow_reload();
  const std::vector<TaskRecord>& tasks = tasks_of_->manifest.tasks();
  const bool is_known = std::any_of(tasks.begin(), tasks.end(),
                                    [&](const TaskRecord& task) { return task.name == name; });
  if (is_known || slots_.contains(name)) {
    throw Error(ErrorCode::kInvalid, in_quotes(name) + ": there is a task of this name already");
  }
  know_parameters(slot->adapter->names);
  slots_.emplace(name, std::move(slot));
  added_.push_back(name);
}

void TaskAdapters::remove(const std::string& task) {
  std::shared_ptr<Slot> slot;  // goes after the lock: unmapping takes time
  std::shared_ptr<const TaskInputs> inputs;
  const std::lock_guard lock(mutex_);
  const auto found = slots_.find(task);
  if (found == slots_.end()) {
    throw Error(ErrorCode::kInvalid, in_quotes(task) + ": no adapter of this name is loaded");
  }
  slot = std::move(found->second);
  slots_.erase(found);
  std::erase(added_, task);
  if (const auto bound = ready_.find(task); bound != ready_.end()) {
    inputs = std::move(bound->second);
    ready_.erase(bound);
  }
}

std::shared_ptr<const TaskInputs> TaskAdapters::inputs_of(const std::string& task) {
  std::shared_ptr<const TaskAdapter> adapter = find(task);
  std::set<std::string, std::less<>> names;
  uint64_t version = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto found = ready_.find(task);
    if (found != ready_.end() && found->second->of_version == version_ &&
        found->second->adapter == adapter)
      return found->second;
    names = parameters_;
    version = version_;
  }
  std::shared_ptr<const TaskInputs> made = make_inputs(task, adapter, std::move(names), version);
  const std::lock_guard lock(mutex_);
  ready_[task] = made;
  return made;
}

std::shared_ptr<const TaskInputs> TaskAdapters::make_inputs(
    const std::string& task, std::shared_ptr<const TaskAdapter> adapter,
    std::set<std::string, std::less<>> names, uint64_t version) {
  auto made = std::make_shared<TaskInputs>();
  made->of_version = version;
  for (size_t i = 0; adapter != nullptr && i < adapter->values.size(); ++i) {
    made->values.emplace_back(adapter->parameters[i].name, &adapter->values[i]);
    names.erase(adapter->parameters[i].name);
  }
  made->adapter = std::move(adapter);
  const std::lock_guard lock(defaults_mutex_);
  std::set<std::string> missing;
  for (const std::string& name : names) {
    if (!defaults_.contains(name)) missing.insert(name);
  }
  if (!missing.empty()) {
    const ModelRecord record = bundle_->manifest.read(base_).model;
    const MappedFile model = bundle_->files.model(record);
    std::map<std::string, Ort::Value> read = read_defaults(
        model.bytes(), record, [&](const Extent& at) { return bundle_->files.bytes(at); }, missing);
    if (device_ != nullptr && device_->fails_on_empty()) {
      for (auto& [name, value] : read) value = fill_empty(std::move(value));
    }
    defaults_.merge(read);
  }
  for (const std::string& name : names) {
    const auto known = defaults_.find(name);
    if (known == defaults_.end()) {
      throw Error(ErrorCode::kInvalid,
                  "input " + in_quotes(name) + " has no default, and task " + in_quotes(task) +
                      " does not give it",
                  "one binding cannot take turns with a task that gives it");
    }
    made->values.emplace_back(name, &known->second);
  }
  return made;
}

}  // namespace wshare

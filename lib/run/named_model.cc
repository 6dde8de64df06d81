#include "run/named_model.h"

#include <algorithm>
#include <set>

#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "util/suggest.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

const TaskRecord& require_task(const Manifest& manifest, const std::string& name) {
  if (const TaskRecord* task = find_task(manifest, name)) return *task;
  std::vector<std::string> names;
  for (const TaskRecord& task : manifest.tasks) names.push_back(task.name);
  throw Error(ErrorCode::kInvalid, in_quotes(name) + ": no such task in the bundle",
              names.empty() ? "it has no tasks" : hint_of_names(name, names));
}

struct Chosen {
  std::vector<const ModelRecord*> models;
  std::vector<const TaskRecord*> tasks;
};

template <typename Record>
void add_once(std::vector<const Record*>& records, const Record& record) {
  if (std::find(records.begin(), records.end(), &record) == records.end())
    records.push_back(&record);
}

// What serves a task is run as the task, not as a model once more.
Chosen choose_all(const Manifest& manifest) {
  Chosen chosen;
  std::set<std::string> of_tasks;
  for (const TaskRecord& task : manifest.tasks) {
    of_tasks.insert(task.model);
    chosen.tasks.push_back(&task);
  }
  for (const TaskRecord& task : manifest.tasks) of_tasks.erase(task.base);
  for (const ModelRecord& model : manifest.models) {
    if (!of_tasks.contains(model.name)) chosen.models.push_back(&model);
  }
  return chosen;
}

Chosen choose(const Manifest& manifest, const std::vector<std::string>& names,
              const std::vector<std::string>& tasks) {
  if (names.empty() && tasks.empty()) return choose_all(manifest);
  Chosen chosen;
  for (const std::string& name : names) add_once(chosen.models, find_model(manifest, name));
  for (const std::string& name : tasks) add_once(chosen.tasks, require_task(manifest, name));
  return chosen;
}

}  // namespace

std::vector<NamedModel> find_models(const std::filesystem::path& folder,
                                    const std::vector<std::string>& names,
                                    const std::vector<std::string>& tasks) {
  const Manifest manifest = load_manifest(folder);
  const Chosen chosen = choose(manifest, names, tasks);
  std::set<std::string> bases;  // of sessions that tasks share
  for (const TaskRecord* task : chosen.tasks) {
    if (is_over_base(*task)) bases.insert(task->base);
  }
  std::vector<NamedModel> models;
  for (const ModelRecord* model : chosen.models) {
    models.push_back({model->name, folder / model->file, {}, bases.contains(model->name)});
  }
  for (const TaskRecord* task : chosen.tasks) {
    const bool shares = is_over_base(*task);
    const ModelRecord& model = find_model(manifest, shares ? task->base : task->model);
    models.push_back({task->name, folder / model.file, model.name, shares, task->base});
  }
  if (models.empty())
    throw Error(ErrorCode::kInvalid, in_quotes(folder.string()) + ": has no models");
  return models;
}

}  // namespace wshare

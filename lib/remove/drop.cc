#include "remove/drop.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "bundle/drop_unneeded.h"
#include "util/suggest.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using Names = std::set<std::string>;

std::vector<std::string> all_names(const Manifest& manifest) {
  Names seen;
  std::vector<std::string> names;
  const auto add = [&](const std::string& name) {
    if (seen.insert(name).second) names.push_back(name);
  };
  for (const ModelRecord& model : manifest.models) add(model.name);
  for (const TaskRecord& task : manifest.tasks) add(task.name);
  for (const ArchivedRecord& model : manifest.archived) add(model.name);
  return names;
}

// `names` with what goes with them: tasks of models, and models of tasks.
Names complete(const Manifest& manifest, const std::vector<std::string>& names) {
  const std::vector<std::string> all = all_names(manifest);
  const Names known(all.begin(), all.end());
  Names gone(names.begin(), names.end());
  for (const std::string& name : names) {
    if (known.count(name) != 0) continue;
    throw Error(ErrorCode::kInvalid, in_quotes(name) + ": no such model or task in the bundle",
                hint_of_names(name, all));
  }
  Names needed;  // models that tasks which stay run on
  for (const TaskRecord& task : manifest.tasks) {
    if (gone.count(task.name) == 0 && (task.model.empty() || gone.count(task.model) == 0))
      needed.insert(task.base);
  }
  for (const TaskRecord& task : manifest.tasks) {
    if (!task.model.empty() && gone.count(task.name) != 0 && needed.count(task.model) == 0)
      gone.insert(task.model);
    if (!task.model.empty() && gone.count(task.model) != 0) gone.insert(task.name);
  }
  return gone;
}

void require_bases(const Manifest& manifest, const Names& gone) {
  std::map<std::string, std::string> tasks_of;
  for (const TaskRecord& task : manifest.tasks) {
    if (gone.count(task.name) != 0 || gone.count(task.base) == 0) continue;
    std::string& list = tasks_of[task.base];
    list += (list.empty() ? "" : ", ") + in_quotes(task.name);
  }
  for (const auto& [base, tasks] : tasks_of) {
    throw Error(ErrorCode::kInvalid, in_quotes(base) + ": is the base of the tasks " + tasks,
                "remove these, too");
  }
}

}  // namespace

Remainder drop_models(const Manifest& manifest, const std::vector<std::string>& names) {
  const Names gone = complete(manifest, names);
  require_bases(manifest, gone);
  Remainder result;
  result.manifest = manifest;
  Manifest& left = result.manifest;
  const auto is_gone = [&](const auto& record) { return gone.count(record.name) != 0; };
  std::erase_if(left.models, is_gone);
  std::erase_if(left.tasks, is_gone);
  std::erase_if(left.archived, is_gone);
  if (left.models.empty() && left.archived.empty()) {
    throw Error(ErrorCode::kInvalid, "nothing would be left in the bundle",
                "to be rid of all models, delete its folder");
  }
  Names seen;
  for (const ModelRecord& model : manifest.models) {
    if (is_gone(model) && seen.insert(model.name).second) result.removed.push_back(model.name);
  }
  for (const TaskRecord& task : manifest.tasks) {
    if (is_gone(task) && seen.insert(task.name).second) result.removed.push_back(task.name);
  }
  for (const ArchivedRecord& model : manifest.archived) {
    if (is_gone(model)) result.removed.push_back(model.name);
  }
  std::map<std::string_view, const ModelRecord*> models_left;
  for (const ModelRecord& model : left.models) models_left[model.name] = &model;
  // A pack of another file than the model has now is of no use to anybody.
  std::erase_if(left.packs, [&](const PackRecord& pack) {
    return is_gone(pack.model) || pack.made_of != models_left.at(pack.model.name)->hash;
  });
  drop_unneeded(manifest, left);
  result.unused_bytes = unused_bytes(left);
  return result;
}

}  // namespace wshare

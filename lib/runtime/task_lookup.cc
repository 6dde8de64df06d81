#include "runtime/task_lookup.h"

#include <algorithm>

#include "runtime/task_adapter.h"
#include "util/name_list.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {

std::optional<TaskRecord> find_task(const BundleState& bundle, const std::string& base,
                                    const std::string& name) {
  for (const TaskRecord& task : bundle.manifest.tasks()) {
    if (task.base == base && task.name == name) return task;
  }
  return std::nullopt;
}

void refuse_unknown(const std::string& name, const std::string& base,
                    const std::vector<std::string>& names, bool is_newer) {
  std::string hint = names.empty() ? "it has none" : "it has " + list_in_quotes(names);
  if (is_newer) hint = "the bundle has another " + in_quotes(base) + " now: open a session of it";
  throw Error(ErrorCode::kInvalid,
              in_quotes(name) + ": no such task over " + in_quotes(base) + " in the bundle", hint);
}

void require_over_base(const TaskRecord& task) {
  if (is_over_base(task)) return;
  throw Error(ErrorCode::kInvalid,
              "task " + in_quotes(task.name) + " is no adapter over " + in_quotes(task.base),
              "it has a model of its own: open a session of " + in_quotes(task.model));
}

void check_is_listed(const TaskRecord& task, const std::filesystem::path& file,
                     std::span<const NamedTensor> parameters) {
  const auto same = [](const NamedTensor& a, const NamedTensor& b) {
    return a.name == b.name && a.dtype == b.dtype && a.shape == b.shape;
  };
  const std::vector<NamedTensor> listed = parameters_of(task);
  if (std::equal(listed.begin(), listed.end(), parameters.begin(), parameters.end(), same)) return;
  throw Error(ErrorCode::kInvalid,
              in_quotes(file.string()) +
                  ": its parameters are not the ones that the manifest lists for task " +
                  in_quotes(task.name));
}

}  // namespace wshare

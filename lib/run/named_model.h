#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace wshare {

// A model or a task of a bundle, as `wshare run` opens it.
struct NamedModel {
  std::string name;
  std::filesystem::path path;  // of the .onnx of its session, also what inputs are made from
  // Of a task: the model that its session is of, the task's base or its own. Of a model: empty.
  std::string task_of = {};
  // Its session is one with those of other tasks over the base, and of the base itself.
  bool shares_session = false;
  // Of a task: its base, whose inputs it takes where there are none for the task itself.
  std::string base = {};

  bool is_task() const { return !task_of.empty(); }
  // What inputs may be given under: its own name, then that of its base.
  std::vector<std::string> names() const {
    return base.empty() ? std::vector{name} : std::vector{name, base};
  }
  const std::string& session_model() const { return is_task() ? task_of : name; }
};

// Returns the models `names` and the tasks `tasks` of the bundle in `folder`; a name given twice
// counts once. When both are empty: all tasks, behind all models but those that are only there for
// a task.
//
// Throws Error(kIo) if there is no bundle, Error(kInvalid) if it has no models at all, or, listing
// them, none of a name.
std::vector<NamedModel> find_models(const std::filesystem::path& folder,
                                    const std::vector<std::string>& names,
                                    const std::vector<std::string>& tasks = {});

}  // namespace wshare

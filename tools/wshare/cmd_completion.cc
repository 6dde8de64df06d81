#include <CLI/CLI.hpp>
#include <memory>
#include <ostream>
#include <set>

#include "cli.h"
#include "command_table.h"
#include "completion.h"
#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "util/visible.h"
#include "wshare/error.h"

namespace wshare {
namespace {

// Prints the names of models and tasks of a bundle, a line each, but for those that a terminal does
// not show as they are; nothing where there is no bundle.
int print_names(const std::string& bundle, std::ostream& out) {
  std::set<std::string> names;
  try {
    const Manifest manifest = load_manifest(bundle);
    for (const ModelRecord& model : manifest.models) names.insert(model.name);
    for (const TaskRecord& task : manifest.tasks) names.insert(task.name);
    for (const ArchivedRecord& model : manifest.archived) names.insert(model.name);
  } catch (const Error&) {
    // Someone is typing: there is nothing to complete, and no place to say why.
  }
  for (const std::string& name : names) {
    if (!name.empty() && visible(name) == name) out << name << '\n';
  }
  return 0;
}

}  // namespace

void add_completion(CLI::App& app, Context& context, Action& action) {
  const auto shell = std::make_shared<std::string>();
  app.add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  app.callback([=, &app, &context, &action] {
    action = [=, &app, &context] {
      context.out << completion_script(*app.get_parent(), *shell);
      return 0;
    };
  });
}

// What completion scripts call; hidden.
void add_complete_names(CLI::App& app, Context& context, Action& action) {
  const auto bundle = std::make_shared<std::string>();
  app.add_option("BUNDLE", *bundle, "The bundle")->required();
  app.callback([=, &context, &action] {
    action = [=, &context] { return print_names(*bundle, context.out); };
  });
}

}  // namespace wshare

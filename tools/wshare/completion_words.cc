#include "completion_words.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <initializer_list>

#include "command_table.h"

namespace wshare {
namespace {

bool is_one_of(const std::string& text, std::initializer_list<const char*> words) {
  return std::any_of(words.begin(), words.end(), [&](const char* word) { return text == word; });
}

bool has_bundle(const CLI::App& app) {
  const Options positionals = options_of(app, true);
  return !positionals.empty() && positionals[0]->get_name() == "BUNDLE";
}

}  // namespace

Options options_of(const CLI::App& app, bool positional) {
  Options options;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional() == positional) options.push_back(option);
  }
  return options;
}

std::vector<std::string> words_of(const std::string& value) {
  std::vector<std::string> words;
  if (!value.starts_with("{")) return words;
  for (size_t at = 1; at < value.size();) {
    const size_t end = std::min(value.find(',', at), value.size() - 1);
    words.push_back(value.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

Completed kind_of(const CLI::App& app, const CLI::Option& option) {
  const std::string name = option.get_name(), value = value_name(option);
  if (name == "COMMAND") return Completed::kCommand;
  if (value.empty()) return Completed::kFlag;
  if (value.starts_with("{")) return Completed::kWords;
  if (is_one_of(name, {"BUNDLE", "--output", "--inputs", "--peft-dir"})) return Completed::kFolder;
  if (is_one_of(name, {"NAME", "--model", "--task"})) return Completed::kName;
  if (name == "--base" && has_bundle(app)) return Completed::kName;
  if (value == "N" || is_one_of(name, {"--name", "--rank", "--shape"})) return Completed::kAny;
  if (name.starts_with("--max-") || name == "--fail-on") return Completed::kAny;
  return Completed::kFile;
}

Completed rest_kind(const CLI::App& app, bool behind_bundle) {
  const Options positionals = options_of(app, true);
  if (positionals.empty()) return Completed::kAny;
  const bool further = behind_bundle && has_bundle(app) && positionals.size() > 1;
  return kind_of(app, *positionals[further ? 1 : 0]);
}

std::vector<std::string> spellings(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  return names;
}

std::vector<std::string> command_words() {
  std::vector<std::string> words;
  for (const Command& command : commands()) {
    if (!command.is_hidden()) words.emplace_back(command.name);
  }
  return words;
}

std::vector<const CLI::App*> shown(const CLI::App& app) {
  std::vector<const CLI::App*> apps;
  for (const std::string& word : command_words()) apps.push_back(app.get_subcommand(word));
  return apps;
}

}  // namespace wshare

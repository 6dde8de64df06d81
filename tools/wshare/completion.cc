#include "completion.h"

#include <CLI/CLI.hpp>
#include <vector>

#include "command_table.h"
#include "completion_words.h"

// Names of models come from files of anyone, so no script hands them to anything that expands its
// words (as `compgen -W` does).

namespace wshare {
namespace {

std::string joined(const std::vector<std::string>& words, const char* between) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : between) + word;
  return text;
}

// Between single quotes, for all three shells; `escaped` get a backslash.
std::string quoted(const std::string& text, const std::string& escaped, const char* quote) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'') {
      result += quote;
      continue;
    }
    if (escaped.find(c) != std::string::npos) result += '\\';
    result += c;
  }
  return result + "'";
}

std::string bash_action(Completed kind, const std::vector<std::string>& words) {
  switch (kind) {
    case Completed::kWords:
      return "_wshare_words " + joined(words, " ");
    case Completed::kCommand:
      return "_wshare_words $commands";
    case Completed::kFolder:
      return "_wshare_folders";
    case Completed::kName:
      return "_wshare_names";
    case Completed::kFile:
      return "_wshare_files";
    default:
      return ":";
  }
}

constexpr char kBashFront[] = R"script(# Completes wshare in bash. Made by: wshare completion bash
_wshare_words() { COMPREPLY=($(compgen -W "$*" -- "$cur")); }
_wshare_folders() { compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur"); }
_wshare_files() { compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); }
_wshare_bundle() {
  local word
  for word in "${COMP_WORDS[@]:2:COMP_CWORD-2}"; do
    if [[ -f $word/manifest.json ]]; then bundle=$word; return; fi
  done
}
_wshare_names() {
  local name
  if [[ -z $bundle ]]; then _wshare_folders; return; fi
  while IFS= read -r name; do
    if [[ $name == "$cur"* ]]; then COMPREPLY+=("$(printf %q "$name")"); fi
  done < <("${COMP_WORDS[0]}" complete-names "$bundle" 2>/dev/null)
}
_wshare() {
  local cur=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} bundle=
  COMPREPLY=()
  if [[ $cur == = ]]; then
    cur=
  elif [[ $previous == = ]]; then
    previous=${COMP_WORDS[COMP_CWORD-2]}
  fi
  _wshare_bundle
)script";

std::string bash_script(const CLI::App& app) {
  std::string script = kBashFront;
  script += "  local commands='" + joined(command_words(), " ") + "'\n";
  script += "  if ((COMP_CWORD == 1)); then _wshare_words $commands --help --version; return; fi\n";
  script += "  case $command:$previous in\n";
  std::string options, rest;
  for (const CLI::App* sub : shown(app)) {
    std::vector<std::string> all;
    for (const CLI::Option* option : options_of(*sub, false)) {
      const std::vector<std::string> names = spellings(*option);
      all.insert(all.end(), names.begin(), names.end());
      const Completed kind = kind_of(*sub, *option);
      if (kind == Completed::kFlag) continue;
      std::vector<std::string> patterns;
      for (const std::string& name : names) patterns.push_back(sub->get_name() + ":" + name);
      script += "    " + joined(patterns, "|") + ") " +
                bash_action(kind, words_of(value_name(*option))) + "; return ;;\n";
    }
    options += "      " + sub->get_name() + ") _wshare_words " + joined(all, " ") + " ;;\n";
    for (const bool behind : {false, true}) {
      const Completed kind = rest_kind(*sub, behind);
      const std::vector<std::string> words = kind == Completed::kWords
                                                 ? words_of(value_name(*options_of(*sub, true)[0]))
                                                 : std::vector<std::string>();
      std::string action = bash_action(kind, words);
      // As in "export oci BUNDLE": words come first, then files.
      if (kind == Completed::kWords && options_of(*sub, true).size() > 1)
        action = "if ((COMP_CWORD == 2)); then " + action + "; else _wshare_files; fi";
      rest += "    " + sub->get_name() + (behind ? ":?*) " : ":) ") + action + " ;;\n";
    }
  }
  script += "  esac\n  if [[ $cur == -* ]]; then\n    case $command in\n" + options +
            "    esac\n    return\n  fi\n  case $command:$bundle in\n" + rest +
            "  esac\n}\ncomplete -F _wshare wshare\n";
  return script;
}

std::string zsh_action(Completed kind, const std::vector<std::string>& words) {
  switch (kind) {
    case Completed::kWords:
      return "(" + joined(words, " ") + ")";
    case Completed::kCommand:
      return "(" + joined(command_words(), " ") + ")";
    case Completed::kFolder:
      return "_files -/";
    case Completed::kName:
      return "_wshare_names";
    case Completed::kFile:
      return "_files";
    default:
      return " ";
  }
}

constexpr char kZshFront[] = R"script(#compdef wshare
# Completes wshare in zsh. Made by: wshare completion zsh
_wshare_names() {
  local word
  local -a names
  for word in ${(Q)words[3,CURRENT-1]}; do
    [[ -f $word/manifest.json ]] || continue
    names=("${(@f)$("${(Q)words[1]}" complete-names "$word" 2>/dev/null)}")
    compadd -a names
    return
  done
  _files -/
}
_wshare() {
  local -a commands
)script";

std::string zsh_script(const CLI::App& app) {
  constexpr char kQuote[] = "'\\''";
  std::string script = kZshFront;
  script += "  commands=(\n";
  for (const CLI::App* sub : shown(app)) {
    script += "    " + quoted(sub->get_name() + ":" + sub->get_description(), "", kQuote) + "\n";
  }
  script += "  )\n  if ((CURRENT == 2)); then _describe command commands; return; fi\n";
  script += "  local command=$words[2]\n  case $command in\n";
  for (const CLI::App* sub : shown(app)) {
    script += "    " + sub->get_name() + ")\n      _arguments -s '1: '";
    for (const CLI::Option* option : options_of(*sub, false)) {
      const Completed kind = kind_of(*sub, *option);
      const std::string tail = kind == Completed::kFlag
                                   ? ""
                                   : ":value:" + zsh_action(kind, words_of(value_name(*option)));
      const std::string described = quoted(option->get_description(), "[]:", kQuote);
      const std::string what = "[" + described.substr(1, described.size() - 2) + "]" + tail;
      for (const std::string& name : spellings(*option))
        script += " \\\n        '" + name + what + "'";
    }
    const Options positionals = options_of(*sub, true);
    for (size_t i = 0; i < positionals.size(); ++i) {
      const bool many = positionals[i]->get_expected_max() > 1;
      script += " \\\n        '" + (many ? "*" : std::to_string(i + 2)) + ":" +
                positionals[i]->get_name() + ":" +
                zsh_action(kind_of(*sub, *positionals[i]), words_of(value_name(*positionals[i]))) +
                "'";
    }
    script += "\n      ;;\n";
  }
  return script +
         "  esac\n}\nif [[ $funcstack[1] == _wshare ]]; then _wshare \"$@\"; "
         "else compdef _wshare wshare; fi\n";
}

std::string fish_action(Completed kind, const std::vector<std::string>& words) {
  switch (kind) {
    case Completed::kWords:
      return " -x -a '" + joined(words, " ") + "'";
    case Completed::kCommand:
      return " -x -a '" + joined(command_words(), " ") + "'";
    case Completed::kFolder:
      return " -x -a '(__fish_complete_directories)'";
    case Completed::kName:
      return " -x -a '(__wshare_names)'";
    case Completed::kFile:
      return " -r -F";
    default:
      return " -x";
  }
}

constexpr char kFishFront[] = R"script(# Completes wshare in fish. Made by: wshare completion fish
function __wshare_names
    set -l words (commandline -opc)
    for word in $words[3..-1]
        if test -f "$word/manifest.json"
            $words[1] complete-names "$word" 2>/dev/null
            return
        end
    end
    __fish_complete_directories
end
complete -c wshare -f -n __fish_use_subcommand
)script";

std::string fish_script(const CLI::App& app) {
  constexpr char kQuote[] = "\\'";
  std::string script = kFishFront;
  for (const CLI::App* sub : shown(app)) {
    script += "complete -c wshare -n __fish_use_subcommand -a " + sub->get_name() + " -d " +
              quoted(sub->get_description(), "\\", kQuote) + "\n";
    const std::string front =
        "complete -c wshare -n '__fish_seen_subcommand_from " + sub->get_name() + "'";
    for (const CLI::Option* option : options_of(*sub, false)) {
      std::string line = front;
      for (const std::string& name : option->get_snames()) line += " -s " + name;
      for (const std::string& name : option->get_lnames()) line += " -l " + name;
      const Completed kind = kind_of(*sub, *option);
      if (kind != Completed::kFlag) line += fish_action(kind, words_of(value_name(*option)));
      script += line + " -d " + quoted(option->get_description(), "\\", kQuote) + "\n";
    }
    const Options positionals = options_of(*sub, true);
    if (!positionals.empty()) {
      const CLI::Option& last = *positionals.back();
      const Completed kind = kind_of(*sub, last);
      const std::string action = fish_action(kind, words_of(value_name(last)));
      script += front + (kind == Completed::kFile ? " -F" : " -f" + action.substr(3)) + "\n";
    }
  }
  return script;
}

}  // namespace

std::string completion_script(const CLI::App& app, const std::string& shell) {
  if (shell == "zsh") return zsh_script(app);
  return shell == "fish" ? fish_script(app) : bash_script(app);
}

}  // namespace wshare

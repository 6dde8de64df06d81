#include "command_table.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <memory>

#include "command_examples.h"
#include "versions.h"

namespace wshare {
namespace {

constexpr std::array kCommands = {
    Command{"dedupe", "MODEL... -o BUNDLE", "Share equal weights across models", add_dedupe},
    Command{"append", "BUNDLE MODEL...", "Add models to a bundle", add_append},
    Command{"remove", "BUNDLE NAME...", "Take models out of a bundle", add_remove},
    Command{"archive", "BUNDLE [NAME...]", "Keep models as what can be computed from others",
            add_archive},
    Command{"thaw", "BUNDLE NAME...", "Make archived models run again", add_thaw},
    Command{"restore", "BUNDLE [NAME...] -o DIR", "Give the original files back", add_restore},
    Command{"verify", "BUNDLE", "Check every byte of a bundle against its manifest", add_verify},
    Command{"inspect", "PATH...", "Show what is in models or bundles, and what sharing saves",
            add_inspect},
    Command{"diff", "A.onnx B.onnx", "Say how two models differ, tensor by tensor", add_diff},
    Command{"doctor", "PATH...", "Say which programs open models as they lie here, and what to do",
            add_doctor},
    Command{"extract-lora", "TASK... -o BUNDLE", "Make of task models one base and small adapters",
            add_extract_lora},
    Command{"import-adapter", "BUNDLE ADAPTER",
            "Make an adapter of PEFT, kohya, diffusers, ... a task of a bundle",
            add_import_adapter},
    Command{"pack", "BUNDLE", "Store what this ONNX Runtime makes of the weights for this CPU",
            add_pack},
    Command{"run", "BUNDLE", "Open sessions over shared weights, run them, check and measure",
            add_run},
    Command{"export", "KIND BUNDLE DEST", "Write what registries, servers and hubs take",
            add_export},
    Command{"import", "oci LAYOUT[:TAG] -o BUNDLE", "Make a bundle of what came from a registry",
            add_import},
    Command{"completion", "bash|zsh|fish", "Print what completes command lines in a shell",
            add_completion},
    Command{"help", "[COMMAND]", "Show how a command is used", add_help},
    Command{"complete-names", "", "", add_complete_names},  // called by completions
    Command{"pages", "", "", add_pages},                    // called by the build
    Command{"child", "", "", add_child},                    // started by wshare itself
};

// Says "Usage: wshare dedupe MODEL... -o BUNDLE [OPTIONS]", as docs/cli.md does.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() {
    column_width(26);
    label("Positionals", "Arguments");
  }

  std::string make_usage(const CLI::App* app, std::string) const override {
    const Command* command = find_command(app->get_name());
    if (command == nullptr) return "Usage: wshare COMMAND [OPTIONS]\n";
    return std::string("Usage: wshare ") + command->name + " " + command->usage + " [OPTIONS]\n";
  }

  std::string make_option_opts(const CLI::Option* option) const override {
    const std::string value = option->get_positional() ? "" : value_name(*option);
    return value.empty() ? "" : " " + value;
  }

  std::string make_option_desc(const CLI::Option* option) const override {
    const std::string& standard = option->get_default_str();
    return option->get_description() + (standard.empty() ? "" : " (default: " + standard + ")");
  }
};

// What stands at the end of a command's help.
std::string examples_text(const std::string& command) {
  std::string text;
  for (const char* line : examples_of(command))
    text += (text.empty() ? "Examples:\n  " : "\n  ") + std::string(line);
  return text;
}

}  // namespace

std::string value_name(const CLI::Option& option) {
  if (option.get_expected_max() == 0) return {};  // a flag
  const std::string type = option.get_type_name();
  const size_t members = type.find('{');
  if (members != std::string::npos && type.find(',') != std::string::npos)
    return type.substr(members, type.find('}') - members + 1);
  const std::string plain = type.substr(0, type.find(':'));
  if (plain == "UINT" || plain == "INT" || plain == "FLOAT") return "N";
  return plain;
}

std::span<const Command> commands() { return kCommands; }

const Command* find_command(const std::string& name) {
  const auto at = std::find_if(kCommands.begin(), kCommands.end(),
                               [&](const Command& command) { return command.name == name; });
  return at == kCommands.end() ? nullptr : &*at;
}

void add_commands(CLI::App& app, Context& context, Action& action) {
  app.set_help_flag("-h,--help", "Show this help");
  app.formatter(std::make_shared<HelpFormatter>());  // commands inherit it
  app.set_version_flag("--version", versions_text, "Print the versions of wshare and its parts");
  app.require_subcommand(1);
  for (const Command& command : kCommands) {
    CLI::App* sub = app.add_subcommand(command.name, command.summary);
    sub->group(command.is_hidden() ? "" : group_of(command.name));
    sub->footer(examples_text(command.name));
    sub->set_help_flag("-h,--help", "Show this help");
    sub->add_flag("--json", context.json, "Print one JSON object instead of text");
    sub->add_flag("-q,--quiet", context.quiet, "Print no progress and no warnings");
    sub->add_option("-j,--threads", context.threads, "Threads to use (default: all cores)")
        ->check(CLI::Range(1, 1024));
    command.add(*sub, context, action);
  }
}

}  // namespace wshare

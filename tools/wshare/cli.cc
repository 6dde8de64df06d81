#include "cli.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <optional>
#include <ostream>

#include "command_table.h"
#include "progress_bar.h"
#include "rows.h"
#include "short_message.h"
#include "util/interrupt.h"
#include "util/mapped_file.h"
#include "util/suggest.h"
#include "util/text.h"
#include "util/visible.h"
#include "wshare/error.h"

namespace wshare {
namespace {

// A mistake on the command line; CLI11 finds the others.
struct Mistake {
  std::string message, hint;
};

void print_error(const Context& context, const std::string& message, const std::string& hint) {
  context.err << in_red(context.console, "wshare:") << ' ' << visible(message) << '\n';
  if (!hint.empty())
    context.err << in_cyan(context.console, "hint:") << ' ' << visible(hint) << '\n';
}

// CLI11 answers a mistyped command with "A subcommand is required", so names are checked before.
std::optional<Mistake> find_command_mistake(const std::vector<std::string>& arguments) {
  const std::string all = "'wshare --help' lists the commands";
  if (arguments.empty()) return Mistake{"there is no command", all};
  if (arguments[0].starts_with("-") || find_command(arguments[0]) != nullptr) return {};
  std::vector<std::string> known;
  for (const Command& command : commands()) {
    if (!command.is_hidden()) known.emplace_back(command.name);
  }
  const std::string meant = nearest(arguments[0], known);
  return Mistake{in_quotes(arguments[0]) + ": no such command",
                 meant.empty() ? all : "did you mean " + in_quotes(meant) + "?"};
}

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

// Before CLI11 misses an argument that stands behind a mistyped option, and says only that.
std::optional<Mistake> find_option_mistake(const CLI::App& root,
                                           const std::vector<std::string>& arguments) {
  const Command* command = find_command(arguments[0]);
  const CLI::App& app = command != nullptr ? *root.get_subcommand(command->name) : root;
  if (app.get_allow_extras()) return {};
  const std::string usage = std::string("'wshare ") +
                            (command != nullptr ? command->name + std::string(" ") : "") +
                            "--help' shows the options";
  for (size_t i = command != nullptr ? 1 : 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--") return {};
    const bool is_long = argument.size() > 2 && argument.starts_with("--");
    const bool is_short = argument.size() > 1 && argument[0] == '-' && std::isalpha(argument[1]);
    if (!is_long && !is_short) continue;
    const std::string name =
        is_long ? argument.substr(0, argument.find('=')) : argument.substr(0, 2);
    if (app.get_option_no_throw(name) != nullptr) continue;
    const std::string meant = is_long ? nearest(name, option_names(app)) : "";
    return Mistake{in_quotes(name) + ": no such option",
                   meant.empty() ? usage : "did you mean " + in_quotes(meant) + "?"};
  }
  return {};
}

int run_action(const Action& action, Context& context) {
  try {
    const int code = action();
    wait_if_stopping();
    return code;
  } catch (const Error& error) {
    wait_if_stopping();
    const bool of_runtime = error.code() == ErrorCode::kRuntime && !context.json;
    print_error(context, of_runtime ? short_message(error.what()) : error.what(), error.hint());
    return static_cast<int>(error.code());
  } catch (const std::filesystem::filesystem_error& error) {
    wait_if_stopping();
    print_error(context, error.what(), "");
    return static_cast<int>(ErrorCode::kIo);
  } catch (const std::bad_alloc&) {
    print_error(context, "not enough memory", "fewer threads need less: --threads 1");
    return static_cast<int>(ErrorCode::kIo);
  } catch (const std::exception& error) {
    wait_if_stopping();
    print_error(context, std::string("bug: ") + error.what(),
                "please report it, with the command and what 'wshare --version' says");
    return kBug;
  }
}

// "help COMMAND" is "COMMAND --help".
std::vector<std::string> without_help_command(std::vector<std::string> arguments) {
  if (arguments.empty() || arguments[0] != "help") return arguments;
  if (arguments.size() == 2 && (arguments[1] == "--help" || arguments[1] == "-h")) return arguments;
  arguments.erase(arguments.begin());
  arguments.emplace_back("--help");
  return arguments;
}

int parse_and_run(const std::vector<std::string>& arguments, Context& context, ProgressBar* bar) {
  if (const auto mistake = find_command_mistake(arguments)) {
    print_error(context, mistake->message, mistake->hint);
    return kCommandLine;
  }
  Action action;
  CLI::App app(
      "Stores the equal weights of many ONNX models once and opens sessions over one copy.\n"
      "'wshare help COMMAND' shows the options of a command.",
      "wshare");
  add_commands(app, context, action);
  if (const auto mistake = find_option_mistake(app, arguments)) {
    print_error(context, mistake->message, mistake->hint);
    return kCommandLine;
  }
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // as CLI11 wants them
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {  // --help, --version
      app.exit(error, context.out, context.err);
      return 0;
    }
    const bool has_command = find_command(arguments[0]) != nullptr;
    print_error(context, error.what(),
                "'wshare " + (has_command ? arguments[0] + " " : "") + "--help' shows the usage");
    return kCommandLine;
  }
  if (bar != nullptr && !context.quiet) {
    context.progress = [bar](const char* stage, uint64_t done, uint64_t total) {
      bar->update(stage, done, total);
    };
  }
  return run_action(action, context);
}

}  // namespace

int run_cli(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& err,
            const std::filesystem::path& program, const Console& console) {
  install_sigbus_guard();
  const std::vector<std::string> wanted = without_help_command(arguments);
  if (!console.is_terminal) {
    Context context{out, err, console, program};
    set_columns(context.out, console.out_columns);
    return parse_and_run(wanted, context, nullptr);
  }
  ProgressBar bar(err, console);
  HidingBuffer out_buffer(out.rdbuf(), bar), err_buffer(err.rdbuf(), bar);
  std::ostream hiding_out(&out_buffer), hiding_err(&err_buffer);
  Context context{hiding_out, hiding_err, console, program};
  set_columns(context.out, console.out_columns);
  const int code = parse_and_run(wanted, context, &bar);
  hiding_out.flush();
  return code;
}

}  // namespace wshare

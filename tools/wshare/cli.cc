#include "cli.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <ostream>

#include "util/mapped_file.h"
#include "util/text.h"
#include "version.h"
#include "wshare/error.h"

namespace wshare {
namespace {

struct Command {
  const char* name;
  const char* summary;
  void (*add)(CLI::App&, Context&, Action&);
};

constexpr std::array kCommands = {
    Command{"dedupe", "Share equal weights across models", add_dedupe},
    Command{"append", "Add models to a bundle", add_append},
    Command{"remove", "Take models out of a bundle", add_remove},
    Command{"restore", "Give the original files back", add_restore},
    Command{"verify", "Check every byte of a bundle against its manifest", add_verify},
    Command{"inspect", "Show what is in models or bundles, and what sharing saves", add_inspect},
    Command{"diff", "Say how two models differ, tensor by tensor", add_diff},
    Command{"extract-lora", "Make of task models one base and small adapters", add_extract_lora},
    Command{"import-adapter", "Make a PEFT or .onnx_adapter adapter a task of a bundle",
            add_import_adapter},
    Command{"run", "Open sessions over shared weights, run them, check and measure", add_run},
    Command{"run-side", "", add_run_side},  // a child process of run; hidden
};

// Source: Levenshtein distance, one row at a time.
size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t cost = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({cost, row[j] + 1, row[j - 1] + 1}));
    }
  }
  return row[b.size()];
}

// CLI11 answers a mistyped command with "A subcommand is required", so names are checked before.
bool is_unknown_command(const std::vector<std::string>& arguments, std::ostream& err) {
  if (arguments.empty() || arguments[0].starts_with("-")) return false;
  const Command* nearest = &kCommands[0];
  for (const Command& command : kCommands) {
    if (arguments[0] == command.name) return false;
    const bool is_hidden = *command.summary == '\0';
    if (!is_hidden &&
        edit_distance(arguments[0], command.name) < edit_distance(arguments[0], nearest->name))
      nearest = &command;
  }
  err << "wshare: " << in_quotes(arguments[0]) << ": no such command\n";
  if (edit_distance(arguments[0], nearest->name) <= 2) {
    err << "hint: did you mean '" << nearest->name << "'?\n";
  } else {
    err << "hint: 'wshare --help' lists the commands\n";
  }
  return true;
}

int run_action(const Action& action, std::ostream& err) {
  try {
    return action();
  } catch (const Error& error) {
    err << "wshare: " << error.what() << '\n';
    if (!error.hint().empty()) err << "hint: " << error.hint() << '\n';
    return static_cast<int>(error.code());
  } catch (const std::filesystem::filesystem_error& error) {
    err << "wshare: " << error.what() << '\n';
    return static_cast<int>(ErrorCode::kIo);
  } catch (const std::bad_alloc&) {
    err << "wshare: not enough memory\n";
    return static_cast<int>(ErrorCode::kIo);
  } catch (const std::exception& error) {
    err << "wshare: bug: " << error.what() << '\n';
    return kBug;
  }
}

}  // namespace

int run_cli(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& err,
            const std::filesystem::path& program) {
  install_sigbus_guard();
  if (is_unknown_command(arguments, err)) return kCommandLine;
  Context context{out, err};
  context.program = program;
  Action action;
  CLI::App app(
      "Stores the equal weights of many ONNX models once and opens sessions over one copy.",
      "wshare");
  app.set_version_flag("--version", std::string("wshare ") + kVersion);
  app.require_subcommand(1);
  for (const Command& command : kCommands) {
    CLI::App* sub = app.add_subcommand(command.name, command.summary);
    if (*command.summary == '\0') sub->group("");  // hidden
    sub->add_flag("--json", context.json, "Print one JSON object instead of text");
    sub->add_flag("-q,--quiet", context.quiet, "Print no progress and no warnings");
    sub->add_option("-j,--threads", context.threads, "Threads to use (default: all cores)")
        ->check(CLI::Range(1, 1024));
    command.add(*sub, context, action);
  }
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // as CLI11 wants them
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {  // --help, --version
      app.exit(error, out, err);
      return 0;
    }
    err << "wshare: " << error.what() << "\nhint: 'wshare "
        << (arguments.empty() ? "" : arguments[0] + " ") << "--help' shows the usage\n";
    return kCommandLine;
  }
  return run_action(action, err);
}

}  // namespace wshare

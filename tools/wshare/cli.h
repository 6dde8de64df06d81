#pragma once

#include <filesystem>
#include <functional>
#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "console.h"
#include "wshare/progress.h"

namespace CLI {
class App;
}

namespace wshare {

// What every command shares: where it writes and the options that all of them have.
struct Context {
  std::ostream& out;  // the result
  std::ostream& err;  // progress, warnings, errors
  Console console = {};
  std::filesystem::path program = {};  // wshare itself, for commands that measure in a child
  bool json = false;
  bool quiet = false;
  unsigned threads = 0;
  ProgressFn progress = {};  // none where nobody would see it

  // Gives `options` of a command what all commands have.
  template <typename Options>
  void apply_to(Options& options) const {
    options.threads = threads;
    options.progress = progress;
  }
};

// Exit codes beside those of ErrorCode.
inline constexpr int kCommandLine = 2;
inline constexpr int kBug = 70;

// What a command does once everything is parsed; returns the exit code.
using Action = std::function<int()>;

// Each declares the options of one command on its own `app`, and sets `action` when that command
// was chosen. Nothing is opened while parsing.
void add_child(CLI::App& app, Context& context, Action& action);
void add_archive(CLI::App& app, Context& context, Action& action);
void add_append(CLI::App& app, Context& context, Action& action);
void add_dedupe(CLI::App& app, Context& context, Action& action);
void add_diff(CLI::App& app, Context& context, Action& action);
void add_doctor(CLI::App& app, Context& context, Action& action);
void add_export(CLI::App& app, Context& context, Action& action);
void add_extract_lora(CLI::App& app, Context& context, Action& action);
void add_remove(CLI::App& app, Context& context, Action& action);
void add_import(CLI::App& app, Context& context, Action& action);
void add_import_adapter(CLI::App& app, Context& context, Action& action);
void add_complete_names(CLI::App& app, Context& context, Action& action);
void add_completion(CLI::App& app, Context& context, Action& action);
void add_help(CLI::App& app, Context& context, Action& action);
void add_pack(CLI::App& app, Context& context, Action& action);
void add_pages(CLI::App& app, Context& context, Action& action);
void add_restore(CLI::App& app, Context& context, Action& action);
void add_thaw(CLI::App& app, Context& context, Action& action);
void add_verify(CLI::App& app, Context& context, Action& action);
void add_inspect(CLI::App& app, Context& context, Action& action);
void add_run(CLI::App& app, Context& context, Action& action);

// Runs the command line `arguments` (without the program's name) and returns its exit code: 0 done,
// 1 the answer is no, 2 command line, 3 to 6 as in ErrorCode, 70 a bug of ours. `program` is wshare
// itself, for what children do; without it `run` fails, and `pack` tries packs in this process.
// Progress and colours are for a console.
int run_cli(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& err,
            const std::filesystem::path& program = {}, const Console& console = {});

// Prints a message, after the program's name, on a line of its own.
void print_message(std::ostream& err, const std::string& message);

// Prints `json` on one line: hidden characters as \u escapes, U+FFFD for what is no UTF-8.
void print_json(std::ostream& out, const nlohmann::ordered_json& json);

// Prints rows as columns, the first `numbers` of them flush right, two spaces apart. Cells are made
// visible(), and cut.
void print_table(std::ostream& out, std::vector<std::vector<std::string>> rows, size_t numbers);

}  // namespace wshare

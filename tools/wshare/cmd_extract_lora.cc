#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli.h"
#include "extract_report.h"
#include "given_models.h"
#include "util/stopwatch.h"
#include "write_options.h"
#include "wshare/extract_lora.h"

namespace wshare {
namespace {

struct Arguments {
  ModelArguments tasks;
  std::string bundle, peft_dir;
  std::string rank = "auto";
  std::vector<std::string> emit;
  bool no_residual = false;
  ExtractOptions options;
};

bool emits(const Arguments& arguments, const char* what) {
  return std::count(arguments.emit.begin(), arguments.emit.end(), what) > 0;
}

std::string peft_folder(const Arguments& arguments) {
  if (!arguments.peft_dir.empty()) return arguments.peft_dir;
  std::string bundle = arguments.bundle;
  while (bundle.size() > 1 && bundle.ends_with('/')) bundle.pop_back();
  return (bundle.empty() ? "bundle" : bundle) + "-peft";
}

ExtractOptions options_of(const Arguments& arguments, const Context& context) {
  ExtractOptions options = arguments.options;
  if (arguments.rank != "auto") options.rank = std::stoll(arguments.rank);
  options.residual = !arguments.no_residual;
  context.apply_to(options);
  // PEFT adapters come on top of what serves the tasks.
  options.emit.onnx = emits(arguments, "onnx");
  options.emit.adapter = emits(arguments, "adapter") || !options.emit.onnx;
  if (emits(arguments, "peft")) options.peft.folder = peft_folder(arguments);
  return options;
}

int run(const Arguments& arguments, Context& context) {
  const Stopwatch stopwatch;
  const ExtractReport report = extract_lora(given_models(arguments.tasks, context),
                                            arguments.bundle, options_of(arguments, context));
  const double seconds = stopwatch.seconds();
  say_kept(context.err, report.kept);
  if (context.json) {
    print_json(context.out, to_json(report, arguments.bundle, seconds));
  } else {
    print_report(context.out, report, arguments.options.dry_run);
  }
  return 0;
}

std::string check_rank(const std::string& text) {
  if (text == "auto") return "";
  const bool is_number = !text.empty() && text.size() < 7 &&
                         text.find_first_not_of("0123456789") == std::string::npos &&
                         std::stoll(text) > 0;
  return is_number ? "" : "is neither 'auto' nor a number from 1 on: '" + text + "'";
}

void add_peft_options(CLI::App& app, Arguments& arguments) {
  app.add_option("--peft-dir", arguments.peft_dir,
                 "The folder to make for --emit peft (default: the bundle's name and -peft)");
  app.add_option("--peft-map", arguments.options.peft.map,
                 "A JSON object that names the module of weights: {\"weight\": \"path\", ...}");
}

void check_peft_options(const Arguments& arguments) {
  const bool has_options = !arguments.peft_dir.empty() || !arguments.options.peft.map.empty();
  if (has_options && !emits(arguments, "peft")) throw CLI::RequiredError("--emit peft");
}

}  // namespace

void add_extract_lora(CLI::App& app, Context& context, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  ExtractOptions& options = arguments->options;
  add_models(app, "TASK", arguments->tasks);
  CLI::Option* output = app.add_option("-o,--output", arguments->bundle, "The folder to make");
  app.add_option(
      "--base", options.base,
      "The model that the tasks were made from, a file or NAME=file; else the first task "
      "without its LoRA");
  app.add_option("--rank", arguments->rank, "Rank of every merged LoRA: auto, or a number")
      ->check(check_rank)
      ->capture_default_str();
  app.add_option("--max-rank", options.max_rank, "A difference of a higher rank is no LoRA")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  app.add_option("--tolerance", options.tolerance,
                 "Largest relative error of a difference stored as low rank; without it, what "
                 "rounding explains")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--emit", arguments->emit, "What to write of each task: adapter, onnx, peft")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::IsMember({"adapter", "onnx", "peft"}));
  add_peft_options(app, *arguments);
  app.add_flag("--exact", options.exact,
               "Serve nothing approximate: store whole what is not reproduced bit for bit");
  app.add_flag("--no-residual", arguments->no_residual,
               "Leave out what makes restore of a merged task exact");
  add_min_bytes_option(app, options.min_bytes);
  add_dry_run_option(app, options.dry_run);
  add_replace_option(app, options.replace);
  add_wait_option(app, options.wait);
  app.callback([=, &context, &action] {
    if (!arguments->options.dry_run && output->count() == 0) throw CLI::RequiredError("--output");
    check_peft_options(*arguments);
    const int64_t most = arguments->options.max_rank;
    if (arguments->rank != "auto" && std::stoll(arguments->rank) > most) {
      throw CLI::ValidationError("--rank: " + arguments->rank + " is above --max-rank, " +
                                 std::to_string(most));
    }
    action = [=, &context] { return run(*arguments, context); };
  });
}

}  // namespace wshare

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli.h"
#include "diff_report.h"
#include "util/visible.h"
#include "wshare/diff.h"
#include "wshare/models.h"

namespace wshare {
namespace {

constexpr const char* kModel = ", a file or NAME=file";

struct Arguments {
  DiffView view;
  DiffOptions options;
  bool no_svd = false;
};

// Returns the file that `argument` names, and what it is called in text where it is NAME=file.
std::filesystem::path file_of(const std::string& argument, std::string& name) {
  const ModelInput model = resolve_input(argument);
  if (model.path.string() != argument && argument.starts_with(model.name + "="))
    name = visible(model.name);
  return model.path;
}

int run_diff(Arguments& arguments, Context& context) {
  DiffView& view = arguments.view;
  context.apply_to(arguments.options);
  arguments.options.svd = !arguments.no_svd;
  const std::filesystem::path a = file_of(view.a, view.name_a), b = file_of(view.b, view.name_b);
  const DiffReport report = diff(a, b, arguments.options);
  if (context.json)
    print_json(context.out, diff_json(report, view));
  else
    print_diff(context.out, report, view);
  return report.equal ? 0 : 1;
}

}  // namespace

void add_diff(CLI::App& app, Context& context, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("A", arguments->view.a,
                 std::string("The model to compare with, such as a base") + kModel)
      ->required();
  app.add_option("B", arguments->view.b,
                 std::string("The model that is compared, such as a fine-tune") + kModel)
      ->required();
  app.add_flag("--tensors", arguments->view.all_tensors,
               "List also tensors that are the same, and each small one");
  app.add_option("--top", arguments->view.top,
                 "List the N largest of them (default: 25 in text, all as JSON)")
      ->check(CLI::PositiveNumber);
  app.add_flag("--no-svd", arguments->no_svd,
               "Do not look for low rank: what differs is replaced, which is quicker");
  app.add_option("--max-rank", arguments->options.max_rank,
                 "The largest rank that counts as low rank")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--min-bytes", arguments->options.min_bytes,
                 "Leave out tensors of fewer bytes, also from the exit code")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.callback(
      [=, &context, &action] { action = [=, &context] { return run_diff(*arguments, context); }; });
}

}  // namespace wshare

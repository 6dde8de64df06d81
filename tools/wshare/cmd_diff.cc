#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli.h"
#include "diff_report.h"
#include "wshare/diff.h"

namespace wshare {
namespace {

struct Arguments {
  DiffView view;
  DiffOptions options;
  bool no_svd = false;
};

}  // namespace

void add_diff(CLI::App& app, Context& context, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("A", arguments->view.a, "The model to compare with, such as a base")->required();
  app.add_option("B", arguments->view.b, "The model that is compared, such as a fine-tune")
      ->required();
  app.add_flag("--tensors", arguments->view.all_tensors, "List also tensors that are the same");
  app.add_option("--top", arguments->view.top, "List the N largest of them only")
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
  app.callback([=, &context, &action] {
    action = [=, &context] {
      context.apply_to(arguments->options);
      arguments->options.svd = !arguments->no_svd;
      const DiffReport report = diff(arguments->view.a, arguments->view.b, arguments->options);
      if (context.json) {
        print_json(context.out, diff_json(report, arguments->view));
      } else {
        print_diff(context.out, report, arguments->view);
      }
      return report.equal ? 0 : 1;
    };
  });
}

}  // namespace wshare

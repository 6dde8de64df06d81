#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli.h"
#include "given_models.h"
#include "inspect_page.h"
#include "inspect_report.h"
#include "util/text.h"
#include "wshare/inspect.h"

namespace wshare {
namespace {

struct Arguments {
  std::vector<std::string> paths;
  InspectOptions options;
  std::string order = "bytes";
  std::vector<std::string> fail_on;
  bool no_hash = false;
  std::string html;
};

std::string is_finding_id(const std::string& id) {
  const std::span<const FindingKind> kinds = finding_kinds();
  const bool known = std::any_of(kinds.begin(), kinds.end(),
                                 [&](const FindingKind& kind) { return kind.id == id; });
  return known ? "" : in_quotes(id) + ": no such finding; docs/findings.md lists them";
}

// Says which of the findings are not allowed. Returns the exit code.
int judge(const Inspection& inspection, const std::vector<std::string>& forbidden,
          std::ostream& err) {
  int code = 0;
  for (const Finding& finding : inspection.findings) {
    if (std::count(forbidden.begin(), forbidden.end(), finding.id) == 0) continue;
    print_message(err, finding.id + ": " + count_of(finding.places.size(), "place") + ", " +
                           format_bytes(finding.bytes) + " (--fail-on)");
    code = 1;
  }
  return code;
}

}  // namespace

void add_inspect(CLI::App& app, Context& context, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("PATH", arguments->paths,
                 "A model file, a folder of them, NAME=file or NAME=folder, or a bundle")
      ->required();
  add_recursive_option(app, arguments->options.recursive);
  app.add_option("--min-bytes", arguments->options.min_bytes,
                 "Look for sharing among tensors of at least so many bytes")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--top", arguments->options.top, "Longest list to show")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_flag("--all", arguments->options.all,
               "Show all of each list, also of those that grow with models x models")
      ->excludes("--top");
  app.add_option("--sort", arguments->order, "Order of models and of their largest tensors")
      ->check(CLI::IsMember({"bytes", "name"}))
      ->capture_default_str();
  app.add_flag(
      "--no-hash", arguments->no_hash,
      "Look at the structure only, read no weights: instant, but equal tensors stay unknown");
  app.add_option("--fail-on", arguments->fail_on,
                 "Exit with 1 if there are findings with these ids, such as WS012,WS020")
      ->type_name("IDS")
      ->delimiter(',')
      ->allow_extra_args(false)  // a PATH may follow
      ->check(is_finding_id);
  app.add_option(
         "--html", arguments->html,
         "Write a report to this file, to look at in a browser: one page that needs no network")
      ->type_name("FILE");
  app.callback([=, &context, &action] {
    action = [=, &context] {
      context.apply_to(arguments->options);
      arguments->options.hash = !arguments->no_hash;
      arguments->options.contents = !arguments->html.empty();
      if (!arguments->html.empty()) check_place_of_page(arguments->html);  // not after all the work
      if (arguments->options.all) arguments->options.top = UINT64_MAX;
      const Inspection inspection = inspect(arguments->paths, arguments->options);
      say_left_out(inspection.left_out, context);
      if (!arguments->html.empty()) {
        save_page(
            to_html(inspection, arguments->options.min_bytes, {arguments->paths, page_date()}),
            arguments->html);
      }
      if (context.json) {
        print_json(context.out,
                   to_json(inspection, arguments->options.all ? UINT64_MAX : kMostCompared));
      } else {
        const RowOrder order = arguments->order == "name" ? RowOrder::kName : RowOrder::kBytes;
        print_inspection(context.out, inspection,
                         {arguments->options.top, arguments->options.min_bytes, order});
      }
      return judge(inspection, arguments->fail_on, context.err);
    };
  });
}

}  // namespace wshare

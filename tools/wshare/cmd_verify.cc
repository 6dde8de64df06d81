#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli.h"
#include "util/text.h"
#include "util/visible.h"
#include "wshare/verify.h"

namespace wshare {
namespace {

void print_findings(const Context& context, const std::vector<Damage>& findings,
                    const std::string& bundle) {
  if (context.json) {
    nlohmann::ordered_json json;
    json["schema"] = "wshare.verify/1";
    json["ok"] = findings.empty();
    json["findings"] = nlohmann::ordered_json::array();
    for (const Damage& finding : findings) {
      json["findings"].push_back({{"kind", finding.kind},
                                  {"file", finding.file},
                                  {"tensor", finding.tensor},
                                  {"message", finding.message}});
    }
    print_json(context.out, json);
    return;
  }
  for (const Damage& finding : findings) {
    context.out << finding.kind << ": " << in_quotes(finding.file)
                << (finding.tensor.empty() ? "" : ": " + in_quotes(finding.tensor)) << ": "
                << visible(finding.message) << '\n';
  }
  context.out << in_quotes(bundle) << ": "
              << (findings.empty() ? "every byte is as the manifest says"
                                   : count_of(findings.size(), "finding"))
              << '\n';
}

}  // namespace

void add_verify(CLI::App& app, Context& context, Action& action) {
  const auto bundle = std::make_shared<std::string>();
  app.add_option("BUNDLE", *bundle, "The bundle")->required();
  app.callback([=, &context, &action] {
    action = [=, &context] {
      const std::vector<Damage> findings = verify(*bundle, {context.threads, context.progress});
      print_findings(context, findings, *bundle);
      return findings.empty() ? 0 : 1;
    };
  });
}

}  // namespace wshare

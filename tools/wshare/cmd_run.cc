#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "cli.h"
#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "rows.h"
#include "run/ask_child.h"
#include "run/job_json.h"
#include "run_options.h"
#include "run_originals.h"
#include "run_report.h"
#include "util/content_hash.h"
#include "util/mapped_file.h"
#include "util/temporary_folder.h"
#include "util/visible.h"
#include "wshare/error.h"

namespace wshare {
namespace {

constexpr int kAttempts = 5;

// ONNX Runtime colours what it logs.
std::string without_colors(std::string_view line) {
  std::string text;
  for (size_t at = 0; at < line.size(); ++at) {
    const size_t end =
        line.substr(at, 2) == "\x1b[" ? line.find_first_not_of("0123456789;", at + 2) : line.npos;
    if (end != line.npos && line[end] == 'm')
      at = end;
    else
      text += line[at];
  }
  return text;
}

// Prints what libraries in a child wrote to its stderr, with --json all of each line.
void print_rest(Context& context, const std::string& text) {
  constexpr size_t kColumns = 200;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::string plain = without_colors(line);
    context.err << (context.json ? visible(plain) : fit(plain, kColumns)) << '\n';
  }
}

// Has one side done by a child process.
RunAnswer ask(const RunJob& job, Context& context) {
  ChildListener listener;
  listener.rest = [&](const std::string& text) { print_rest(context, text); };
  if (context.progress) {
    const std::string kind = job.bundle.empty() ? "plain sessions: " : "shared sessions: ";
    listener.progress = [&context, kind](const std::string& what) {
      context.progress((kind + what).c_str(), 0, 0);
    };
    listener.progress("starting");
  }
  return answer_from(ask_child(context.program, to_json(job), listener));
}

// What names one state of a bundle; none where it has no manifest.
std::optional<ContentHash> state_of(const std::filesystem::path& bundle) {
  try {
    return content_hash(MappedFile::open(bundle / kManifestName).bytes());
  } catch (const Error&) {
    return std::nullopt;
  }
}

int run_once(const RunArguments& arguments, Context& context) {
  RunJob job = arguments.job;
  job.models = find_models(job.bundle, arguments.models, arguments.tasks);
  check_originals(job);
  RunReport report;
  report.ep = job.device.ep;
  RunAnswer shared = ask(job, context);
  report.shared = std::move(shared.measurement);
  report.parity = std::move(shared.parity);
  report.onnxruntime = std::move(shared.onnxruntime);
  report.tier = tier_of(report.shared);
  if (arguments.baseline) {
    const TemporaryFolder folder;
    report.baseline = ask(plain_side(job, folder.path, context), context).measurement;
  }
  report.exceeded = find_exceeded(arguments.limits, report.shared, report.parity);
  if (context.json) print_json(context.out, to_json(report));
  if (!context.json)
    arguments.summary ? print_summary(context.out, report) : print_report(context.out, report);
  for (const std::string& line : report.exceeded) print_message(context.err, line);
  return report.exceeded.empty() ? 0 : 1;
}

// Another command may change the bundle between our steps and take away what they need: then all is
// done anew, with the bundle as it is now.
int run(const RunArguments& arguments, Context& context) {
  for (int attempt = 1;; ++attempt) {
    const std::optional<ContentHash> before = state_of(arguments.job.bundle);
    try {
      return run_once(arguments, context);
    } catch (const Error&) {
      if (attempt == kAttempts || state_of(arguments.job.bundle) == before) throw;
    }
  }
}

}  // namespace

void add_run(CLI::App& app, Context& context, Action& action) {
  const auto arguments = std::make_shared<RunArguments>();
  add_run_options(app, *arguments);
  app.callback([=, &context, &action] {
    check_together(*arguments);
    action = [=, &context] { return run(*arguments, context); };
  });
}

}  // namespace wshare

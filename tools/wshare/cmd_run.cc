#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>

#include "cli.h"
#include "format/manifest.h"
#include "run/child.h"
#include "run_report.h"
#include "util/text.h"
#include "wshare/error.h"
#include "wshare/restore.h"
#include "wshare/runtime.h"

namespace wshare {
namespace {

struct Arguments {
  std::string bundle;
  std::vector<std::string> models;
  std::string ep = "cpu";
  std::string tier = "auto";
  std::vector<std::string> against;
  bool baseline = false;
  std::string max_pss, max_anonymous;  // sizes; empty: no limit
  double max_create_ms = -1, max_abs_diff = -1;
  InputArguments inputs;
};

Tier parse_tier(const Arguments& arguments) {
  if (arguments.ep != "cpu") {
    throw Error(ErrorCode::kUnsupported,
                "--ep " + arguments.ep + ": this build opens CPU sessions only",
                "leave --ep out, or give --ep cpu");
  }
  if (arguments.tier == "packed") {
    throw Error(ErrorCode::kUnsupported, "--tier packed: this build cannot open packed bundles",
                "--tier auto takes the best there is");
  }
  if (arguments.tier == "compact") return Tier::kCompact;
  return arguments.tier == "shared" ? Tier::kShared : Tier::kAuto;
}

std::vector<NamedModel> find_models(const Bundle& bundle, const Arguments& arguments) {
  const Manifest manifest = load_manifest(arguments.bundle);
  std::vector<NamedModel> models;
  for (const std::string& name : arguments.models.empty() ? bundle.models() : arguments.models) {
    models.push_back(
        {name, std::filesystem::path(arguments.bundle) / find_model(manifest, name).file});
  }
  return models;
}

// A folder for restored originals, beside other temporary files; gone with the object.
struct TemporaryFolder {
  std::filesystem::path path;
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "wshare-run-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr)
      throw Error(ErrorCode::kIo, in_quotes(name) + ": cannot make a temporary folder");
    path = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

Measurement measure_baseline(const std::vector<NamedModel>& models,
                             std::map<std::string, std::filesystem::path> originals,
                             const Arguments& arguments, unsigned threads) {
  const TemporaryFolder folder;
  std::vector<std::string> missing;
  for (const NamedModel& model : models) {
    if (!originals.contains(model.name)) missing.push_back(model.name);
  }
  if (!missing.empty()) {
    RestoreOptions options;
    options.threads = threads;
    for (const RestoredModel& model : restore(arguments.bundle, missing, folder.path, options)) {
      originals[model.name] = model.path.is_absolute() ? model.path : folder.path / model.path;
    }
  }
  std::vector<std::string> command = {"run-plain", "--sessions",
                                      std::to_string(arguments.inputs.sessions), "--repeat",
                                      std::to_string(arguments.inputs.repeat)};
  for (const NamedModel& model : models)
    command.insert(command.end(),
                   {"--model", model.name + "=" + originals.at(model.name).string()});
  for (const std::string& shape : arguments.inputs.shapes)
    command.insert(command.end(), {"--shape", shape});
  if (!arguments.inputs.folder.empty())
    command.insert(command.end(), {"--inputs", arguments.inputs.folder});
  return measurement_from(nlohmann::ordered_json::parse(run_self(command)));
}

std::vector<std::string> check_limits(const RunReport& report, const Arguments& arguments) {
  std::vector<std::string> exceeded;
  const auto check = [&](const std::string& what, uint64_t value, const std::string& limit) {
    if (limit.empty() || value <= parse_size(limit)) return;
    exceeded.push_back(what + " is " + format_bytes(value) + ", the limit is " +
                       format_bytes(parse_size(limit)));
  };
  check("PSS", report.shared.memory.pss, arguments.max_pss);
  check("anonymous memory", report.shared.memory.anonymous, arguments.max_anonymous);
  for (const SessionFigures& session : report.shared.sessions) {
    if (arguments.max_create_ms < 0 || session.create_ms <= arguments.max_create_ms) continue;
    exceeded.push_back(in_quotes(session.model) + ": making a session took " +
                       std::to_string(session.create_ms) + " ms, the limit is " +
                       std::to_string(arguments.max_create_ms));
  }
  for (const ParityRow& row : report.parity) {
    if (arguments.max_abs_diff < 0 || row.max_abs_diff <= arguments.max_abs_diff) continue;
    exceeded.push_back(in_quotes(row.model) + ": output " + in_quotes(row.output) + " differs by " +
                       std::to_string(row.max_abs_diff) + ", the limit is " +
                       std::to_string(arguments.max_abs_diff));
  }
  return exceeded;
}

// What cannot be read is a mistake on the command line: found while parsing, exit code 2.
void check_syntax(const Arguments& arguments) {
  try {
    if (!arguments.max_pss.empty()) parse_size(arguments.max_pss);
    if (!arguments.max_anonymous.empty()) parse_size(arguments.max_anonymous);
    for (const std::string& text : arguments.against)
      split_assignment(text, "--against", "NAME=original.onnx");
    measure_options(arguments.inputs);
  } catch (const Error& error) {
    throw CLI::ValidationError(error.what());
  }
}

int run(const Arguments& arguments, Context& context) {
  const Tier tier = parse_tier(arguments);
  const MeasureOptions options = measure_options(arguments.inputs);
  Bundle bundle = Bundle::open(arguments.bundle);
  const std::vector<NamedModel> models = find_models(bundle, arguments);
  std::map<std::string, std::filesystem::path> originals;
  const Opener open_shared = [&](const NamedModel& model) {
    SessionOptions session_options{tier, default_ort_options()};
    const auto session = std::make_shared<Session>(bundle.session(model.name, session_options));
    return std::shared_ptr<Ort::Session>(session, &**session);
  };
  for (const std::string& text : arguments.against) {
    const auto [name, path] = split_assignment(text, "--against", "NAME=original.onnx");
    if (std::none_of(models.begin(), models.end(),
                     [&](const NamedModel& model) { return model.name == name; })) {
      throw Error(ErrorCode::kInvalid,
                  "--against: " + in_quotes(name) + " is none of the models that are run");
    }
    originals[name] = path;
  }
  RunReport report;
  report.tier = tier == Tier::kCompact ? "compact" : "shared";
  // First, while this process has touched little of ONNX Runtime's library: PSS splits common pages
  // between both, which would flatter the child.
  if (arguments.baseline)
    report.baseline = measure_baseline(models, originals, arguments, context.threads);
  report.shared = measure(models, open_shared, options);
  for (const NamedModel& model : models) {
    if (!originals.contains(model.name)) continue;
    const auto rows = compare_models(model, open_shared, {model.name, originals.at(model.name)},
                                     open_plain, options.inputs);
    report.parity.insert(report.parity.end(), rows.begin(), rows.end());
  }
  report.exceeded = check_limits(report, arguments);
  if (context.json) print_json(context.out, to_json(report));
  if (!context.json) print_report(context.out, report);
  for (const std::string& line : report.exceeded) context.err << "wshare: " << line << '\n';
  return report.exceeded.empty() ? 0 : 1;
}

}  // namespace

void add_run(CLI::App& app, Context& context, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("BUNDLE", arguments->bundle, "The bundle")->required();
  app.add_option("--model", arguments->models, "Run this model only; may be repeated")
      ->allow_extra_args(false);
  app.add_option("--ep", arguments->ep, "Where sessions run")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
  app.add_option("--tier", arguments->tier, "How weights are shared")
      ->check(CLI::IsMember({"auto", "packed", "shared", "compact"}))
      ->capture_default_str();
  add_input_options(app, arguments->inputs);
  app.add_option("--against", arguments->against,
                 "NAME=original.onnx: compare outputs with a plain session")
      ->allow_extra_args(false);
  app.add_flag("--baseline", arguments->baseline,
               "Measure as many plain sessions on the originals beside");
  app.add_option("--max-pss", arguments->max_pss, "Exit 1 when more memory is used, such as 500M");
  app.add_option("--max-anonymous", arguments->max_anonymous,
                 "Exit 1 when more anonymous memory is used");
  app.add_option("--max-create-ms", arguments->max_create_ms,
                 "Exit 1 when making a session takes longer");
  app.add_option("--max-abs-diff", arguments->max_abs_diff,
                 "Exit 1 when an output differs by more (with --against)");
  app.callback([=, &context, &action] {
    check_syntax(*arguments);
    action = [=, &context] { return run(*arguments, context); };
  });
}

}  // namespace wshare

#include <fmt/format.h>

#include <memory>
#include <ostream>

#include "cli.h"
#include "util/text.h"
#include "wshare/dedupe.h"

namespace wshare {
namespace {

struct Arguments {
  std::vector<std::string> models;
  std::string bundle;
  DedupeOptions options;
};

nlohmann::ordered_json report_json(const DedupeReport& report, const Arguments& arguments,
                                   double seconds) {
  nlohmann::ordered_json json;
  json["schema"] = "wshare.dedupe/1";
  json["bundle"] = arguments.bundle;
  json["models"] = nlohmann::ordered_json::array();
  for (const DedupedModel& model : report.models) {
    json["models"].push_back({{"name", model.name},
                              {"source", model.source},
                              {"bytes_in", model.bytes_in},
                              {"model_bytes", model.model_bytes},
                              {"own_bytes", model.own_bytes},
                              {"shared_bytes", model.shared_bytes},
                              {"tensors", model.tensors},
                              {"distinct", model.distinct}});
  }
  json["bytes_in"] = report.bytes_in;
  json["bytes_out"] = report.bytes_out;
  json["tensors"] = report.tensors;
  json["distinct_tensors"] = report.distinct_tensors;
  json["left_inline"] = nlohmann::ordered_json::array();
  for (const InlineTensor& tensor : report.left_inline) {
    json["left_inline"].push_back({{"model", tensor.model},
                                   {"tensor", tensor.tensor},
                                   {"scope", tensor.scope},
                                   {"bytes", tensor.bytes},
                                   {"reason", text_of(tensor.reason)}});
  }
  json["seconds"] = seconds;
  return json;
}

void print_explanation(std::ostream& out, const DedupeReport& report) {
  std::vector<std::vector<std::string>> rows;
  for (const PlacedTensor& tensor : report.placed) {
    const std::string why = tensor.also_in.empty()
                                ? "no other model has these bytes"
                                : "also in " + fmt::format("{}", fmt::join(tensor.also_in, ", "));
    rows.push_back({format_bytes(tensor.bytes), tensor.model,
                    (tensor.scope.empty() ? "" : tensor.scope + "/") + tensor.tensor, tensor.blob,
                    why});
  }
  for (const InlineTensor& tensor : report.left_inline) {
    if (tensor.reason == InlineReason::kBelowMinBytes) continue;
    rows.push_back({format_bytes(tensor.bytes), tensor.model,
                    (tensor.scope.empty() ? "" : tensor.scope + "/") + tensor.tensor, "inline",
                    text_of(tensor.reason)});
  }
  print_table(out, rows, 1);
  out << '\n';
}

void print_report(std::ostream& out, const DedupeReport& report, const Arguments& arguments) {
  if (arguments.options.explain) print_explanation(out, report);
  std::vector<std::vector<std::string>> rows = {{"before", "own", "shared", "tensors", "model"}};
  for (const DedupedModel& model : report.models) {
    rows.push_back({format_bytes(model.bytes_in), format_bytes(model.own_bytes),
                    format_bytes(model.shared_bytes), std::to_string(model.tensors), model.name});
  }
  print_table(out, rows, 4);
  std::map<std::string, std::pair<uint64_t, uint64_t>> reasons;
  for (const InlineTensor& tensor : report.left_inline) {
    auto& [count, bytes] = reasons[text_of(tensor.reason)];
    ++count;
    bytes += tensor.bytes;
  }
  for (const auto& [reason, what] : reasons) {
    out << fmt::format("left inline, {}: {} tensors, {}\n", reason, what.first,
                       format_bytes(what.second));
  }
  const int64_t saved =
      static_cast<int64_t>(report.bytes_in) - static_cast<int64_t>(report.bytes_out);
  const std::string change = saved >= 0 ? format_bytes(static_cast<uint64_t>(saved)) + " saved"
                                        : format_bytes(static_cast<uint64_t>(-saved)) + " added";
  out << fmt::format("{}{} -> {}, {}\n", arguments.options.dry_run ? "would be " : "",
                     format_bytes(report.bytes_in), format_bytes(report.bytes_out), change);
}

}  // namespace

void add_dedupe(CLI::App& app, Context& context, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("MODEL", arguments->models, "A model file, NAME=file, or a folder of .onnx files")
      ->required();
  CLI::Option* output = app.add_option("-o,--output", arguments->bundle, "The folder to make");
  app.add_option("--min-bytes", arguments->options.min_bytes,
                 "Tensors of fewer bytes stay in their model")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_flag("-n,--dry-run", arguments->options.dry_run, "Say what would be done, write nothing");
  app.add_flag("--force", arguments->options.replace, "Replace a bundle that exists, as a whole");
  app.add_flag("--explain", arguments->options.explain,
               "Say of each large tensor who shares it, or why it stays");
  app.callback([=, &context, &action] {
    if (!arguments->options.dry_run && output->count() == 0) throw CLI::RequiredError("--output");
    action = [=, &context] {
      arguments->options.threads = context.threads;
      const auto start = std::chrono::steady_clock::now();
      const DedupeReport report =
          dedupe(resolve_inputs(arguments->models), arguments->bundle, arguments->options);
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      if (context.json) {
        print_json(context.out, report_json(report, *arguments, took.count()));
      } else {
        print_report(context.out, report, *arguments);
      }
      return 0;
    };
  });
}

}  // namespace wshare

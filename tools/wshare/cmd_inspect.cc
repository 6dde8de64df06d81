#include <memory>

#include "cli.h"
#include "inspect_report.h"
#include "wshare/inspect.h"

namespace wshare {
namespace {

struct Arguments {
  std::vector<std::string> paths;
  InspectOptions options;
  std::string order = "bytes";
};

}  // namespace

void add_inspect(CLI::App& app, Context& context, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("PATH", arguments->paths, "A model file, NAME=file, a folder of them, or a bundle")
      ->required();
  app.add_option("--min-bytes", arguments->options.min_bytes,
                 "Look for sharing among tensors of at least so many bytes")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--top", arguments->options.top, "Longest list to show")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--sort", arguments->order, "Order of models and of their largest tensors")
      ->check(CLI::IsMember({"bytes", "name"}))
      ->capture_default_str();
  app.callback([=, &context, &action] {
    action = [=, &context] {
      arguments->options.threads = context.threads;
      const Inspection inspection = inspect(arguments->paths, arguments->options);
      if (context.json) {
        print_json(context.out, to_json(inspection));
      } else {
        const RowOrder order = arguments->order == "name" ? RowOrder::kName : RowOrder::kBytes;
        print_inspection(context.out, inspection,
                         {arguments->options.top, arguments->options.min_bytes, order});
      }
      return 0;
    };
  });
}

}  // namespace wshare

#include <memory>

#include "cli.h"
#include "run_report.h"

namespace wshare {

// The child of `wshare run --baseline`: plain sessions in a process of their own, so that their
// memory can be told from that of the shared ones. Not for users, so it is hidden from --help.
void add_run_plain(CLI::App& app, Context& context, Action& action) {
  struct Arguments {
    std::vector<std::string> models;
    InputArguments inputs;
  };
  const auto arguments = std::make_shared<Arguments>();
  app.group("");
  app.add_option("--model", arguments->models, "NAME=file")->required()->allow_extra_args(false);
  add_input_options(app, arguments->inputs);
  app.callback([=, &context, &action] {
    action = [=, &context] {
      std::vector<NamedModel> models;
      for (const std::string& text : arguments->models) {
        const auto [name, path] = split_assignment(text, "--model", "NAME=model.onnx");
        models.push_back({name, path});
      }
      nlohmann::ordered_json json = {{"schema", "wshare.run-plain/1"}};
      json.update(to_json(measure(models, open_plain, measure_options(arguments->inputs))));
      print_json(context.out, json);
      return 0;
    };
  });
}

}  // namespace wshare

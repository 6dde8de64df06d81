#include "given_models.h"

#include <CLI/CLI.hpp>

namespace wshare {

void add_recursive_option(CLI::App& app, bool& recursive) {
  app.add_flag("-r,--recursive", recursive, "Look into folders in the given folders, too");
}

void add_models(CLI::App& app, const char* name, ModelArguments& arguments) {
  app.add_option(name, arguments.names,
                 "A model file, a folder of .onnx files, NAME=file or NAME=folder")
      ->required();
  add_recursive_option(app, arguments.recursive);
}

void say_left_out(const std::vector<std::string>& left_out, const Context& context) {
  if (context.quiet) return;
  for (const std::string& line : left_out) print_message(context.err, line);
}

std::vector<ModelInput> given_models(const ModelArguments& arguments, const Context& context) {
  std::vector<std::string> left_out;
  std::vector<ModelInput> models =
      resolve_inputs(arguments.names, {arguments.recursive, &left_out});
  say_left_out(left_out, context);
  return models;
}

}  // namespace wshare

#include "given_models.h"

namespace wshare {

void say_left_out(const std::vector<std::string>& left_out, const Context& context) {
  if (context.quiet) return;
  for (const std::string& line : left_out) print_message(context.err, line);
}

std::vector<ModelInput> given_models(const std::vector<std::string>& arguments,
                                     const Context& context) {
  std::vector<std::string> left_out;
  std::vector<ModelInput> models = resolve_inputs(arguments, &left_out);
  say_left_out(left_out, context);
  return models;
}

}  // namespace wshare

#include "input_options.h"

#include "checked_option.h"
#include "run/arguments.h"

namespace wshare {

void add_input_options(CLI::App& app, InputOptions& inputs) {
  add_text(
      app, "--inputs", [&](const std::string& text) { inputs.folder = text; },
      "Folder of input_0.pb or input_0.npy ..., or of one such folder per model; else inputs are "
      "made up, always the same");
  add_text<Texts>(
      app, "--shape", [&](const Texts& texts) { inputs.shapes = parse_shapes(texts); },
      "Shape of a made-up input: input=1x32, or of one model's: MODEL:input=1x32")
      ->allow_extra_args(false);
  add_text<Texts>(
      app, "--value", [&](const Texts& texts) { inputs.values = parse_values(texts); },
      "Value of all elements of a made-up input: sr=16000, MODEL:speed=1.5")
      ->allow_extra_args(false);
}

void check_together(const InputOptions& inputs) {
  if (!inputs.values.empty() && !inputs.folder.empty())
    throw CLI::ValidationError("--value: is for made-up inputs, and --inputs gives them all");
}

}  // namespace wshare

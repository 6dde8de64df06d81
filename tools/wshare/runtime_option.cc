#include "runtime_option.h"

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "runtime/host_runtime.h"

namespace wshare {

void add_onnxruntime_option(CLI::App& app) {
  app.add_option_function<std::string>(
         "--onnxruntime",
         [](const std::string& path) { ::setenv(kRuntimeVariable, path.c_str(), 1); },
         "ONNX Runtime to use: a library, a folder that holds it, or a Python environment (else "
         "WSHARE_ONNXRUNTIME, or the first that is found)")
      ->option_text("PATH");
}

}  // namespace wshare

#include <CLI/CLI.hpp>

#include "cli.h"
#include "wshare/error.h"

// Commands of a build without ONNX Runtime: they take any arguments and say what is missing.

namespace wshare {
namespace {

void add_missing(CLI::App& app, const char* command, Action& action) {
  app.allow_extras();
  app.callback([&action, command] {
    action = [command]() -> int {
      throw Error(
          ErrorCode::kUnsupported,
          std::string(command) + ": this wshare was built without ONNX Runtime",
          "tools/setup.sh fetches it; or configure with -DONNXRUNTIME_ROOT=DIR, and build again");
    };
  });
}

}  // namespace

void add_pack(CLI::App& app, Context&, Action& action) { add_missing(app, "pack", action); }
void add_run(CLI::App& app, Context&, Action& action) { add_missing(app, "run", action); }
void add_child(CLI::App& app, Context&, Action& action) { add_missing(app, "run", action); }

}  // namespace wshare

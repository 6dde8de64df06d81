#include "cli.h"
#include "wshare/error.h"

// `run` of a build without ONNX Runtime: takes any arguments and says what is missing.

namespace wshare {

void add_run(CLI::App& app, Context&, Action& action) {
  app.allow_extras();
  app.callback([&action] {
    action = []() -> int {
      throw Error(
          ErrorCode::kUnsupported, "run: this wshare was built without ONNX Runtime",
          "tools/setup.sh fetches it; or configure with -DONNXRUNTIME_ROOT=DIR, and build again");
    };
  });
}

void add_run_side(CLI::App& app, Context& context, Action& action) {
  add_run(app, context, action);
}

}  // namespace wshare

#pragma once

namespace CLI {
class App;
}

namespace wshare {

// Declares --onnxruntime on `app`, which says what host_runtime() is to take, in this process and
// in those that it starts.
void add_onnxruntime_option(CLI::App& app);

}  // namespace wshare

// Makes data for benchmarks and the quickstart, and measures what `wshare run` does not.

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>

#include "command.h"
#include "deltas.h"
#include "generate.h"
#include "manifest.h"
#ifdef WSHARE_HAS_ONNXRUNTIME
#include "sessions.h"
#include "tasks.h"
#endif

int main(int argc, char** argv) {
  setenv("ORT_DISABLE_TELEMETRY", "1", 0);  // as wshare
  CLI::App app("Makes data for wshare's benchmarks, and measures sessions.", "wshare-bench");
  app.require_subcommand(1);
  add_command_command(app);
  add_deltas_command(app);
  add_generate_command(app);
  add_manifest_command(app);
#ifdef WSHARE_HAS_ONNXRUNTIME
  add_session_commands(app);
  add_task_command(app);
#endif
  try {
    CLI11_PARSE(app, argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "wshare-bench: " << error.what() << '\n';
    return 3;
  }
  return 0;
}

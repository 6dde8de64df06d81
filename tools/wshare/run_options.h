#pragma once

#include <string>
#include <vector>

#include "run/job.h"
#include "run/limits.h"

namespace CLI {
class App;
}

namespace wshare {

// What the user wants of `wshare run`.
struct RunArguments {
  RunJob job;                              // of the shared side; its models are still to be found
  std::vector<std::string> models, tasks;  // by name; both empty: all
  bool baseline = false;
  bool summary = false;
  Limits limits;
};

// Declares the options of `run` on `app`, which read into `arguments`; check_together() is for when
// all have been read. What cannot be read is a mistake on the command line: CLI::ValidationError.
void add_run_options(CLI::App& app, RunArguments& arguments);
void check_together(const RunArguments& arguments);

}  // namespace wshare

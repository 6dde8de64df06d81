#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli.h"
#include "run/ask_child.h"
#include "run/job_json.h"

namespace wshare {

// Does one job for a wshare that waits for it (run/ask_child.h). Not for users, so it is hidden
// from --help.
void add_child(CLI::App& app, Context& context, Action& action) {
  app.group("");
  app.callback([&context, &action] {
    action = [&context] {
      const Jobs jobs = {{kRunJob, [](const nlohmann::ordered_json& job, const TellFn& tell) {
                            return to_json(do_job(job_from(job), tell));
                          }}};
      answer_job(jobs, std::cin, context.out, context.err);
      return 0;
    };
  });
}

}  // namespace wshare

#include <malloc.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli.h"
#include "pack/optimise.h"
#include "pack/trial.h"
#include "run/ask_child.h"
#include "run/job_json.h"
#include "runtime/host_runtime.h"

namespace wshare {
namespace {

// Under a limit of address space, the heap that each thread would reserve for itself (64 MiB, and
// twice that while it is made) could take the place of the next thread's stack.
void share_one_heap_under_limit() {
  rlimit space{};
  if (::getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY)
    ::mallopt(M_ARENA_MAX, 1);
}

using Json = nlohmann::ordered_json;
using Job = Jobs::mapped_type;

// `job`, or an error that says why there is no ONNX Runtime for it.
Job with_runtime(const Job& job) {
  return [job](const Json& what, const TellFn& tell) {
    host_runtime();
    return job(what, tell);
  };
}

}  // namespace

// Does one job for a wshare that waits for it (run/ask_child.h). Not for users, so it is hidden
// from --help.
void add_child(CLI::App& app, Context& context, Action& action) {
  app.group("");
  app.callback([&context, &action] {
    action = [&context] {
      share_one_heap_under_limit();
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // without the wshare that waits there is nothing to do
      const Jobs jobs = {
          {kRunJob, with_runtime([](const Json& job, const TellFn& tell) {
             RunAnswer answer = do_job(job_from(job), tell);
             const HostRuntime& runtime = host_runtime();
             answer.onnxruntime = {runtime.base->GetVersionString(), runtime.library};
             return to_json(answer);
           })},
          {kOptimiseJob,
           with_runtime([](const Json& job, const TellFn&) { return do_optimise(job); })},
          {kTrialJob, with_runtime([](const Json& job, const TellFn&) { return do_trial(job); })}};
      answer_job(jobs, std::cin, context.out, context.err);
      return 0;
    };
  });
}

}  // namespace wshare

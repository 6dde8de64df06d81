// What a task costs beside others on one session: the memory that it adds, and the time that it
// takes to switch.

#include "tasks.h"

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "run/arguments.h"
#include "run/inputs.h"
#include "run/measure.h"
#include "util/memory.h"
#include "util/stopwatch.h"
#include "wshare/runtime.h"

namespace {

using wshare::Bundle;
using wshare::MemoryFigures;

double mib(uint64_t bytes) { return static_cast<double>(bytes) / 1048576; }

double growth(uint64_t before, uint64_t after) {
  return after > before ? mib(after - before) : -mib(before - after);
}

// A task session of a base, with inputs for it.
class Runner {
 public:
  Runner(Bundle& bundle, const std::string& folder, const std::string& base,
         const wshare::SessionOptions& options, const wshare::Shapes& shapes)
      : session_(bundle.task_session(base, options)),
        inputs_(wshare::make_inputs({base}, session_.session(), folder + "/" + base + ".onnx",
                                    {{}, shapes})),
        output_names_(session_.session().GetOutputNames()) {
    for (const std::string& name : inputs_.names) inputs_c_.push_back(name.c_str());
    for (const std::string& name : output_names_) outputs_c_.push_back(name.c_str());
  }

  std::vector<std::string> tasks() const { return session_.tasks(); }

  // Returns the milliseconds that a run took.
  double run(const std::string& task) {
    const wshare::Stopwatch watch;
    session_.run(task, inputs_c_.data(), inputs_.values.data(), inputs_.values.size(),
                 outputs_c_.data(), outputs_c_.size());
    return watch.milliseconds();
  }

 private:
  wshare::TaskSession session_;
  wshare::Inputs inputs_;
  std::vector<std::string> output_names_;
  std::vector<const char*> inputs_c_, outputs_c_;
};

uint64_t adapter_bytes(const wshare::Manifest& manifest, const std::string& name) {
  for (const wshare::TaskRecord& task : manifest.tasks) {
    if (task.name == name && task.adapter) return manifest.blobs[*task.adapter].size;
  }
  return 0;
}

struct Arguments {
  std::string bundle, base, tier = "auto";
  std::vector<std::string> shapes;
  unsigned runs = 101;
};

void measure_tasks(const Arguments& arguments) {
  const wshare::Manifest manifest = wshare::load_manifest(arguments.bundle);
  Bundle bundle = Bundle::open(arguments.bundle);
  const wshare::SessionOptions options{wshare::parse_tier(arguments.tier),
                                       wshare::default_ort_options()};
  Runner runner(bundle, arguments.bundle, arguments.base, options,
                wshare::parse_shapes(arguments.shapes));
  const std::vector<std::string> tasks = runner.tasks();
  if (tasks.empty()) throw std::runtime_error("the base has no tasks");
  runner.run("");
  runner.run("");
  for (const std::string& task : tasks) {
    const MemoryFigures before = wshare::measure_memory();
    runner.run(task);
    const MemoryFigures after = wshare::measure_memory();
    std::printf("%s: adapter of %.2f MiB, PSS %+.2f MiB, anonymous %+.2f MiB\n", task.c_str(),
                mib(adapter_bytes(manifest, task)), growth(before.pss, after.pss),
                growth(before.anonymous, after.anonymous));
  }
  // Each task twice: the first run of the two comes after one of another task.
  std::vector<double> base, switched, repeated;
  for (unsigned i = 0; i < arguments.runs; ++i) {
    const std::string& task = tasks[i % tasks.size()];
    switched.push_back(runner.run(task));
    repeated.push_back(runner.run(task));
  }
  for (unsigned i = 0; i < arguments.runs; ++i) base.push_back(runner.run(""));
  std::printf("run: base %.3f ms, task %.3f ms, task after another task %.3f ms (median of %u)\n",
              wshare::median(base), wshare::median(repeated), wshare::median(switched),
              arguments.runs);
}

}  // namespace

void add_task_command(CLI::App& app) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* tasks = app.add_subcommand("tasks", "What each task of a base adds, and switching");
  tasks->add_option("BUNDLE", arguments->bundle, "The bundle")->required();
  tasks->add_option("BASE", arguments->base, "Model that its tasks run over")->required();
  tasks->add_option("--runs", arguments->runs, "Timed runs of each kind")->capture_default_str();
  tasks->add_option("--tier", arguments->tier, "auto, packed, shared or compact")
      ->capture_default_str();
  tasks->add_option("--shape", arguments->shapes, "input=1x32")->allow_extra_args(false);
  tasks->callback([=] { measure_tasks(*arguments); });
}

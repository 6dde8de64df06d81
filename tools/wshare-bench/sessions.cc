// What `wshare run` cannot say of itself: sessions in several processes at once, and runs of two
// sessions in turn, so that what else the machine does hits both alike.

#include "sessions.h"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "run/arguments.h"
#include "run/inputs.h"
#include "run/measure.h"
#include "util/memory.h"
#include "util/stopwatch.h"
#include "wshare/runtime.h"

namespace {

using wshare::Bundle;
using wshare::Tier;

struct Side {
  std::string bundle;  // or a model file, for plain sessions
  std::string model;   // of the bundle
  Tier tier = Tier::kAuto;
};

// A session and inputs for it.
class Worker {
 public:
  Worker(const Side& side, const wshare::Shapes& shapes) {
    const wshare::Stopwatch watch;
    std::string path = side.bundle;
    if (side.model.empty()) {
      session_.emplace(nullptr, Ort::Session(wshare::environment(), path.c_str(),
                                             wshare::default_ort_options()));
    } else {
      Bundle bundle = Bundle::open(side.bundle);
      wshare::SessionOptions options{side.tier, wshare::default_ort_options()};
      session_.emplace(bundle.session(side.model, options));
      tier_ = text_of(bundle.report().models.at(0).tier);
      path = side.bundle + "/" + side.model + ".onnx";
    }
    create_ms_ = watch.milliseconds();
    inputs_ = wshare::make_inputs({side.model}, **session_, path, {{}, shapes});
    output_names_ = (*session_)->GetOutputNames();
    for (const std::string& name : inputs_.names) inputs_c_.push_back(name.c_str());
    for (const std::string& name : output_names_) outputs_c_.push_back(name.c_str());
  }

  double run() {
    const wshare::Stopwatch watch;
    (*session_)->Run(Ort::RunOptions{nullptr}, inputs_c_.data(), inputs_.values.data(),
                     inputs_.values.size(), outputs_c_.data(), outputs_c_.size());
    return watch.milliseconds();
  }

  double create_ms() const { return create_ms_; }
  const std::string& tier() const { return tier_; }

 private:
  std::optional<wshare::Session> session_;
  std::string tier_ = "plain";
  double create_ms_ = 0;
  wshare::Inputs inputs_;
  std::vector<std::string> output_names_;
  std::vector<const char*> inputs_c_, outputs_c_;
};

[[noreturn]] void fail(const char* what) { throw std::runtime_error(what); }

// A pipe that children write figures or wait on.
struct Pipe {
  std::array<int, 2> ends{};
  Pipe() {
    if (pipe(ends.data()) != 0) fail("pipe");
  }
};

// Opens one session in each of `processes` children, runs each once, and prints what they take
// while all are there.
void run_processes(const Side& side, const wshare::Shapes& shapes, unsigned processes) {
  Pipe ready, go, figures, done;
  for (unsigned i = 0; i < processes; ++i) {
    const pid_t child = fork();
    if (child < 0) fail("fork");
    if (child > 0) continue;
    try {
      close(go.ends[1]);  // so that the end of the parent's shows
      close(done.ends[1]);
      Worker worker(side, shapes);
      worker.run();
      char token = 1;
      if (write(ready.ends[1], &token, 1) != 1 || read(go.ends[0], &token, 1) != 0) _exit(1);
      const wshare::MemoryFigures memory = wshare::measure_memory();
      if (write(figures.ends[1], &memory, sizeof memory) != sizeof memory) _exit(1);
      if (read(done.ends[0], &token, 1) != 0) _exit(1);  // stays until all have measured
      _exit(0);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "wshare-bench: %s\n", error.what());
      _exit(1);
    }
  }
  close(ready.ends[1]);
  close(figures.ends[1]);
  char token = 0;
  for (unsigned i = 0; i < processes; ++i) {
    if (read(ready.ends[0], &token, 1) != 1) fail("a child has failed");
  }
  close(go.ends[1]);
  wshare::MemoryFigures sum;
  for (unsigned i = 0; i < processes; ++i) {
    wshare::MemoryFigures memory;
    if (read(figures.ends[0], &memory, sizeof memory) != sizeof memory) fail("a child has failed");
    sum.pss += memory.pss;
    sum.anonymous += memory.anonymous;
  }
  close(done.ends[1]);
  while (wait(nullptr) > 0) {
  }
  std::printf("%u processes: PSS %.1f MiB, anonymous %.1f MiB\n", processes,
              static_cast<double>(sum.pss) / 1048576, static_cast<double>(sum.anonymous) / 1048576);
}

// Runs sessions of both sides in turn and prints medians, and the median of the ratios.
void run_pair(const Side& ours, const Side& plain, const wshare::Shapes& shapes, unsigned runs) {
  Worker theirs(plain, shapes), first(ours, shapes), next(ours, shapes);
  std::printf("create: plain %.1f ms, %s first %.1f ms, next %.1f ms (%.1f %% of plain)\n",
              theirs.create_ms(), next.tier().c_str(), first.create_ms(), next.create_ms(),
              100 * next.create_ms() / theirs.create_ms());
  theirs.run();
  next.run();
  std::vector<double> our_times, their_times, ratios;
  for (unsigned i = 0; i < runs; ++i) {
    const bool we_first = i % 2 == 0;
    const double a = we_first ? next.run() : theirs.run();
    const double b = we_first ? theirs.run() : next.run();
    our_times.push_back(we_first ? a : b);
    their_times.push_back(we_first ? b : a);
    ratios.push_back(our_times.back() / their_times.back());
  }
  std::printf("run: plain %.2f ms, %s %.2f ms, ratio %.3f (median of %u pairs)\n",
              wshare::median(their_times), next.tier().c_str(), wshare::median(our_times),
              wshare::median(ratios), runs);
}

double anonymous_mib() { return static_cast<double>(wshare::measure_memory().anonymous) / 1048576; }

// Prints what it takes to open the bundle and one session of it.
void run_open(const std::string& bundle, const std::string& model) {
  wshare::environment();
  const double before = anonymous_mib();
  const wshare::Stopwatch watch;
  Bundle opened = Bundle::open(bundle);
  const wshare::Session session = opened.session(model);
  const double milliseconds = watch.milliseconds();
  std::printf("%.1f ms, %.1f MiB anonymous\n", milliseconds, anonymous_mib() - before);
}

struct Arguments {
  std::string bundle, model, original, tier = "auto";
  std::vector<std::string> shapes;
  unsigned processes = 4, runs = 101;
};

}  // namespace

void add_session_commands(CLI::App& app) {
  const auto arguments = std::make_shared<Arguments>();
  const auto add_common = [&](CLI::App& command) {
    command.add_option("--tier", arguments->tier, "auto, packed, shared or compact")
        ->capture_default_str();
    command.add_option("--shape", arguments->shapes, "input=1x32")->allow_extra_args(false);
  };
  CLI::App* processes = app.add_subcommand("processes", "Memory of one session per process");
  processes->add_option("PATH", arguments->bundle, "A bundle, or a model for plain sessions")
      ->required();
  processes->add_option("MODEL", arguments->model, "Of the bundle");
  processes->add_option("--processes", arguments->processes, "How many")->capture_default_str();
  add_common(*processes);
  processes->callback([=] {
    run_processes({arguments->bundle, arguments->model, wshare::parse_tier(arguments->tier)},
                  wshare::parse_shapes(arguments->shapes), arguments->processes);
  });
  CLI::App* open = app.add_subcommand("open", "What opening a bundle and one session takes");
  open->add_option("BUNDLE", arguments->bundle, "The bundle")->required();
  open->add_option("MODEL", arguments->model, "Of the bundle")->required();
  open->callback([=] { run_open(arguments->bundle, arguments->model); });
  CLI::App* pair = app.add_subcommand("pair", "Runs of a shared and a plain session in turn");
  pair->add_option("BUNDLE", arguments->bundle, "The bundle")->required();
  pair->add_option("MODEL", arguments->model, "Of the bundle")->required();
  pair->add_option("ORIGINAL", arguments->original, "Its original, for the plain session")
      ->required();
  pair->add_option("--runs", arguments->runs, "Pairs of runs")->capture_default_str();
  add_common(*pair);
  pair->callback([=] {
    run_pair({arguments->bundle, arguments->model, wshare::parse_tier(arguments->tier)},
             {arguments->original, "", Tier::kAuto}, wshare::parse_shapes(arguments->shapes),
             arguments->runs);
  });
}

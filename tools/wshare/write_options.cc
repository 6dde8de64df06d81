#include "write_options.h"

#include <CLI/CLI.hpp>
#include <ostream>
#include <string>

#include "cli.h"
#include "util/text.h"

namespace wshare {

void add_dry_run_option(CLI::App& app, bool& dry_run) {
  app.add_flag("-n,--dry-run", dry_run, "Say what would be done, write nothing");
}

void add_replace_option(CLI::App& app, bool& replace) {
  app.add_flag("--force", replace, "Replace a bundle that exists, as a whole");
}

void add_min_bytes_option(CLI::App& app, uint64_t& min_bytes) {
  app.add_option("--min-bytes", min_bytes, "Tensors of fewer bytes stay in their model")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}

void add_split_option(CLI::App& app, SplitUses& kinds) {
  app.add_option_function<std::string>(
         "--split-device-uses",
         [&kinds](const std::string& by) {
           kinds = by == "nodes" ? SplitUses::kByNode : SplitUses::kByOperator;
         },
         "For sessions on a device: give a weight a name for each of the operators, or of the "
         "nodes, that read it")
      ->check(CLI::IsMember({"operators", "nodes"}));
}

void add_keep_identity_option(CLI::App& app, bool& keep) {
  app.add_flag("--keep-identity", keep,
               "Leave nodes that only give a weight another name; each session then has its copy");
}

void add_tie_options(CLI::App& app, TieTransposed& how, bool& other_bits) {
  CLI::Option* tie =
      app.add_flag_callback(
             "--tie-transposed", [&how] { how = TieTransposed::kFused; },
             "Store weights that are another's transpose as that one; MatMul becomes FusedMatMul")
          ->excludes(app.get_option("--split-device-uses"));
  app.add_flag_callback(
         "--tie-with-transpose", [&how] { how = TieTransposed::kTransposeNode; },
         "The same with a Transpose node, for runtimes without com.microsoft; each session "
         "then has its copy")
      ->excludes(app.get_option("--split-device-uses"))
      ->excludes(tie);
  app.add_flag("--allow-other-bits", other_bits,
               "Tie transposed weights also where outputs may get other last bits");
}

void say_kept(std::ostream& err, const std::string& kept) {
  if (kept.empty()) return;
  print_message(err, "warning: what others put into the replaced bundle is in " + in_quotes(kept));
}

void add_wait_option(CLI::App& app, std::chrono::milliseconds& wait) {
  using std::chrono::milliseconds, std::chrono::duration, std::chrono::duration_cast;
  app.add_option_function<double>(
         "--wait",
         [&wait](const double& seconds) {
           wait = duration_cast<milliseconds>(duration<double>(seconds));
         },
         "Seconds to wait for another command that changes the bundle; 0: none")
      ->check(CLI::Range(0.0, 1e6))
      ->default_str(std::to_string(duration_cast<std::chrono::seconds>(wait).count()));
}

}  // namespace wshare

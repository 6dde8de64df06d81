// Where the memory of shared sessions is, and what makes it less.

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli.h"
#include "rows.h"
#include "run_report.h"
#include "util/text.h"

namespace wshare {
namespace {

// What would make the parts less, each with its gain; none: nothing that is worth it.
std::vector<std::string> advise(const RunReport& report, const MemoryParts& parts) {
  const uint64_t worth_it = std::max(uint64_t{1} << 20, report.shared.memory.pss / 50);
  const auto less = [](uint64_t bytes) { return "about " + format_bytes(bytes) + " less"; };
  // What a pack keeps is about what one session of each model makes.
  const uint64_t gone = parts.copies + parts.freed;
  const std::string on_disk = ", for up to " +
                              format_bytes(gone > parts.pack_saves ? gone - parts.pack_saves : 0) +
                              " on disk";
  std::vector<std::string> advice;
  if (tier_of(report.shared) != text_of(Tier::kPacked)) {
    const std::string pack = "over a pack ('wshare pack'): ";
    if (parts.pack_saves >= worth_it) {
      advice.push_back(pack + less(parts.pack_saves) + on_disk);
    } else if (parts.copies >= worth_it) {
      advice.push_back(pack + "one copy, also for further sessions");
    }
  }
  if (parts.arena_saves >= worth_it)
    advice.push_back("with --shared-arena: " + less(parts.arena_saves));
  return advice;
}

}  // namespace

nlohmann::ordered_json memory_json(const RunReport& report) {
  if (!report.shared.parts) return nullptr;
  const MemoryParts& parts = *report.shared.parts;
  return {{"weights_bytes", parts.weights},
          {"kernel_bytes", parts.copies},
          {"activation_bytes", parts.activations},
          {"other_bytes", parts.freed + parts.other},
          {"advice", advise(report, parts)}};
}

void print_parts(std::ostream& out, const RunReport& report) {
  const MemoryParts& parts = *report.shared.parts;
  const std::vector<std::string> advice = advise(report, parts);
  out << '\n';
  print_table(out,
              {{"PSS", "of it"},
               {format_bytes(parts.weights), "weights, one copy"},
               {format_bytes(parts.copies), "copies of weights, of each session"},
               {format_bytes(parts.freed), "freed by ONNX Runtime, kept by malloc"},
               {format_bytes(parts.activations), "activations, kept for the next run"},
               {format_bytes(parts.other), "graphs, ONNX Runtime, inputs"}},
              1);
  for (const std::string& each : advice) print_words(out, each);
  if (advice.empty()) out << "nothing more to share\n";
}

}  // namespace wshare

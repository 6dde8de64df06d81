// Where the memory of shared sessions is, and what makes it less.

#include <fmt/format.h>

#include <algorithm>

#include "cli.h"
#include "rows.h"
#include "run_report.h"
#include "util/text.h"

namespace wshare {
namespace {

// What would make the parts less, each with its gain; empty: nothing that is worth it.
struct Advice {
  std::string pack, arena;
};

Advice advise(const RunReport& report, const MemoryParts& parts) {
  const uint64_t worth_it = std::max(uint64_t{1} << 20, report.shared.memory.pss / 50);
  const auto less = [](uint64_t bytes) { return "about " + format_bytes(bytes) + " less"; };
  // What a pack keeps is about what one session of each model makes.
  const uint64_t gone = parts.copies + parts.freed;
  const std::string on_disk = ", for up to " +
                              format_bytes(gone > parts.pack_saves ? gone - parts.pack_saves : 0) +
                              " on disk";
  Advice advice;
  if (tier_of(report.shared) != text_of(Tier::kPacked)) {
    const std::string pack = "over a pack ('wshare pack'): ";
    if (parts.pack_saves >= worth_it) {
      advice.pack = pack + less(parts.pack_saves) + on_disk;
    } else if (parts.copies >= worth_it) {
      advice.pack = pack + "one copy, also for further sessions";
    }
  }
  if (parts.arena_saves >= worth_it)
    advice.arena = "with --shared-arena: " + less(parts.arena_saves);
  return advice;
}

}  // namespace

void print_parts(std::ostream& out, const RunReport& report) {
  const MemoryParts& parts = *report.shared.parts;
  const Advice advice = advise(report, parts);
  const bool any = !advice.pack.empty() || !advice.arena.empty();
  Rows rows = {
      {"PSS", "of it"},
      {format_bytes(parts.weights), "weights, one copy"},
      {format_bytes(parts.copies), "copies of weights, of each session"},
      {format_bytes(parts.freed), "freed by ONNX Runtime, kept by malloc"},
      {format_bytes(parts.activations), "activations, kept for the next run"},
      {format_bytes(parts.other), "graphs, ONNX Runtime, inputs"},
  };
  if (any) {
    rows[0].push_back("what makes it less");
    for (size_t i = 1; i < rows.size(); ++i) rows[i].push_back("");
    rows[2].back() = advice.pack;
    rows[4].back() = advice.arena;
  }
  out << '\n';
  print_table(out, rows, 1);
  if (!any) out << "nothing more to share\n";
}

}  // namespace wshare

// `wshare run --summary`: three lines that a person can paste into a ticket.

#include <fmt/format.h>

#include <algorithm>

#include "run_report.h"
#include "util/text.h"
#include "util/visible.h"
#include "version.h"

namespace wshare {
namespace {

// "12.1 ms", the median over all sessions.
std::string median_of(double SessionFigures::*figure, const Measurement& measurement) {
  std::vector<double> times;
  for (const SessionFigures& session : measurement.sessions) times.push_back(session.*figure);
  return fmt::format("{:.1f}", median(times));
}

std::string time_of(const char* what, double SessionFigures::*figure, const RunReport& report) {
  std::string text = std::string(what) + " " + median_of(figure, report.shared) + " ms";
  if (report.baseline) text += " (plain " + median_of(figure, *report.baseline) + ")";
  return text;
}

std::string memory_of(const RunReport& report) {
  const MemoryFigures& ours = report.shared.memory;
  if (!report.baseline)
    return fmt::format("PSS {}, anonymous {} (--baseline measures plain sessions beside)",
                       format_bytes(ours.pss), format_bytes(ours.anonymous));
  const uint64_t plain = report.baseline->memory.pss;
  return fmt::format("PSS {}, plain sessions {}: {}", format_bytes(ours.pss), format_bytes(plain),
                     saving_of(ours.pss, plain));
}

std::string parity_of(const RunReport& report) {
  if (report.parity.empty()) return "outputs not compared (--against)";
  const auto equal = std::count_if(report.parity.begin(), report.parity.end(),
                                   [](const ParityRow& row) { return row.bit_equal; });
  if (static_cast<size_t>(equal) == report.parity.size())
    return count_of(report.parity.size(), "output") + " equal in bits";
  double most = 0;
  for (const ParityRow& row : report.parity) most = std::max(most, row.max_abs_diff);
  return fmt::format("{} of {} equal in bits, the others by at most {:.3g}", equal,
                     count_of(report.parity.size(), "output"), most);
}

}  // namespace

void print_summary(std::ostream& out, const RunReport& report) {
  out << visible(fmt::format("wshare {}, ONNX Runtime {} on {}: {}", kVersion,
                             report.onnxruntime.version, report.ep,
                             describe(report.shared, report.tier)))
      << '\n'
      << memory_of(report) << '\n'
      << time_of("create", &SessionFigures::create_ms, report) << ", "
      << time_of("run", &SessionFigures::run_ms_median, report) << "; " << parity_of(report)
      << '\n';
}

}  // namespace wshare

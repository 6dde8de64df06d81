#pragma once

#include <iosfwd>

#include "inspect_report.h"

namespace wshare {

// Prints the parts of one model; how it shares with others is told for all models together.
void print_parts(std::ostream& out, const InspectedModel& model, const InspectView& view);

// Prints blobs and tasks, where there are some.
void print_bundle_parts(std::ostream& out, const Inspection& inspection, const InspectView& view);

void print_findings(std::ostream& out, const Inspection& inspection, const InspectView& view);

}  // namespace wshare

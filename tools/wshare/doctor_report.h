#pragma once

#include <iosfwd>
#include <nlohmann/json_fwd.hpp>

#include "wshare/doctor.h"

namespace wshare {

nlohmann::ordered_json to_json(const DoctorReport& report);

// Prints what opens where, then what stands against it, each with a remedy.
void print_report(std::ostream& out, const DoctorReport& report);

}  // namespace wshare

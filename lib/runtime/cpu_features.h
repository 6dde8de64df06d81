#pragma once

#include <string>
#include <string_view>

namespace wshare {

// Returns what of this machine's CPU decides how kernels pack weights, as one line: the
// architecture, the vendor, and the instruction sets that ONNX Runtime's kernels ask for. Two
// machines with equal lines pack alike. Throws Error(kIo) if the system does not tell.
std::string cpu_features();

// Returns the same from the text of /proc/cpuinfo, for `architecture` as uname(1) calls it.
std::string parse_cpu_features(std::string_view architecture, std::string_view cpuinfo);

}  // namespace wshare

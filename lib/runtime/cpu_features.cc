#include "runtime/cpu_features.h"

#include <sys/utsname.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <mutex>
#include <set>
#include <sstream>

#include "wshare/error.h"

// A name that kernels do not ask for would only make packs fit fewer machines; one that is missing
// here would let a pack be tried where ONNX Runtime packs in another way. That costs memory, never
// a wrong answer: ONNX Runtime compares the bytes, and the loader looks at what the session holds.
//
// Source: onnxruntime/core/common/cpuid_info.cc, onnxruntime/core/mlas/lib/platform.cpp.

namespace wshare {
namespace {

const std::set<std::string, std::less<>>& known_features() {
  static const std::set<std::string, std::less<>> known = {
      // x86
      "sse4_1", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx_vnni_int8", "avx_ne_convert",
      "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd", "avx512_vnni", "avx512_bf16",
      "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16",
      // ARM
      "asimd", "asimdhp", "asimddp", "fphp", "i8mm", "bf16", "sve", "sve2", "svei8mm", "sme",
      "sme2",
      // POWER, LoongArch, IBM Z
      "lsx", "lasx", "vx", "vxe", "vxe2", "nnpa"};
  return known;
}

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  const size_t end = text.find_last_not_of(" \t");
  return begin == std::string_view::npos ? "" : text.substr(begin, end - begin + 1);
}

}  // namespace

std::string parse_cpu_features(std::string_view architecture, std::string_view cpuinfo) {
  std::string vendor;
  std::set<std::string> features;
  std::istringstream lines{std::string(cpuinfo)};
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string_view key = trimmed(std::string_view(line).substr(0, colon));
    const std::string value(trimmed(std::string_view(line).substr(colon + 1)));
    if (key == "vendor_id" || key == "CPU implementer" || key == "cpu") vendor = value;
    if (key != "flags" && key != "Features" && key != "features") continue;
    std::istringstream words(value);
    for (std::string word; words >> word;) {
      if (known_features().contains(word)) features.insert(word);
    }
  }
  std::string line(architecture);
  if (!vendor.empty()) line += ' ' + vendor;
  for (const std::string& feature : features) line += ' ' + feature;
  return line;
}

std::string cpu_features() {
  static std::mutex mutex;
  static std::string features;
  const std::lock_guard lock(mutex);
  if (!features.empty()) return features;
  struct utsname system {};
  uname(&system);
  std::ifstream file("/proc/cpuinfo");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  // Kept only where it was read: there may be no descriptor left, for now.
  if (text.empty()) {
    throw Error(ErrorCode::kIo,
                std::string("'/proc/cpuinfo': cannot read it: ") + std::strerror(errno));
  }
  return features = parse_cpu_features(system.machine, text);
}

}  // namespace wshare

#include "runtime/pack_fit.h"

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <sstream>

#include "runtime/cpu_features.h"
#include "wshare/error.h"

namespace wshare {
namespace {

// The features of one machine that another one lacks, and the other way round.
std::string difference(const std::string& theirs, const std::string& ours) {
  const auto words = [](const std::string& line) {
    std::istringstream stream(line);
    return std::set<std::string>{std::istream_iterator<std::string>(stream), {}};
  };
  const std::set<std::string> before = words(theirs), now = words(ours);
  std::string text;
  for (const std::string& word : before) {
    if (!now.contains(word)) text += " -" + word;
  }
  for (const std::string& word : now) {
    if (!before.contains(word)) text += " +" + word;
  }
  return text;
}

std::string why_other_cpu(const PackRecord& pack) {
  try {
    const std::string ours = cpu_features();
    return pack.cpu == ours ? "" : "its pack is for another CPU:" + difference(pack.cpu, ours);
  } catch (const Error& error) {
    return std::string("what CPU this is cannot be told: ") + error.what();
  }
}

}  // namespace

bool is_of_this_release(const PackRecord& pack) {
  return pack.onnxruntime == OrtGetApiBase()->GetVersionString();
}

std::string why_unfit(const PackRecord& pack, const ContentHash& model) {
  if (pack.made_of != model) return "its pack was made of another file of the model";
  return why_other_cpu(pack);
}

std::string why_unknown(const PackRecord& pack) {
  if (is_of_this_release(pack)) return "";
  return "its pack is for ONNX Runtime " + pack.onnxruntime + ", this is " +
         OrtGetApiBase()->GetVersionString() +
         ", and the session has no arena of its own that would show if it fits";
}

std::vector<const PackRecord*> in_order(const std::vector<PackRecord>& packs) {
  std::vector<const PackRecord*> ordered;
  for (const PackRecord& pack : packs) ordered.push_back(&pack);
  std::stable_partition(ordered.begin(), ordered.end(),
                        [](const PackRecord* pack) { return is_of_this_release(*pack); });
  return ordered;
}

}  // namespace wshare

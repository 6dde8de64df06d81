#include "runtime/pack_fit.h"

#include <onnxruntime_session_options_config_keys.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <sstream>

#include "format/manifest/extents.h"
#include "runtime/cpu_features.h"
#include "util/text.h"
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

bool is_of_release(const PackRecord& pack, std::string_view release) {
  return pack.onnxruntime == release;
}

std::string why_no_pack(const ModelPart& part, const PackUse& use) {
  if (part.packs.empty()) return "the bundle has no pack of it";
  if (use.on_device) return "packs are for the CPU";
  if (!use.packing_off) return "";
  return std::string("the session options switch packing off (") +
         kOrtSessionOptionsConfigDisablePrepacking + ")";
}

std::string why_unfit(const PackRecord& pack, const ContentHash& model) {
  if (pack.made_of != model) return "its pack was made of another file of the model";
  return why_other_cpu(pack);
}

std::string why_missing(const StoredFiles& files, const PackRecord& pack) {
  std::set<uint32_t> blobs;
  visit_pack_extents(pack, [&](const Extent& extent) { blobs.insert(extent.blob); });
  for (const uint32_t number : blobs) {
    const BlobRecord& blob = files.records()[number];
    if (!files.has(blob.file)) return in_quotes(blob.file) + " is missing";
    files.open(blob.file, blob.size);
  }
  if (!files.has(pack.model.file)) return in_quotes(pack.model.file) + " is missing";
  return "";
}

std::string why_unknown(const PackRecord& pack, std::string_view release) {
  if (is_of_release(pack, release)) return "";
  return "its pack is for ONNX Runtime " + pack.onnxruntime + ", this is " + std::string(release) +
         ", and the session has no arena of its own that would show if it fits";
}

std::vector<const PackRecord*> in_order(const std::vector<PackRecord>& packs,
                                        std::string_view release) {
  std::vector<const PackRecord*> ordered;
  for (const PackRecord& pack : packs) ordered.push_back(&pack);
  std::stable_partition(ordered.begin(), ordered.end(),
                        [&](const PackRecord* pack) { return is_of_release(*pack, release); });
  return ordered;
}

}  // namespace wshare

#include "runtime/packed_session.h"

#include <malloc.h>
#include <onnxruntime_session_options_config_keys.h>

#include <algorithm>
#include <functional>
#include <set>
#include <sstream>

#include "format/manifest/extents.h"
#include "runtime/cpu_features.h"
#include "runtime/environment.h"
#include "runtime/map_room.h"
#include "runtime/session_parts.h"
#include "util/memory.h"
#include "util/text.h"
#include "wshare/error.h"

// Sessions over a pack ("i" in docs/design.md): ONNX Runtime maps the weights and their packed
// forms itself, as the optimised model says, so nothing is handed over. While it makes a session it
// packs each weight once more, hashes that, and takes the mapped form where the hash is the one in
// the model. Another CPU packs other bytes, another release may; then it keeps its own, without a
// word (1.29), or refuses the model (1.32, which also compares the bytes). So the CPU is compared
// first, and the memory of the first session afterwards. That of a small pack tells nothing: it is
// for the very release that made it.

namespace fs = std::filesystem;

namespace wshare {
namespace {

// Packs of fewer bytes than this cannot be told from what else a session takes; copies of them cost
// no more than that.
constexpr uint64_t kTellingBytes = uint64_t{8} << 20;

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

// Returns which file of the pack is missing or has another size, or "".
std::string find_missing(const BundleState& bundle, const PackRecord& pack) {
  std::set<uint32_t> blobs;
  visit_pack_extents(pack, [&](const Extent& extent) { blobs.insert(extent.blob); });
  for (const uint32_t number : blobs) {
    const BlobRecord& blob = bundle.files.records()[number];
    if (!bundle.files.has(blob.file)) return in_quotes(blob.file) + " is missing";
    bundle.files.open(blob.file, blob.size);
  }
  if (!bundle.files.has(pack.model.file)) return in_quotes(pack.model.file) + " is missing";
  return "";
}

// Corrupt packed bytes give wrong outputs without an error.
void check_bytes(const BundleState& bundle, const PackRecord& pack) {
  const StoredFiles files(bundle.folder, bundle.manifest.blobs());  // no map of packs stays
  const auto check = [&](const Extent& extent, const ContentHash& hash, const std::string& what) {
    if (content_hash(files.bytes(extent)) == hash) return;
    throw Error(ErrorCode::kInvalid,
                in_quotes(files.blob(extent.blob).path().string()) + ": " + what + " at " +
                    std::to_string(extent.offset) + " does not have the manifest's hash",
                "'wshare verify' lists all damage");
  };
  for (const TensorRecord& tensor : pack.model.tensors)
    check(tensor.extent, tensor.hash, "tensor " + in_quotes(tensor.name));
  for (const BufferRecord& buffer : pack.buffers)
    check(buffer.extent, buffer.hash, "a packed weight");
}

// Makes a session and returns how many bytes of anonymous memory it holds.
//
// What ONNX Runtime packs to compare is freed again, but malloc may keep it, and would hide copies
// in what it kept before. So that is given back first; and if more than `limit` is held, another
// session, which malloc would give what it has kept, shows whether it is the sessions that hold it.
uint64_t measure_growth(uint64_t limit, const std::function<Ort::Session()>& make,
                        Ort::Session& session) {
  const auto anonymous = [] {
    malloc_trim(0);
    return measure_memory().anonymous;
  };
  const auto growth = [&](Ort::Session& made) {
    const uint64_t before = anonymous();
    made = make();
    const uint64_t after = anonymous();
    return after > before ? after - before : 0;
  };
  const uint64_t first = growth(session);
  if (first <= limit) return first;
  Ort::Session another(nullptr);
  return std::min(first, growth(another));
}

// Makes the session, or returns why the pack is of no use.
std::string create_packed(const fs::path& path, const Ort::SessionOptions& ort, uint64_t bytes,
                          bool known, Ort::Session& session) {
  const auto make = [&] { return Ort::Session(environment(), path.c_str(), ort); };
  try {
    if (known) {
      session = make();
      // What it packed to compare, which glibc may keep: measured, 90 MiB a session.
      malloc_trim(0);
      return "";
    }
    const uint64_t own = measure_growth(bytes / 2, make, session);
    if (bytes < kTellingBytes || own <= bytes / 2) return "";
    return "ONNX Runtime does not use its pack: a session holds " + format_bytes(own) +
           " for itself, " + format_bytes(bytes) + " are packed";
  } catch (const Ort::Exception& exception) {
    return std::string("ONNX Runtime refuses its pack: ") + exception.what();
  }
}

bool packing_is_off(const Ort::SessionOptions& options) {
  return options.HasConfigEntry(kOrtSessionOptionsConfigDisablePrepacking) &&
         options.GetConfigEntry(kOrtSessionOptionsConfigDisablePrepacking) == "1";
}

}  // namespace

std::string why_not_packed(const BundleState& bundle, const ModelPart& part,
                           const SessionOptions& options) {
  const std::optional<PackRecord>& pack = part.pack;
  if (!pack) return "the bundle has no pack of it";
  if (options.device) return "packs are for the CPU";
  if (packing_is_off(options.ort)) {
    return std::string("the session options switch packing off (") +
           kOrtSessionOptionsConfigDisablePrepacking + ")";
  }
  if (pack->made_of != part.model.hash) return "its pack was made of another file of the model";
  const std::string runtime = OrtGetApiBase()->GetVersionString();
  if (pack->onnxruntime != runtime && distinct_bytes(pack->buffers) < kTellingBytes) {
    return "its pack is for ONNX Runtime " + pack->onnxruntime + ", this is " + runtime +
           ", and memory tells of no pack under " + format_bytes(kTellingBytes) + " if it fits";
  }
  const std::string other_cpu = why_other_cpu(*pack);
  if (!other_cpu.empty()) return other_cpu;
  const std::string missing = find_missing(bundle, *pack);
  if (!missing.empty()) return missing;
  // It maps weights and packed forms, each for itself.
  const std::string full = why_no_room(pack->model.tensors.size() + pack->buffers.size());
  if (!full.empty()) return full;
  const std::lock_guard lock(bundle.mutex);
  const auto refused = bundle.refused_packs.find(part.model.name);
  return refused == bundle.refused_packs.end() ? "" : refused->second;
}

std::optional<Session> open_packed(const std::shared_ptr<BundleState>& bundle,
                                   const ModelPart& part, const SessionOptions& options,
                                   ModelReport& report) {
  const PackRecord& pack = part.pack.value();
  const std::string& name = part.model.name;
  bundle->files.model(pack.model);
  const fs::path path = bundle->folder->path_of(pack.model.file);
  const uint64_t bytes = distinct_bytes(pack.buffers);
  // One first session at a time: what others take meanwhile would count as this one's.
  std::unique_lock first(bundle->first_packed, std::defer_lock);
  const auto is_known = [&] {
    const std::lock_guard lock(bundle->mutex);
    return bundle->proven_packs.contains(name);
  };
  bool known = is_known();
  if (!known) {
    first.lock();
    known = is_known();
  }
  if (!known && bundle->check_packs) check_bytes(*bundle, pack);
  auto keep_alive = std::make_shared<KeepAlive>();
  keep_alive->owners.push_back(bundle);
  Ort::SessionOptions ort = join_environment(name, options);
  attach_log(options, ort, *keep_alive);
  ort.SetGraphOptimizationLevel(ORT_DISABLE_ALL);
  Ort::Session session(nullptr);
  report.why = bundle->plain(create_packed(path, ort, bytes, known, session));
  if (!report.why.empty()) return std::nullopt;
  if (!known) {
    const std::lock_guard lock(bundle->mutex);
    bundle->proven_packs.insert(name);
  }
  check_providers(name, options, session);
  report.tier = Tier::kPacked;
  report.model = name;
  for (const TensorRecord& tensor : pack.model.tensors) {
    report.shared_tensors.push_back(tensor.name);
    report.shared_bytes += tensor.extent.size;
  }
  report.packed_bytes = bytes;
  report.packed_by = pack.onnxruntime;
  report.packed_shared = true;
  return Session(std::move(keep_alive), std::move(session));
}

}  // namespace wshare

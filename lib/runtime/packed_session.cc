#include "runtime/packed_session.h"

#include <onnxruntime_session_options_config_keys.h>

#include <utility>

#include "runtime/environment.h"
#include "runtime/map_room.h"
#include "runtime/ort_errors.h"
#include "runtime/pack_fit.h"
#include "runtime/pack_proof.h"
#include "runtime/session_parts.h"
#include "util/text.h"
#include "wshare/error.h"

// Sessions over a pack ("i" in docs/design.md): ONNX Runtime maps the weights and their packed
// forms itself, as the optimised model says, so nothing is handed over. While it makes a session it
// packs each weight once more, hashes that, and takes the mapped form where the hash is the one in
// the model. Another CPU packs other bytes, another release may; then it keeps its own, without a
// word (1.29), or refuses the model (1.32, which also compares the bytes). So the CPU is compared
// first, and what the first session holds afterwards (pack_proof.h).

namespace wshare {
namespace {

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

bool packing_is_off(const Ort::SessionOptions& options) {
  return options.HasConfigEntry(kOrtSessionOptionsConfigDisablePrepacking) &&
         options.GetConfigEntry(kOrtSessionOptionsConfigDisablePrepacking) == "1";
}

// Returns why no session of `model` can be made over `pack`, or "". Reads no weights.
std::string why_not(BundleState& bundle, const PackRecord& pack, const ModelRecord& model) {
  const std::string unfit = why_unfit(pack, model.hash);
  if (!unfit.empty()) return unfit;
  const std::string missing = why_missing(bundle.files, pack);
  if (!missing.empty()) return missing;
  // It maps weights and packed forms, each for itself.
  const std::string full = why_no_room(pack.model.tensors.size() + pack.buffers.size());
  if (!full.empty()) return full;
  const std::lock_guard lock(bundle.mutex);
  const auto refused = bundle.refused_packs.find(pack.model.file);
  return refused == bundle.refused_packs.end() ? "" : refused->second;
}

// Makes the session, or returns why the pack is of no use.
std::string make_session(BundleState& bundle, const PackRecord& pack,
                         const Ort::SessionOptions& options, Ort::Session& session) {
  const std::string& file = pack.model.file;
  const std::filesystem::path path = bundle.folder->path_of(file);
  const auto is_known = [&] {
    const std::lock_guard lock(bundle.mutex);
    return bundle.proven_packs.contains(file);
  };
  if (is_known()) return make_unproven(path, options, session);
  // One first session at a time: what others take meanwhile would count as this one's.
  const std::lock_guard first(bundle.first_packed);
  if (is_known()) return make_unproven(path, options, session);
  if (bundle.check_packs) check_bytes(bundle, pack);
  std::string why =
      make_proven(path, {distinct_bytes(pack.buffers), pack.own_bytes, pack.model.size},
                  why_unknown(pack, runtime_version()), options, session);
  if (!why.empty()) return why;
  const std::lock_guard lock(bundle.mutex);
  bundle.proven_packs.insert(file);
  return "";
}

ModelReport report_of(const PackRecord& pack) {
  ModelReport report;
  report.tier = Tier::kPacked;
  report.model = pack.model.name;
  for (const TensorRecord& tensor : pack.model.tensors) {
    report.shared_tensors.push_back(tensor.name);
    report.shared_bytes += tensor.extent.size;
  }
  report.packed_bytes = distinct_bytes(pack.buffers);
  report.packed_by = pack.onnxruntime;
  report.packed_shared = true;
  return report;
}

// The session over `pack`; none if it turns out to be of no use, and `why` says so.
std::optional<Session> open_over(const std::shared_ptr<BundleState>& bundle, const PackRecord& pack,
                                 const SessionOptions& options, std::string& why) {
  const std::string& name = pack.model.name;
  bundle->files.model(pack.model);
  auto keep_alive = std::make_shared<KeepAlive>();
  keep_alive->owners.push_back(bundle);
  Ort::SessionOptions ort = join_environment(name, options);
  attach_log(options, ort, *keep_alive);
  ort.SetGraphOptimizationLevel(ORT_DISABLE_ALL);
  Ort::Session session(nullptr);
  why = bundle->plain(make_session(*bundle, pack, ort, session));
  if (!why.empty()) return std::nullopt;
  check_providers(name, options, session);
  return Session(std::move(keep_alive), std::move(session));
}

}  // namespace

PackedAttempt open_packed(const std::shared_ptr<BundleState>& bundle, const ModelPart& part,
                          const SessionOptions& options) {
  PackedAttempt attempt;
  attempt.why = why_no_pack(part, {options.device.has_value(), packing_is_off(options.ort)});
  if (!attempt.why.empty()) return attempt;
  for (const PackRecord* const pack : in_order(part.packs, runtime_version())) {
    std::string why = why_not(*bundle, *pack, part.model);
    if (why.empty()) {
      attempt.session = open_over(bundle, *pack, options, why);
      if (!attempt.session) attempt.refused.emplace(pack->model.file, why);
    }
    if (attempt.session) {
      attempt.report = report_of(*pack);
      attempt.why.clear();
      return attempt;
    }
    attempt.why += (attempt.why.empty() ? "" : "; ") + why;
  }
  if (part.packs.size() > 1)
    attempt.why =
        "none of its " + std::to_string(part.packs.size()) + " packs fits: " + attempt.why;
  return attempt;
}

}  // namespace wshare

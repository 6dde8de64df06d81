#include "runtime/catalog.h"

#include <algorithm>
#include <utility>

#include "format/adapter_file.h"
#include "runtime/map_room.h"
#include "runtime/ort_errors.h"
#include "runtime/session_parts.h"
#include "runtime/task_lookup.h"
#include "util/system_errors.h"
#include "util/text.h"
#include "wshare/error.h"

// How a session is made, without making it. An InferenceSession of Python takes no session of ours
// and no container for packed weights, and its module has an ONNX Runtime of its own inside. So its
// sessions share by what all of them have in common: files. What is known of packs, CPUs, hashes
// and adapters is asked here of the same functions as for sessions of our own.
//
// What is lost is the look at what the first session holds (pack_proof.h), so a pack of another
// release is left alone unless that ONNX Runtime compares the bytes itself and refuses.

namespace wshare {
namespace {

// From this release on a session over a pack that packs otherwise is refused, not made with copies.
constexpr unsigned kRefusesForeignPacks = 32;

std::string why_unproven(const PackRecord& pack, const std::string& release) {
  if (is_of_release(pack, release) || release_in(release) >= kRefusesForeignPacks) return "";
  return "its pack is for ONNX Runtime " + pack.onnxruntime + ", this is " + release +
         ", which would keep copies without a word if it packs in another way";
}

std::string why_not(const BundleState& bundle, const PackRecord& pack, const ModelRecord& model,
                    const PlanRequest& request) {
  for (const std::string& why :
       {why_unfit(pack, model.hash), why_unproven(pack, request.onnxruntime)}) {
    if (!why.empty()) return why;
  }
  if (!request.optimization.empty() && request.optimization != pack.optimization)
    return "its pack is of a graph optimised to " + in_quotes(pack.optimization) +
           ", the session options ask for " + in_quotes(request.optimization);
  const std::string missing = why_missing(bundle.files, pack);
  if (!missing.empty()) return missing;
  bundle.files.model(pack.model);
  return why_no_room(pack.model.tensors.size() + pack.buffers.size());
}

// Returns why no session can be made over any pack of `plan`, or "".
std::string judge_packs(SessionPlan& plan, const PlanRequest& request) {
  const std::string none = why_no_pack(plan.part, request.use);
  std::string all;
  for (const PackRecord* const pack : in_order(plan.part.packs, request.onnxruntime)) {
    const std::string why =
        none.empty() ? why_not(*plan.bundle, *pack, plan.part.model, request) : none;
    plan.packs.push_back({pack, why});
    all += (all.empty() ? "" : "; ") + why;
  }
  if (!none.empty()) return none;
  if (plan.packs.size() < 2) return all;
  return "none of its " + std::to_string(plan.packs.size()) + " packs fits: " + all;
}

// The way over the model's own file.
Way plain_way(const SessionPlan& plan, const PlanRequest& request) {
  const ModelRecord& model = plan.part.model;
  require_blobs(*plan.bundle, model);
  plan.bundle->files.model(model);
  for (const uint32_t blob : blobs_of(model)) plan.bundle->files.blob(blob);
  Way way;
  if (request.takes_buffers && !request.use.on_device &&
      release_in(request.onnxruntime) >= kTakesInPlace)
    way.lent = blobs_of(model);
  // Files in memory are for the main graph only.
  const auto maps = std::count_if(
      model.tensors.begin(), model.tensors.end(),
      [&](const TensorRecord& tensor) { return way.lent.empty() || !tensor.scope.empty(); });
  require_map_room(model.name, static_cast<uint64_t>(maps));
  return way;
}

bool is_pack_way(const Way& way) { return way.pack != nullptr; }

}  // namespace

void SessionPlan::check() const {
  bundle->files.check_unchanged(blobs_of(part.model));
  bundle->check_current(part.model);
}

Catalog Catalog::open(const std::filesystem::path& folder) try {
  return Catalog(std::make_shared<OpenBundle>(open_state(folder)));
} catch (const std::system_error& error) {
  throw_as_error(error);
}

std::vector<std::string> Catalog::tasks(const std::string& base) const {
  const std::shared_ptr<BundleState> bundle = opened_->now();
  bundle->manifest.read(base);  // or there is no such model
  std::vector<std::string> names;
  for (const TaskRecord& task : bundle->manifest.tasks()) {
    if (task.base == base && is_over_base(task)) names.push_back(task.name);
  }
  return names;
}

SessionPlan Catalog::plan(const std::string& model, const PlanRequest& request) const try {
  if (release_in(request.onnxruntime) == 0) {
    throw Error(ErrorCode::kInvalid,
                in_quotes(request.onnxruntime) + " is no version of ONNX Runtime");
  }
  SessionPlan plan{opened_, opened_->now(), {}, {}, {}, {}};
  plan.part = plan.bundle->manifest.read(model);
  plan.why = judge_packs(plan, request);
  for (const PackVerdict& verdict : plan.packs) {
    if (verdict.why_not.empty()) plan.ways.push_back({verdict.pack, {}});
  }
  const bool is_packed = std::any_of(plan.ways.begin(), plan.ways.end(), is_pack_way);
  if (is_packed) plan.why.clear();
  try {
    plan.ways.push_back(plain_way(plan, request));
  } catch (const Error&) {
    if (!is_packed) throw;  // a pack that was shipped without the weights of its model
  }
  return plan;
} catch (const std::system_error& error) {
  throw_as_error(error);
}

PlannedTask plan_task(const SessionPlan& plan, const std::string& task,
                      const SessionInputs& inputs) try {
  const std::string& base = plan.part.model.name;
  const std::shared_ptr<BundleState> now = plan.opened->now();
  const bool is_same = now == plan.bundle || now->has_same(*plan.bundle, base);
  const std::shared_ptr<BundleState> bundle = is_same ? now : plan.bundle;
  std::optional<TaskRecord> record = find_task(*bundle, base, task);
  if (!record) {
    std::vector<std::string> names;
    for (const TaskRecord& each : bundle->manifest.tasks()) {
      if (each.base == base && is_over_base(each)) names.push_back(each.name);
    }
    refuse_unknown(task, base, names, !is_same);
  }
  require_over_base(*record);
  PlannedTask planned{bundle, *std::move(record), {}};
  if (!planned.record.adapter) return planned;
  planned.file = bundle->files.records()[*planned.record.adapter].file;
  check_parameters(task, parameters_of(planned.record), inputs);
  const MappedFile file = bundle->files.whole_blob(*planned.record.adapter);
  check_is_listed(planned.record, file.path(), read_adapter(file.bytes()));
  return planned;
} catch (const std::system_error& error) {
  throw_as_error(error);
}

}  // namespace wshare

#include "archive/tensors.h"

#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "format/codec/residual_estimate.h"
#include "util/parallel.h"

namespace wshare {
namespace {

using Kind = TensorPlan::Kind;

// Above this share of a tensor, a residual of integers is not worth its base.
constexpr double kMostOfIntegers = 0.8;

class Planner {
 public:
  Planner(const std::vector<Member>& members, const std::vector<Target>& targets,
          const Manifest& manifest, std::vector<bool> blob_stays, const BytesOf& bytes_of,
          unsigned threads)
      : members_(members),
        targets_(targets),
        manifest_(manifest),
        blob_stays_(std::move(blob_stays)),
        bytes_of_(bytes_of),
        threads_(threads) {}

  std::vector<std::vector<TensorPlan>> run() {
    link_chains();
    list_shared();
    for (size_t t = 0; t < targets_.size(); ++t) derive(t);
    keep_full_blobs();
    for (size_t t = 0; t < targets_.size(); ++t) store(t);
    return std::move(plans_);
  }

 private:
  const Member& member(size_t target) const { return members_[targets_[target].member]; }

  // Finds, for each target, the one that it is computed from, if that is computed itself.
  void link_chains() {
    std::map<size_t, size_t> computed;  // member: its target
    for (size_t t = 0; t < targets_.size(); ++t) {
      std::optional<size_t>& before = before_in_chain_.emplace_back();
      if (!targets_[t].base) continue;
      const auto found = computed.find(*targets_[t].base);
      if (found != computed.end()) before = found->second;
      computed.emplace(targets_[t].member, t);
    }
  }

  // The bytes of models that stay, and of bases.
  void list_shared() {
    std::set<size_t> gone;
    for (const Target& target : targets_) gone.insert(target.member);
    for (size_t t = 0; t < targets_.size(); ++t) {
      if (targets_[t].base && !before_in_chain_[t]) gone.erase(*targets_[t].base);
    }
    for (size_t m = 0; m < members_.size(); ++m) {
      if (gone.contains(m)) continue;
      for (const TensorRecord& tensor : members_[m].tensors) shared_.insert(key_of(tensor.extent));
    }
    for (size_t t = 0; t < targets_.size(); ++t) {
      if (!targets_[t].base || before_in_chain_[t]) continue;
      for (const TensorRecord& tensor : members_[*targets_[t].base].tensors)
        blob_stays_[tensor.extent.blob] = true;
    }
  }

  // Which tensors are shared, derived or as others; the rest stays kInPlace for now.
  void derive(size_t t) {
    const std::vector<TensorRecord>& tensors = member(t).tensors;
    std::vector<TensorPlan>& plans = plans_.emplace_back(tensors.size());
    const std::vector<std::optional<Start>> starts = starts_of(t);
    std::vector<size_t> to_try;
    for (size_t i = 0; i < tensors.size(); ++i) {
      TensorPlan& plan = plans[i];
      if (shared_.contains(key_of(tensors[i].extent))) {
        plan.kind = Kind::kShared;
        continue;
      }
      const Identity identity{key_of(tensors[i].extent), tensors[i].dtype, tensors[i].shape};
      const auto [first, is_new] = first_.try_emplace(identity, t, i);
      if (!is_new) {
        plan.kind = Kind::kAsOther;
        std::tie(plan.target, plan.tensor) = first->second;
      } else if (targets_[t].sources.contains(i)) {
        take_source(t, i, plan);
      } else if (starts[i]) {
        to_try.push_back(i);
      }
    }
    parallel_for(to_try.size(), threads_, [&](size_t n) {
      const size_t i = to_try[n];
      try_to_derive(t, i, *starts[i], plans[i]);
    });
  }

  // What a tensor may be computed from: that of a member, or what becomes of that of a target.
  struct Start {
    size_t member;
    Partner pair;
    bool in_chain = false;
    size_t target = 0, steps = 1;  // of a chain
  };

  // For each tensor of target `t` what it may be computed from.
  std::vector<std::optional<Start>> starts_of(size_t t) const {
    std::vector<std::optional<Start>> starts(member(t).tensors.size());
    size_t root = t;
    while (const std::optional<size_t> before = before_in_chain_[root]) root = *before;
    if (targets_[root].base) {
      const size_t base = *targets_[root].base;
      const std::vector<std::optional<Partner>> pairs = BaseTensors(members_[base]).pair(member(t));
      for (size_t i = 0; i < pairs.size(); ++i) {
        if (pairs[i]) starts[i] = {base, *pairs[i]};
      }
    }
    if (const std::optional<size_t> before = before_in_chain_[t]) {
      const std::vector<std::optional<Partner>> pairs =
          BaseTensors(member(*before)).pair(member(t));
      for (size_t i = 0; i < pairs.size(); ++i) {
        if (!pairs[i]) continue;
        if (const std::optional<Start> start = start_in_chain(t, i, *before, *pairs[i]))
          starts[i] = start;
      }
    }
    return starts;
  }

  std::optional<Start> start_in_chain(size_t t, size_t i, size_t before,
                                      const Partner& pair) const {
    const TensorRecord& tensor = member(t).tensors[i];
    const TensorRecord& base = member(before).tensors[pair.base];
    if (pair.transposed || base.dtype != tensor.dtype || base.shape != tensor.shape)
      return std::nullopt;
    const TensorPlan* plan = &plans_[before][pair.base];
    if (plan->kind == Kind::kShared) return Start{targets_[before].member, pair};
    if (plan->kind == Kind::kAsOther) plan = &plans_[plan->target][plan->tensor];
    const size_t steps = plan->kind == Kind::kDerived ? plan->steps + 1 : 1;
    if (plan->source != nullptr || steps > kMostSteps) return std::nullopt;
    return Start{targets_[before].member, pair, true, before, steps};
  }

  void take_source(size_t t, size_t i, TensorPlan& plan) const {
    const WeightSource& source = targets_[t].sources.at(i);
    plan.estimate = estimate_residual(source);
    if (plan.estimate > kMostOfIntegers * static_cast<double>(member(t).tensors[i].extent.size))
      return;
    plan.kind = Kind::kDerived;
    plan.base = *targets_[t].base;
    plan.pair = source.pair;
    plan.source = &source;
  }

  void try_to_derive(size_t t, size_t i, const Start& start, TensorPlan& plan) const {
    const TensorRecord& tensor = member(t).tensors[i];
    OriginalTensor derived = derived_from(tensor, members_[start.member].tensors[start.pair.base],
                                          start.pair.transposed);
    const std::span<const std::byte> actual = bytes_of_(tensor.extent);
    const FittedMultiplier fitted = fit_multiplier(prediction_of(derived, bytes_of_), actual);
    plan.multiplier = fitted.multiplier;
    plan.estimate = static_cast<double>(fitted.residual);
    const double most = no_base_share(tensor.dtype) * static_cast<double>(tensor.extent.size);
    if (plan.estimate > most) return;
    plan.kind = Kind::kDerived;
    plan.base = start.member;
    plan.pair = start.pair;
    plan.in_chain = start.in_chain;
    plan.target = start.target;
    plan.tensor = start.pair.base;
    plan.steps = start.steps;
  }

  // Blobs of which most would only be copied.
  void keep_full_blobs() {
    std::vector<uint64_t> stored(manifest_.blobs.size());
    std::set<ExtentKey> seen;
    for (size_t t = 0; t < targets_.size(); ++t) {
      for (size_t i = 0; i < plans_[t].size(); ++i) {
        const Extent& extent = member(t).tensors[i].extent;
        if (plans_[t][i].kind == Kind::kInPlace && seen.insert(key_of(extent)).second)
          stored[extent.blob] += extent.size;
      }
    }
    for (size_t b = 0; b < stored.size(); ++b) {
      if (stored[b] > manifest_.blobs[b].size / 4 * 3) blob_stays_[b] = true;
    }
  }

  void store(size_t t) {
    for (size_t i = 0; i < plans_[t].size(); ++i) {
      TensorPlan& plan = plans_[t][i];
      if (plan.kind == Kind::kInPlace && !blob_stays_[member(t).tensors[i].extent.blob])
        plan.kind = Kind::kCopied;
      if (plan.kind != Kind::kAsOther) continue;
      // The same bytes as another type, or one that stays in place, need no other.
      if (plans_[plan.target][plan.tensor].kind == Kind::kInPlace) plan.kind = Kind::kShared;
    }
  }

  using Identity = std::tuple<ExtentKey, int32_t, std::vector<int64_t>>;

  const std::vector<Member>& members_;
  const std::vector<Target>& targets_;
  const Manifest& manifest_;
  std::vector<bool> blob_stays_;
  const BytesOf& bytes_of_;
  unsigned threads_;
  std::vector<std::optional<size_t>> before_in_chain_;  // [target]
  std::set<ExtentKey> shared_;
  std::map<Identity, std::pair<size_t, size_t>> first_;  // target and tensor
  std::vector<std::vector<TensorPlan>> plans_;
};

}  // namespace

std::vector<std::vector<TensorPlan>> plan_tensors(const std::vector<Member>& members,
                                                  const std::vector<Target>& targets,
                                                  const Manifest& manifest,
                                                  std::vector<bool> blob_stays,
                                                  const BytesOf& bytes_of, unsigned threads) {
  return Planner(members, targets, manifest, std::move(blob_stays), bytes_of, threads).run();
}

}  // namespace wshare

#include "compare/bases/choose.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "compare/bases/chains.h"
#include "compare/bases/costs.h"
#include "format/codec/residual_estimate.h"
#include "format/matrix.h"
#include "util/parallel.h"
#include "util/suggest.h"
#include "util/text.h"
#include "wshare/error.h"

// Facility location: some models are stored whole, each other one is computed from the one of them
// that leaves least. Exact answers are out of reach; this one opens, again and again, the base that
// gains most.

namespace wshare {
namespace {

constexpr size_t kMostCandidates = 32, kMostFloatCandidates = 8;
constexpr size_t kLargeFamily = 256;  // of which only some are looked at, so that work stays linear
constexpr double kEnoughIntegers = 0.05;
// What a base has to save, as a share of the bytes of the one that is stored whole for it, or of
// the one that is computed: a model that gives others crumbs would not be archived itself.
constexpr double kWorthwhile = 0.02;

bool has_floats(const Member& member) {
  return std::any_of(member.tensors.begin(), member.tensors.end(), [](const TensorRecord& tensor) {
    return float_format(tensor.dtype).has_value();
  });
}

// At most kMostCandidates of `numbers`, evenly spread.
std::vector<size_t> some_of(const std::vector<size_t>& numbers) {
  if (numbers.size() <= kMostCandidates) return numbers;
  const size_t count = numbers.size() > kLargeFamily ? kMostCandidates / 4 : kMostCandidates;
  std::vector<size_t> some;
  for (size_t i = 0; i < count; ++i) some.push_back(numbers[i * numbers.size() / count]);
  return some;
}

class Chooser {
 public:
  Chooser(const std::vector<Member>& members, const BytesOf& bytes_of, const ChooseOptions& options)
      : members_(members), options_(options), costs_of_(members, bytes_of), roles_(members.size()) {
    for (size_t m = 0; m < members_.size(); ++m) {
      for (const double bytes : costs_of_.weights(m)) roles_[m].alone += bytes;
      roles_[m].archived = roles_[m].alone;
    }
    for (const Member& member : members_) breadths_.push_back(breadth_of(member));
  }

  std::vector<Role> run() {
    list_candidates();
    estimate(costs_, [&](size_t t, size_t c, const BaseTensors& base) {
      return costs_of_.left(t, c, base);
    });
    for (size_t c = 0; c < members_.size(); ++c) {
      if (!members_[c].is_target) open(c);
    }
    while (const std::optional<size_t> best = find_best(Of::kFloats)) open(*best);
    if (options_.scan) find_quantised();
    while (const std::optional<size_t> best = find_best(Of::kAll)) open(*best);
    for (Role& role : roles_) role.steps = role.base ? 1 : 0;
    if (options_.chain) make_chains();
    for (size_t t = 0; t < members_.size(); ++t) {
      if (roles_[t].base) describe(t, *roles_[t].base);
    }
    find_own();
    return std::move(roles_);
  }

 private:
  // Which models may be bases. Those with integers come last: they may be quantised from others.
  enum class Of { kFloats, kAll };

  // How much a model has of what others can be computed from, without what is computed itself:
  // its bytes of floats, less those of integers. So a model comes before a narrower copy of it, and
  // before a quantised one that kept weights of it.
  static double breadth_of(const Member& member) {
    double bytes = 0;
    for (const TensorRecord& tensor : member.tensors) {
      const auto size = static_cast<double>(tensor.extent.size);
      bytes += float_format(tensor.dtype) ? size : -size;
    }
    return bytes;
  }

  // What is shared with a member that stays would not go with an archive.
  void find_own() {
    std::set<ExtentKey> stored;
    for (size_t m = 0; m < members_.size(); ++m) {
      if (roles_[m].base) continue;
      for (const TensorRecord& tensor : members_[m].tensors) stored.insert(key_of(tensor.extent));
    }
    for (size_t t = 0; t < members_.size(); ++t) {
      if (!roles_[t].base) continue;
      double shared = 0;
      for (size_t i = 0; i < costs_of_.weights(t).size(); ++i) {
        const bool is_shared = stored.contains(key_of(members_[t].tensors[i].extent));
        (is_shared ? shared : roles_[t].own) += costs_of_.weights(t)[i];
      }
      roles_[t].archived = std::max(0.0, roles_[t].archived - shared);
    }
  }

  void list_candidates() {
    if (!options_.base.empty()) return take_one_candidate();
    std::map<std::vector<uint64_t>, std::vector<size_t>> families;
    for (size_t m = 0; m < members_.size(); ++m) families[family_of(members_[m])].push_back(m);
    for (const auto& [family, numbers] : families) {
      for (const size_t c : some_of(numbers)) {
        for (const size_t t : numbers) add_candidate(c, t);
      }
    }
  }

  void take_one_candidate() {
    const auto named = [&](const Member& member) { return member.name == options_.base; };
    const auto only = std::find_if(members_.begin(), members_.end(), named);
    if (only == members_.end()) fail_no_base();
    for (size_t t = 0; t < members_.size(); ++t)
      add_candidate(static_cast<size_t>(only - members_.begin()), t);
  }

  void add_candidate(size_t c, size_t t) {
    if (members_[t].is_target && c != t) costs_.emplace(std::pair(c, t), 0);
  }

  [[noreturn]] void fail_no_base() const {
    std::vector<std::string> names;
    for (const Member& member : members_) names.push_back(member.name);
    throw Error(ErrorCode::kInvalid, in_quotes(options_.base) + ": no such model in the bundle",
                hint_of_names(options_.base, names));
  }

  // What is left of each member, by the number of the one that it is computed from and its own.
  using PairCosts = std::map<std::pair<size_t, size_t>, double>;
  // The same of member `t`, computed from member `c`, which is `base`.
  using LeftOf = std::function<double(size_t t, size_t c, const BaseTensors& base)>;

  void estimate(PairCosts& costs, const LeftOf& left) const {
    std::map<size_t, std::unique_ptr<BaseTensors>> bases;
    std::vector<PairCosts::iterator> jobs;
    for (auto at = costs.begin(); at != costs.end(); ++at) {
      auto& base = bases[at->first.first];
      if (base == nullptr) base = std::make_unique<BaseTensors>(members_[at->first.first]);
      jobs.push_back(at);
    }
    std::atomic<uint64_t> done{0};
    parallel_for(jobs.size(), options_.threads, [&](size_t j) {
      const auto [c, t] = jobs[j]->first;
      jobs[j]->second = left(t, c, *bases.at(c));
      if (options_.progress) options_.progress("choosing bases", ++done, jobs.size());
    });
  }

  // Says in words what member `t` is of its base.
  void describe(size_t t, size_t c) {
    Role& role = roles_[t];
    const BaseTensors base(members_[c]);
    const std::vector<std::optional<Partner>> pairs = base.pair(members_[t]);
    std::array<double, 3> bytes{};  // by kind
    for (size_t i = 0; i < pairs.size(); ++i) {
      const TensorRecord& tensor = members_[t].tensors[i];
      if (costs_of_.weights(t)[i] == 0 || base.has(tensor.extent)) continue;
      ++role.weights_total;
      const auto source = role.sources.find(i);
      if (source == role.sources.end() &&
          (!pairs[i] || costs_of_.share_of(t, i, c, *pairs[i]) == 1))
        continue;
      ++role.weights;
      const RelationKind kind =
          source != role.sources.end() && source->second.how ? RelationKind::kQuantised
          : pairs[i] && members_[c].tensors[pairs[i]->base].dtype == tensor.dtype
              ? RelationKind::kMoved
              : RelationKind::kCast;
      bytes[static_cast<size_t>(kind)] += costs_of_.weights(t)[i];
    }
    role.kind =
        static_cast<RelationKind>(std::max_element(bytes.begin(), bytes.end()) - bytes.begin());
  }

  // Takes `c` as a base, for all that it suits best.
  void open(size_t c) {
    is_base_.insert(c);
    roles_[c].base.reset();
    roles_[c].sources.clear();
    roles_[c].archived = roles_[c].alone;
    for (auto at = costs_.lower_bound({c, 0}); at != costs_.end() && at->first.first == c; ++at) {
      Role& role = roles_[at->first.second];
      if (is_base_.contains(at->first.second) || at->second >= role.archived) continue;
      role.archived = at->second;
      role.base = c;
      role.sources.clear();
    }
  }

  // The base that is none yet and gains most. Samples err a little: of those that gain about as
  // much the first, but rather one of more breadth.
  std::optional<size_t> find_best(Of which) const {
    constexpr double kAsMuch = 0.97, kBroader = 1.05;
    std::vector<std::pair<double, size_t>> gains;
    double most = 0;
    for (auto at = costs_.begin(); at != costs_.end();) {
      const size_t c = at->first.first;
      double gain = roles_[c].archived - roles_[c].alone;  // it will be stored whole
      for (; at != costs_.end() && at->first.first == c; ++at) {
        const size_t t = at->first.second;
        if (!is_base_.contains(t)) gain += std::max(0.0, roles_[t].archived - at->second);
      }
      if (is_base_.contains(c) || gain <= kWorthwhile * roles_[c].alone) continue;
      if (which == Of::kFloats && has_integers(c)) continue;
      most = std::max(most, gain);
      gains.emplace_back(gain, c);
    }
    std::optional<size_t> best;
    for (const auto& [gain, c] : gains) {
      if (gain >= kAsMuch * most && (!best || breadths_[c] > kBroader * breadths_[*best])) best = c;
    }
    return best;
  }

  // Bytes of `m` that only targets have, in tensors of other than float types.
  double integer_bytes(size_t m) const {
    double bytes = 0;
    for (size_t i = 0; i < costs_of_.weights(m).size(); ++i) {
      if (!float_format(members_[m].tensors[i].dtype)) bytes += costs_of_.weights(m)[i];
    }
    return bytes;
  }

  bool is_used(size_t m) const {
    return std::any_of(roles_.begin(), roles_.end(),
                       [&](const Role& role) { return role.base == m; });
  }

  // Too many of them for a model of floats with some numbers of positions.
  bool has_integers(size_t m) const { return integer_bytes(m) > kEnoughIntegers * roles_[m].alone; }

  // Models of integers may be models of floats, quantised; else of one that has both and is none of
  // these itself.
  void find_quantised() {
    for (const Of which : {Of::kFloats, Of::kAll}) {
      for (size_t t = 0; t < members_.size(); ++t) {
        const bool is_done = !roles_[t].sources.empty() || is_used(t);
        if (!members_[t].is_target || !has_integers(t) || is_done) continue;
        for (const size_t c : float_candidates(t, which)) try_quantised(t, c);
      }
    }
    for (const Role& role : roles_) {
      if (role.base) is_base_.insert(*role.base);
    }
  }

  // What `t` may be quantised from, the broadest first: weights of floats, stored as they are.
  std::vector<size_t> float_candidates(size_t t, Of which) const {
    std::vector<size_t> candidates;
    for (size_t c = 0; c < members_.size(); ++c) {
      if (c == t || !members_[c].model || roles_[c].base || !has_floats(members_[c])) continue;
      if (which == Of::kFloats && has_integers(c)) continue;
      if (options_.base.empty() || members_[c].name == options_.base) candidates.push_back(c);
    }
    std::stable_sort(candidates.begin(), candidates.end(),
                     [&](size_t a, size_t b) { return breadths_[a] > breadths_[b]; });
    if (candidates.size() > kMostFloatCandidates) candidates.resize(kMostFloatCandidates);
    return candidates;
  }

  void try_quantised(size_t t, size_t c) {
    std::map<size_t, WeightSource> sources =
        find_sources(members_[t], members_[c], options_.scan, options_.threads);
    double left = costs_of_.left(t, c, BaseTensors(members_[c]));
    for (const auto& [i, source] : sources) {
      const auto size = static_cast<double>(members_[t].tensors[i].extent.size);
      left -= costs_of_.weights(t)[i] * (1 - std::min(1.0, estimate_residual(source) / size));
    }
    if (left > roles_[t].archived - kWorthwhile * roles_[t].alone) return;
    roles_[t].archived = std::max(left, 0.0);
    roles_[t].base = c;
    roles_[t].sources = std::move(sources);
  }

  // Lets models of one base be computed from each other.
  void make_chains() {
    std::map<size_t, std::vector<size_t>> of_base;
    for (size_t t = 0; t < members_.size(); ++t) {
      if (roles_[t].base && roles_[t].sources.empty()) of_base[*roles_[t].base].push_back(t);
    }
    for (const auto& [base, numbers] : of_base) make_chain(base, numbers);
  }

  void make_chain(size_t base, const std::vector<size_t>& numbers) {
    const PairCosts costs = costs_in_chain(base, numbers);
    std::vector<double> from_base;
    for (const size_t t : numbers) from_base.push_back(roles_[t].archived);
    const auto left = [&](size_t c, size_t t) -> std::optional<double> {
      const auto found = costs.find({numbers[c], numbers[t]});
      if (found == costs.end()) return std::nullopt;
      return found->second;
    };
    const std::vector<Link> links = grow_chains(from_base, left, kMostSteps / 2);
    for (size_t i = 0; i < links.size(); ++i) {
      if (!links[i].parent) continue;
      Role& role = roles_[numbers[i]];
      role.base = numbers[*links[i].parent];
      role.archived = links[i].left;
      role.steps = links[i].steps;
    }
  }

  // What is left of each of some models of `base`, computed from another: from some of them, and
  // from its neighbours, since checkpoints stand in their order.
  PairCosts costs_in_chain(size_t base, const std::vector<size_t>& numbers) const {
    PairCosts costs;
    const auto add = [&](size_t c, size_t t) {
      if (c != t) costs.emplace(std::pair(c, t), 0);
    };
    for (const size_t c : some_of(numbers)) {
      for (const size_t t : numbers) add(c, t);
    }
    for (size_t i = 1; i < numbers.size(); ++i) {
      add(numbers[i - 1], numbers[i]);
      add(numbers[i], numbers[i - 1]);
    }
    const BaseTensors root(members_[base]);
    estimate(costs, [&](size_t t, size_t c, const BaseTensors& before) {
      return costs_of_.left_in_chain(t, c, before, base, root);
    });
    return costs;
  }

  const std::vector<Member>& members_;
  const ChooseOptions& options_;
  const Costs costs_of_;
  std::vector<Role> roles_;
  std::vector<double> breadths_;  // [member]
  PairCosts costs_;               // of candidate and target
  std::set<size_t> is_base_;
};

}  // namespace

std::vector<Role> choose_bases(const std::vector<Member>& members, const BytesOf& bytes_of,
                               const ChooseOptions& options) {
  return Chooser(members, bytes_of, options).run();
}

}  // namespace wshare

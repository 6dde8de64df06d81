#include "compare/readers.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace wshare {
namespace {

using Uses = std::vector<Use>;
using Groups = std::map<std::pair<std::string_view, uint32_t>, Uses>;  // by operator and operand

Groups unmatched(const Pairs& pairs, Side side, const Uses& uses) {
  Groups groups;
  for (const Use& use : uses) {
    if (pairs.is_matched(side, use.node)) continue;
    const std::string& op = paired_op(pairs.node(side, use.node));
    groups[{op, is_commutative(op) ? 0 : use.slot}].push_back(use);
  }
  return groups;
}

// Too small or too regular to tell one layer from another.
bool says_little(std::span<const std::byte> bytes) {
  constexpr size_t kFewest = 64;
  constexpr size_t kPeriod = 8;
  return bytes.size() < kFewest ||
         std::memcmp(bytes.data(), bytes.data() + kPeriod, bytes.size() - kPeriod) == 0;
}

class Readers {
 public:
  explicit Readers(Pairs& pairs) : pairs_(pairs) {}

  bool match(const Uses& of_a, const Uses& of_b) {
    if (!pairs_.spend(of_a.size() + of_b.size())) return false;
    const Groups a = unmatched(pairs_, kA, of_a);
    const Groups b = unmatched(pairs_, kB, of_b);
    bool done = true;
    for (const auto& [key, in_a] : a) {
      const auto in_b = b.find(key);
      if (in_b == b.end()) continue;
      if (in_a.size() == 1 && in_b->second.size() == 1) {
        done &= pairs_.match_nodes(in_a[0].node, in_b->second[0].node);
        continue;
      }
      for (size_t step = kSignatureSteps + 1; step-- > 0;) match_alike(in_a, in_b->second, step);
      match_by_names(in_a, in_b->second);
      done &= !(has_unmatched(kA, in_a) && has_unmatched(kB, in_b->second));
    }
    return done;
  }

  bool has_unmatched(Side side, const Uses& uses) const {
    return std::any_of(uses.begin(), uses.end(),
                       [&](const Use& use) { return !pairs_.is_matched(side, use.node); });
  }

  // The unmatched nodes of `uses` by `key`; those that share a key are left out.
  template <typename Key>
  auto unique_by(Side side, const Uses& uses, const Key& key) const {
    std::map<decltype(key(side, 0)), int32_t> found;
    for (const Use& use : uses) {
      if (pairs_.is_matched(side, use.node)) continue;
      const auto [at, is_new] = found.emplace(key(side, use.node), use.node);
      if (!is_new && at->second != use.node) at->second = kAbsent;
    }
    std::erase_if(found, [](const auto& entry) { return entry.second == kAbsent; });
    return found;
  }

  void match_alike(const Uses& of_a, const Uses& of_b, size_t step) {
    const auto key = [&](Side side, int32_t n) {
      return pairs_.signatures(side).below[step][static_cast<size_t>(n)];
    };
    const auto in_b = unique_by(kB, of_b, key);
    for (const auto& [signature, a] : unique_by(kA, of_a, key)) {
      const auto b = in_b.find(signature);
      if (b != in_b.end()) pairs_.match_nodes(a, b->second);
    }
  }

  void match_by_names(const Uses& of_a, const Uses& of_b) {
    const auto key = [&](Side side, int32_t n) {
      return std::string_view(pairs_.node(side, n).name);
    };
    const auto in_a = unique_by(kA, of_a, key);
    const auto in_b = unique_by(kB, of_b, key);
    if (in_a.size() != in_b.size() || in_a.count("") != 0) return;
    for (const auto& [name, a] : in_a) {
      if (in_b.count(name) == 0) return;
    }
    for (const auto& [name, a] : in_a) pairs_.match_nodes(a, in_b.at(name));
  }

  Pairs& pairs_;
};

}  // namespace

bool match_readers(Pairs& pairs, const Uses& of_a, const Uses& of_b) {
  return Readers(pairs).match(of_a, of_b);
}

OpenReaders open_readers(const Pairs& pairs, const Uses& of_a, const Uses& of_b) {
  const Groups a = unmatched(pairs, kA, of_a);
  const Groups b = unmatched(pairs, kB, of_b);
  OpenReaders open;
  for (const auto& [key, uses] : a) {
    const auto other = b.find(key);
    if (other == b.end()) continue;
    for (const Use& use : uses) open.a.push_back(use.node);
    for (const Use& use : other->second) open.b.push_back(use.node);
  }
  return open;
}

std::map<int64_t, std::vector<Use>> uses_by_content(const Pairs& pairs, Side side) {
  std::map<int64_t, std::vector<Use>> result;
  for (size_t t = 0; t < pairs.graph(side).views.size(); ++t) {
    const auto number = static_cast<int32_t>(t);
    if (pairs.content(side, number) < 0 || says_little(pairs.tensor(side, number).bytes)) continue;
    std::vector<Use>& uses = result[pairs.content(side, number)];
    for (const int32_t view : pairs.graph(side).views[t]) {
      const std::vector<Use>& more = pairs.value(side, view).uses;
      uses.insert(uses.end(), more.begin(), more.end());
    }
  }
  return result;
}

}  // namespace wshare

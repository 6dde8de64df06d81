#include "bundle/distinct.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <unordered_map>

#include "util/parallel.h"

// Problem: of N tensors in many files, find the distinct byte strings and the hash of each, at the
// speed of memory. Hashing everything and then comparing equal hashes would read every byte twice.
//
// Idea: tensors that begin with the same kilobyte are candidates (a group). A group is cut into
// leaves of 4 MiB at equal offsets, and each leaf of a group is one job: walk its members side by
// side in small steps, compare each with the first one, whose step is hot in the cache, and hash
// only that one. Members that differ go on among themselves. A job's answer is a class per member;
// members are equal when their classes agree in all leaves, which proves equality of bytes. The
// hash of a content comes from the digests of its leaves, so jobs inside one huge tensor run on all
// cores.
//
// A shorter member that runs along a longer one is its prefix: full leaves agree by class, and the
// rest of the shorter one is compared directly.
//
// Where that has split off a few classes and members are left, these are sorted instead: then equal
// ones stand side by side. Sorted contents also show who is the front of whom: what begins with P
// stands right behind P.
//
// Cost: every byte is read once, the first member of each class is hashed; a group of m members
// that nearly all differ costs m log m comparisons, each ending at its first different byte.

namespace wshare {
namespace {

constexpr size_t kFrontBytes = 1024;
constexpr size_t kStepBytes = size_t{128} << 10;
constexpr size_t kFewClasses = 8;

// What one job found: the class of each member that reaches this leaf, and the digest of each
// class.
struct Leaf {
  std::vector<uint32_t>
      class_of;  // parallel to Group::members, which are sorted by size, longest first
  std::vector<ContentHash> digests;
  uint64_t comparisons = 0;
};

struct Group {
  std::vector<uint32_t> members;  // tensor numbers
  std::vector<Leaf> leaves;
};

Bytes leaf_of(Bytes tensor, size_t leaf) {
  const size_t begin = leaf * kHashLeafBytes;
  return tensor.subspan(begin, std::min<size_t>(kHashLeafBytes, tensor.size() - begin));
}

size_t leaf_count(Bytes tensor) {
  return tensor.empty() ? 1 : (tensor.size() - 1) / kHashLeafBytes + 1;
}

// Splits off from `pending` (member numbers) the class of its first one.
void split_class(const std::vector<Bytes>& leaf, std::vector<uint32_t>& pending,
                 std::vector<uint32_t>& same, Leaf& answer) {
  const Bytes first = leaf[pending[0]];
  std::vector<uint32_t> others;
  same.clear();
  for (const uint32_t member : pending) {
    (leaf[member].size() == first.size() ? same : others).push_back(member);
  }
  ContentHasher hasher;
  for (size_t at = 0; at < first.size(); at += kStepBytes) {
    const Bytes step = first.subspan(at, std::min(kStepBytes, first.size() - at));
    hasher.update(step);
    answer.comparisons += same.size();
    const auto differs = [&](uint32_t member) {
      return leaf[member].data() != first.data() &&
             std::memcmp(leaf[member].data() + at, step.data(), step.size()) != 0;
    };
    const auto split = std::stable_partition(same.begin(), same.end(), std::not_fn(differs));
    others.insert(others.end(), split, same.end());
    same.erase(split, same.end());
  }
  std::sort(others.begin(), others.end());
  pending = std::move(others);
  for (const uint32_t member : same)
    answer.class_of[member] = static_cast<uint32_t>(answer.digests.size());
  answer.digests.push_back(hasher.digest());
}

// Negative if `a` comes before `b`, 0 if they are equal; a front comes first.
int compare(Bytes a, Bytes b) {
  const size_t both = std::min(a.size(), b.size());
  const int order = a.data() == b.data() || both == 0 ? 0 : std::memcmp(a.data(), b.data(), both);
  if (order != 0 || a.size() == b.size()) return order;
  return a.size() < b.size() ? -1 : 1;
}

// Finds the classes of `pending` by sorting.
void sort_classes(const std::vector<Bytes>& leaf, std::vector<uint32_t>& pending, Leaf& answer) {
  const auto order = [&](uint32_t a, uint32_t b) {
    ++answer.comparisons;
    return compare(leaf[a], leaf[b]);
  };
  std::sort(pending.begin(), pending.end(),
            [&](uint32_t a, uint32_t b) { return order(a, b) < 0; });
  for (size_t i = 0; i < pending.size(); ++i) {
    if (i == 0 || order(pending[i - 1], pending[i]) != 0) {
      ContentHasher hasher;
      hasher.update(leaf[pending[i]]);
      answer.digests.push_back(hasher.digest());
    }
    answer.class_of[pending[i]] = static_cast<uint32_t>(answer.digests.size() - 1);
  }
}

void solve_leaf(std::span<const Bytes> tensors, Group& group, size_t index) {
  std::vector<Bytes> leaf;
  std::vector<uint32_t> pending;
  for (const uint32_t tensor : group.members) {
    if (index >= leaf_count(tensors[tensor])) break;  // sorted: the rest is shorter still
    pending.push_back(static_cast<uint32_t>(leaf.size()));
    leaf.push_back(leaf_of(tensors[tensor], index));
  }
  Leaf& answer = group.leaves[index];
  answer.class_of.resize(leaf.size());
  std::vector<uint32_t> same;
  while (!pending.empty() && answer.digests.size() < kFewClasses)
    split_class(leaf, pending, same, answer);
  sort_classes(leaf, pending, answer);
}

std::vector<Group> make_groups(std::span<const Bytes> tensors,
                               const std::function<uint64_t(Bytes)>& fingerprint) {
  std::unordered_map<uint64_t, size_t> group_of;
  std::vector<Group> groups;
  for (uint32_t i = 0; i < tensors.size(); ++i) {
    const Bytes front = tensors[i].first(std::min(kFrontBytes, tensors[i].size()));
    const uint64_t key = fingerprint ? fingerprint(front) : front_fingerprint(front);
    const auto [at, is_new] = group_of.try_emplace(key, groups.size());
    if (is_new) groups.emplace_back();
    groups[at->second].members.push_back(i);
  }
  for (Group& group : groups) {
    std::stable_sort(group.members.begin(), group.members.end(),
                     [&](uint32_t a, uint32_t b) { return tensors[a].size() > tensors[b].size(); });
    group.leaves.resize(leaf_count(tensors[group.members[0]]));
  }
  return groups;
}

// The classes of member `m` in all its leaves: equal for equal contents of one size.
std::vector<uint32_t> classes_of(std::span<const Bytes> tensors, const Group& group, size_t m) {
  std::vector<uint32_t> classes;
  for (size_t leaf = 0; leaf < leaf_count(tensors[group.members[m]]); ++leaf) {
    classes.push_back(group.leaves[leaf].class_of[m]);
  }
  return classes;
}

ContentHash hash_of(const Group& group, const std::vector<uint32_t>& classes, uint64_t size) {
  std::vector<ContentHash> digests;
  for (size_t leaf = 0; leaf < classes.size(); ++leaf)
    digests.push_back(group.leaves[leaf].digests[classes[leaf]]);
  return combine_leaves(digests, size);
}

// A content of a group.
struct Distinct {
  uint32_t tensor;  // the first that has it
  std::vector<uint32_t> classes;
  std::optional<size_t> host = std::nullopt;  // among the contents of the group
};

// The contents of `group`, longest first. Says in `first_of` which tensor has the content of each
// member first.
std::vector<Distinct> contents_of(std::span<const Bytes> tensors, const Group& group,
                                  std::vector<uint32_t>& first_of) {
  std::map<std::pair<size_t, std::vector<uint32_t>>, uint32_t> known;
  std::vector<Distinct> distinct;
  for (size_t m = 0; m < group.members.size(); ++m) {
    const uint32_t tensor = group.members[m];
    std::vector<uint32_t> classes = classes_of(tensors, group, m);
    const auto [at, is_new] = known.try_emplace({tensors[tensor].size(), classes}, tensor);
    if (is_new) distinct.push_back({tensor, std::move(classes)});
    first_of[tensor] = at->second;
  }
  return distinct;
}

// Compares the bytes of two contents of a group; leaves of one class are equal.
int compare(std::span<const Bytes> tensors, const Distinct& x, const Distinct& y) {
  const size_t leaves = std::min(x.classes.size(), y.classes.size());
  size_t leaf = 0;
  while (leaf < leaves && x.classes[leaf] == y.classes[leaf]) ++leaf;
  const Bytes a = tensors[x.tensor], b = tensors[y.tensor];
  if (leaf == leaves) return a.size() < b.size() ? -1 : a.size() > b.size();
  return compare(leaf_of(a, leaf), leaf_of(b, leaf));
}

bool is_front(std::span<const Bytes> tensors, const Distinct& shorter, const Distinct& longer) {
  const Bytes front = tensors[shorter.tensor];
  const Bytes whole = tensors[longer.tensor];
  if (front.size() >= whole.size()) return false;
  const size_t full = front.size() / kHashLeafBytes;
  if (!std::equal(shorter.classes.begin(), shorter.classes.begin() + static_cast<ptrdiff_t>(full),
                  longer.classes.begin())) {
    return false;
  }
  const size_t at = full * kHashLeafBytes;
  return std::memcmp(front.data() + at, whole.data() + at, front.size() - at) == 0;
}

// Gives each of `distinct` the longest one that begins with its bytes. Returns the comparisons.
uint64_t find_hosts(std::span<const Bytes> tensors, std::vector<Distinct>& distinct) {
  std::vector<size_t> sorted;
  for (size_t d = 0; d < distinct.size(); ++d) {
    if (tensors[distinct[d].tensor].size() >= kFrontBytes) sorted.push_back(d);
  }
  uint64_t comparisons = 0;
  std::sort(sorted.begin(), sorted.end(), [&](size_t x, size_t y) {
    ++comparisons;
    return compare(tensors, distinct[x], distinct[y]) < 0;
  });
  std::vector<size_t> open;  // each is a front of the next one
  const auto close = [&] {
    const size_t last = open.back();
    open.pop_back();
    if (open.empty()) return;
    const size_t longest = distinct[last].host.value_or(last);  // its host begins like it
    std::optional<size_t>& host = distinct[open.back()].host;
    host = std::min(host.value_or(longest), longest);
  };
  for (const size_t d : sorted) {
    while (!open.empty() && (++comparisons, !is_front(tensors, distinct[open.back()], distinct[d])))
      close();
    open.push_back(d);
  }
  while (!open.empty()) close();
  return comparisons;
}

}  // namespace

uint64_t front_fingerprint(Bytes tensor) {
  return XXH3_64bits(tensor.data(), std::min(kFrontBytes, tensor.size()));
}

Contents find_distinct(std::span<const Bytes> tensors, unsigned threads,
                       const ReadProgress& progress,
                       const std::function<uint64_t(Bytes)>& fingerprint) {
  std::vector<Group> groups = make_groups(tensors, fingerprint);
  std::vector<std::pair<uint32_t, uint32_t>> jobs;
  for (uint32_t g = 0; g < groups.size(); ++g) {
    for (uint32_t leaf = 0; leaf < groups[g].leaves.size(); ++leaf) jobs.emplace_back(g, leaf);
  }
  parallel_for(jobs.size(), threads, [&](size_t i) {
    Group& group = groups[jobs[i].first];
    solve_leaf(tensors, group, jobs[i].second);
    uint64_t bytes = 0;
    for (size_t m = 0; m < group.leaves[jobs[i].second].class_of.size(); ++m) {
      bytes += leaf_of(tensors[group.members[m]], jobs[i].second).size();
    }
    if (progress) progress(bytes);
  });

  Contents result;
  std::vector<uint32_t> first_of(tensors.size());  // the first tensor with the same content
  std::map<uint32_t, std::pair<ContentHash, std::optional<uint32_t>>> found;  // by first tensor
  for (const Group& group : groups) {
    for (const Leaf& leaf : group.leaves) result.comparisons += leaf.comparisons;
    std::vector<Distinct> distinct = contents_of(tensors, group, first_of);
    result.comparisons += find_hosts(tensors, distinct);
    for (const Distinct& each : distinct) {
      std::optional<uint32_t> host;
      if (each.host) host = distinct[*each.host].tensor;
      found[each.tensor] = {hash_of(group, each.classes, tensors[each.tensor].size()), host};
    }
  }

  std::map<uint32_t, uint32_t>
      number;  // first tensor -> content; `found` is in the order of tensors
  for (const auto& [tensor, what] : found) {
    number[tensor] = static_cast<uint32_t>(result.contents.size());
    result.contents.push_back({tensors[tensor], what.first, std::nullopt});
  }
  for (const auto& [tensor, what] : found) {
    if (what.second) result.contents[number[tensor]].host = number[*what.second];
  }
  for (uint32_t i = 0; i < tensors.size(); ++i) result.of_tensor.push_back(number[first_of[i]]);
  return result;
}

}  // namespace wshare

#include "run/memory_parts.h"

#include <algorithm>
#include <utility>

#include "wshare/error.h"

// What the arena of a session has given out when it was made are weights of its own; what it keeps
// beside these once it has run are activations. Other weights lie on the heap beside arenas, among
// graphs: what optimisers make, and what Conv kernels pack. So the graph is measured alone, in a
// session of the same model that optimises and packs nothing. What sessions share beside pages of
// files (the packed forms of weights, in one container) is seen when they are gone: it stays.
// (Growth of the process between the moments would not do: it counts what malloc keeps, and does
// not tell a graph from weights.)

namespace wshare {
namespace {

uint64_t less(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

// Returns what runs have made the arena keep. It grows by powers of two, of which runs may not have
// touched all; what they had at most is known where it is more than what kernels had that packed.
uint64_t kept_of_runs(const DeviceUse& made, const DeviceUse& now) {
  const uint64_t kept = less(now.held, made.in_use);
  return now.most > made.most ? std::min(kept, now.most - made.in_use) : kept;
}

}  // namespace

MemoryWatch::MemoryWatch(std::filesystem::path folder, bool shared_arena)
    : folder_(std::move(folder)), shared_arena_(shared_arena) {
  trim_heap();
  before_ = measure_memory();
}

void MemoryWatch::made(const std::vector<OfModel>& sessions) {
  uint64_t held = 0;
  for (const OfModel& each : sessions) {
    if (arenas_.contains(each.session)) continue;  // of another task
    ++models_[each.model].count;
    const bool is_new = !shared_arena_ || arenas_.empty();
    const std::optional<DeviceUse> use = is_new ? arena_use(*each.session) : DeviceUse();
    is_counted_ = is_counted_ && use.has_value();
    if (!use) continue;
    arenas_[each.session].made = *use;
    models_[each.model].in_arenas += use->in_use;
    held += use->held;
  }
  made_outside_ = less(heap_in_use(), held);
}

void MemoryWatch::ran(const std::vector<OfModel>& sessions, const MemoryFigures& memory) {
  memory_ = memory;
  pages_ = pss_of_files_below(folder_);
  for (const OfModel& each : sessions) {
    const auto use = arena_use(*each.session);
    if (use) arenas_[each.session].activations = kept_of_runs(arenas_[each.session].made, *use);
    if (shared_arena_) {
      stays_ = use ? use->held : 0;
      break;
    }
  }
  const uint64_t now = measure_memory().anonymous;
  trim_heap();
  freed_ = less(now, measure_memory().anonymous);
}

uint64_t MemoryWatch::graphs_outside_arenas(const MakeBare& make_bare) const {
  uint64_t bytes = 0;
  for (const auto& [model, sessions] : models_) {
    const uint64_t before = heap_in_use();
    Session bare = make_bare(model);
    const std::optional<DeviceUse> use = shared_arena_ ? DeviceUse() : arena_use(*bare);
    bytes += sessions.count * less(heap_in_use(), before + (use ? use->held : 0));
  }
  return bytes;
}

std::optional<MemoryParts> MemoryWatch::gone(const MakeBare& make_bare) const {
  if (!is_counted_) return std::nullopt;
  trim_heap();
  const uint64_t shared = less(measure_memory().anonymous, before_.anonymous + stays_);
  const uint64_t left_on_heap = less(heap_in_use(), stays_);
  uint64_t graphs = 0, outside = 0;
  try {
    graphs = graphs_outside_arenas(make_bare);
    outside = less(made_outside_, left_on_heap + graphs);
  } catch (const Error&) {  // a model that ONNX Runtime only takes optimised
  }
  MemoryParts parts;
  parts.weights = pages_ + shared;
  parts.copies = outside;
  parts.freed = freed_;
  uint64_t kept = 0, largest = 0;
  for (const auto& [session, arena] : arenas_) {
    parts.copies += arena.made.in_use;
    kept += arena.activations;
    largest = std::max(largest, arena.activations);
  }
  // Of what arenas keep, runs may not have touched all: there is no more of it than is left.
  const uint64_t rest = less(memory_.pss, parts.weights + parts.copies + parts.freed);
  parts.activations = std::min(kept, less(rest, before_.pss + graphs));
  parts.other = rest - parts.activations;
  if (!shared_arena_ && kept > 0) {
    const double others = 1 - static_cast<double>(largest) / static_cast<double>(kept);
    parts.arena_saves = static_cast<uint64_t>(static_cast<double>(parts.activations) * others);
  }
  parts.pack_saves = parts.freed + more_than_one_of_each(outside);
  return parts;
}

// Returns what copies take that a pack has one of for each model. Of what lies `outside` arenas
// only the sum is known.
uint64_t MemoryWatch::more_than_one_of_each(uint64_t outside) const {
  size_t count = 0;
  uint64_t bytes = 0;
  for (const auto& [model, sessions] : models_) {
    count += sessions.count;
    bytes += sessions.in_arenas - sessions.in_arenas / sessions.count;
  }
  return count == 0 ? 0 : bytes + outside - outside * models_.size() / count;
}

}  // namespace wshare

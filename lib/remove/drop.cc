#include "remove/drop.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "format/manifest_extents.h"
#include "util/suggest.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using Names = std::set<std::string>;

bool has_model(const Manifest& manifest, const std::string& name) {
  return std::any_of(manifest.models.begin(), manifest.models.end(),
                     [&](const ModelRecord& model) { return model.name == name; });
}

std::vector<std::string> all_names(const Manifest& manifest) {
  Names seen;
  std::vector<std::string> names;
  const auto add = [&](const std::string& name) {
    if (seen.insert(name).second) names.push_back(name);
  };
  for (const ModelRecord& model : manifest.models) add(model.name);
  for (const TaskRecord& task : manifest.tasks) add(task.name);
  return names;
}

// `names` with what goes with them: tasks of models, and models of tasks.
Names complete(const Manifest& manifest, const std::vector<std::string>& names) {
  Names gone(names.begin(), names.end());
  for (const std::string& name : names) {
    if (has_model(manifest, name) || find_task(manifest, name) != nullptr) continue;
    throw Error(ErrorCode::kInvalid, in_quotes(name) + ": no such model or task in the bundle",
                hint_of_names(name, all_names(manifest)));
  }
  Names needed;  // models that tasks which stay run on
  for (const TaskRecord& task : manifest.tasks) {
    if (gone.count(task.name) == 0 && (task.model.empty() || gone.count(task.model) == 0))
      needed.insert(task.base);
  }
  for (const TaskRecord& task : manifest.tasks) {
    if (!task.model.empty() && gone.count(task.name) != 0 && needed.count(task.model) == 0)
      gone.insert(task.model);
    if (!task.model.empty() && gone.count(task.model) != 0) gone.insert(task.name);
  }
  return gone;
}

void require_bases(const Manifest& manifest, const Names& gone) {
  std::map<std::string, std::string> tasks_of;
  for (const TaskRecord& task : manifest.tasks) {
    if (gone.count(task.name) != 0 || gone.count(task.base) == 0) continue;
    std::string& list = tasks_of[task.base];
    list += (list.empty() ? "" : ", ") + in_quotes(task.name);
  }
  for (const auto& [base, tasks] : tasks_of) {
    throw Error(ErrorCode::kInvalid, in_quotes(base) + ": is the base of the tasks " + tasks,
                "remove these, too");
  }
}

// Byte ranges of one blob that something names.
class Coverage {
 public:
  void add(const Extent& extent) {
    uint64_t& end = end_at_[extent.offset];
    end = std::max(end, extent.offset + extent.size);
  }

  // Ends in the order of offsets rise from now on; add() no more.
  void seal() {
    uint64_t last = 0;
    for (auto& [offset, end] : end_at_) end = last = std::max(last, end);
  }

  // True if one range that begins no later than `extent` ends no earlier, after seal().
  bool holds(const Extent& extent) const {
    auto at = end_at_.upper_bound(extent.offset);
    if (at == end_at_.begin()) return false;
    return (--at)->second >= extent.offset + extent.size;
  }

 private:
  std::map<uint64_t, uint64_t> end_at_;
};

using Claim = std::pair<Extent, ContentHash>;

std::vector<Claim> claims_of(const Manifest& manifest) {
  std::vector<Claim> claims;
  for (const ModelRecord& model : manifest.models) {
    for (const TensorRecord& tensor : model.tensors)
      claims.emplace_back(tensor.extent, tensor.hash);
    if (model.source) claims.emplace_back(model.source->record, model.source->record_hash);
  }
  for (const TaskRecord& task : manifest.tasks) {
    if (task.source) claims.emplace_back(task.source->record, task.source->record_hash);
  }
  return claims;
}

// Adds to `left`, which has the blobs of `before` still, gaps for all bytes that `before` accounted
// for and nothing in `left` does.
void keep_accounts(const Manifest& before, Manifest& left) {
  std::vector<Coverage> covered(left.blobs.size());
  for (const auto& [extent, hash] : claims_of(left)) covered[extent.blob].add(extent);
  for (const GapRecord& gap : left.gaps) covered[gap.extent.blob].add(gap.extent);
  for (Coverage& coverage : covered) coverage.seal();
  std::vector<Claim> lost;
  for (Claim& claim : claims_of(before)) {
    if (!covered[claim.first.blob].holds(claim.first)) lost.push_back(std::move(claim));
  }
  // Longest first at one offset: a prefix lies inside its host.
  std::sort(lost.begin(), lost.end(), [](const Claim& a, const Claim& b) {
    return std::tie(a.first.blob, a.first.offset, b.first.size) <
           std::tie(b.first.blob, b.first.offset, a.first.size);
  });
  std::optional<Extent> last;
  for (const auto& [extent, hash] : lost) {
    const bool inside = last && last->blob == extent.blob &&
                        extent.offset + extent.size <= last->offset + last->size;
    if (inside) continue;
    left.gaps.push_back({extent, hash});
    last = extent;
  }
}

// The blobs that something in `manifest` needs. A gap alone needs none: restore records lie in one
// blob with the gaps that they name.
std::vector<bool> needed_blobs(Manifest& manifest) {
  std::vector<bool> needed(manifest.blobs.size(), false);
  visit_extents(manifest, [&](Extent& extent) { needed[extent.blob] = true; });
  for (const TaskRecord& task : manifest.tasks) {
    if (task.adapter) needed[*task.adapter] = true;
  }
  return needed;
}

void drop_blobs(Manifest& manifest, const std::vector<bool>& needed) {
  std::vector<BlobRecord> blobs;
  std::vector<uint32_t> number(needed.size());
  for (size_t b = 0; b < needed.size(); ++b) {
    number[b] = static_cast<uint32_t>(blobs.size());
    if (needed[b]) blobs.push_back(std::move(manifest.blobs[b]));
  }
  visit_extents(manifest, [&](Extent& extent) { extent.blob = number[extent.blob]; });
  for (TaskRecord& task : manifest.tasks) {
    if (task.adapter) task.adapter = number[*task.adapter];
  }
  for (GapRecord& gap : manifest.gaps) {
    // Records name gaps by number, so one that is gone keeps its place.
    if (needed[gap.extent.blob]) {
      gap.extent.blob = number[gap.extent.blob];
    } else {
      gap = {{}, content_hash({})};
    }
  }
  while (!manifest.gaps.empty() && manifest.gaps.back().extent.size == 0) manifest.gaps.pop_back();
  manifest.blobs = std::move(blobs);
}

uint64_t unused_bytes(const Manifest& manifest) {
  std::set<uint32_t> tensor_blobs;
  for (const ModelRecord& model : manifest.models) {
    for (const TensorRecord& tensor : model.tensors) tensor_blobs.insert(tensor.extent.blob);
  }
  uint64_t bytes = 0;
  for (const GapRecord& gap : manifest.gaps) {
    if (tensor_blobs.count(gap.extent.blob) != 0) bytes += gap.extent.size;
  }
  return bytes;
}

}  // namespace

Remainder drop_models(const Manifest& manifest, const std::vector<std::string>& names) {
  const Names gone = complete(manifest, names);
  require_bases(manifest, gone);
  Remainder result;
  result.manifest = manifest;
  Manifest& left = result.manifest;
  const auto is_gone = [&](const auto& record) { return gone.count(record.name) != 0; };
  std::erase_if(left.models, is_gone);
  std::erase_if(left.tasks, is_gone);
  if (left.models.empty()) {
    throw Error(ErrorCode::kInvalid, "nothing would be left in the bundle",
                "to be rid of all models, delete its folder");
  }
  Names seen;
  for (const ModelRecord& model : manifest.models) {
    if (is_gone(model) && seen.insert(model.name).second) result.removed.push_back(model.name);
  }
  for (const TaskRecord& task : manifest.tasks) {
    if (is_gone(task) && seen.insert(task.name).second) result.removed.push_back(task.name);
  }
  keep_accounts(manifest, left);
  drop_blobs(left, needed_blobs(left));
  result.unused_bytes = unused_bytes(left);
  return result;
}

}  // namespace wshare

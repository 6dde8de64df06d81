#include "inspect/freed.h"

#include <map>
#include <set>

#include "format/manifest/extents.h"

namespace wshare {
namespace {

constexpr int64_t kNobody = -1, kSeveral = -2;

// What is removed together: a model, or a task with its own model.
class Units {
 public:
  explicit Units(const Manifest& manifest) : users_(manifest.blobs.size(), kNobody) {
    for (const TaskRecord& task : manifest.tasks) add_task(task);
    for (const ModelRecord& model : manifest.models) add_model(model);
    for (const PackRecord& pack : manifest.packs) add_pack(pack);
    for (size_t b = 0; b < users_.size(); ++b) {
      if (users_[b] >= 0) {
        bytes_[static_cast<size_t>(users_[b])] += manifest.blobs[b].size;
      }
    }
  }

  uint64_t of_task(size_t t) const { return bytes_[t]; }
  uint64_t of_model(const std::string& name) const { return bytes_[unit_of_.at(name)]; }

 private:
  void use_blob(uint32_t blob, size_t unit) {
    int64_t& user = users_[blob];
    if (user == kNobody) user = static_cast<int64_t>(unit);
    if (user != static_cast<int64_t>(unit)) user = kSeveral;
  }

  void add_task(const TaskRecord& task) {
    const size_t unit = bytes_.size();
    bytes_.push_back(0);
    if (!task.model.empty()) unit_of_.emplace(task.model, unit);
    visit_blob_numbers(task, [&](uint32_t blob) { use_blob(blob, unit); });
    visit_extents(task, [&](const Extent& extent) { use_blob(extent.blob, unit); });
  }

  void add_model(const ModelRecord& model) {
    const auto [at, is_new] = unit_of_.try_emplace(model.name, bytes_.size());
    if (is_new) bytes_.push_back(0);
    bytes_[at->second] += model.size;
    const size_t unit = at->second;
    visit_blob_numbers(model, [&](uint32_t blob) { use_blob(blob, unit); });
    visit_extents(model, [&](const Extent& extent) { use_blob(extent.blob, unit); });
  }

  void add_pack(const PackRecord& pack) {
    const size_t unit = unit_of_.at(pack.model.name);
    bytes_[unit] += pack.model.size;
    visit_pack_extents(pack, [&](const Extent& extent) { use_blob(extent.blob, unit); });
  }

  std::vector<int64_t> users_;             // [blob]: a unit, kNobody or kSeveral
  std::vector<uint64_t> bytes_;            // [unit]; tasks first
  std::map<std::string, size_t> unit_of_;  // by model
};

}  // namespace

void add_freed_bytes(const Manifest& manifest, Inspection& inspection) {
  const Units units(manifest);
  std::set<std::string> needed;
  for (size_t t = 0; t < manifest.tasks.size(); ++t) {
    inspection.tasks[t].freed_bytes = units.of_task(t);
    needed.insert({manifest.tasks[t].base, manifest.tasks[t].model});
  }
  for (InspectedModel& model : inspection.models) {
    if (needed.count(model.name) == 0) model.freed_bytes = units.of_model(model.name);
  }
}

}  // namespace wshare

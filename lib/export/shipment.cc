#include "export/shipment.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "bundle/drop_unneeded.h"
#include "format/manifest/text.h"
#include "util/as_text.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

using Names = std::set<std::string>;

// The models and tasks `names`, and the models that these tasks need.
Names complete(const Manifest& whole, const std::vector<std::string>& names) {
  std::vector<std::string> known;
  for (const ModelRecord& model : whole.models) known.push_back(model.name);
  for (const TaskRecord& task : whole.tasks) known.push_back(task.name);
  Names kept;
  for (const std::string& name : names) {
    if (find_archived(whole, name) != nullptr) fail_archived(name);
    if (std::find(known.begin(), known.end(), name) == known.end()) fail_no_model(name, known);
    kept.insert(name);
    const TaskRecord* task = find_task(whole, name);
    if (task == nullptr) continue;
    kept.insert(task->base);
    if (!task->model.empty()) kept.insert(task->model);
  }
  return kept;
}

// What sessions of the models and tasks `names` need, and nothing that only gives originals back.
Manifest part_of(const Manifest& whole, const std::vector<std::string>& names) {
  const Names kept = complete(whole, names);
  Manifest part = whole;
  std::erase_if(part.models, [&](const ModelRecord& model) { return !kept.contains(model.name); });
  std::erase_if(part.tasks, [&](const TaskRecord& task) { return !kept.contains(task.name); });
  std::erase_if(part.packs,
                [&](const PackRecord& pack) { return !kept.contains(pack.model.name); });
  part.archived.clear();
  for (ModelRecord& model : part.models) model.source.reset();
  for (TaskRecord& task : part.tasks) {
    task.source.reset();
    task.tensors.clear();
  }
  drop_unneeded(whole, part);
  // Only records of originals name gaps by number.
  std::erase_if(part.gaps, [](const GapRecord& gap) { return gap.extent.size == 0; });
  for (BundleFile& file : files_gone(whole, part)) part.left_out.push_back(std::move(file.name));
  std::vector<std::string>& left_out = part.left_out;
  std::sort(left_out.begin(), left_out.end());
  left_out.erase(std::unique(left_out.begin(), left_out.end()), left_out.end());
  return part;
}

// Packs are twice the size of all else, and of use to one kind of CPU and one ONNX Runtime.
Manifest without_packs(const Manifest& whole) {
  Manifest left = whole;
  left.packs.clear();
  drop_unneeded(whole, left);
  return left;
}

// Returns what `options` leave of `whole`, if that is less.
std::optional<Manifest> choose(const Manifest& whole, const ShipmentOptions& options) {
  std::optional<Manifest> left;
  if (!options.with_packs && !whole.packs.empty()) left = without_packs(whole);
  if (!options.models.empty()) left = part_of(left ? *left : whole, options.models);
  if (left) retire_files(whole, *left);
  return left;
}

}  // namespace

std::string_view Shipment::manifest_text() const {
  return text.empty() ? as_text(manifest_file.bytes()) : text;
}

Shipment choose_shipment(const fs::path& bundle, const ShipmentOptions& options, unsigned threads) {
  std::shared_ptr<const Folder> folder = open_bundle_folder(bundle);
  MappedFile file = open_manifest(folder);
  Manifest whole =
      with_manifest_named(*folder, [&] { return parse_manifest(as_text(file.bytes())); });
  Shipment shipment{std::move(folder), std::move(whole), {}, std::move(file), ""};
  if (std::optional<Manifest> left = choose(shipment.manifest, options)) {
    shipment.manifest = *std::move(left);
    shipment.text = to_checked_json(shipment.manifest, threads);
  }
  shipment.files = files_of(shipment.manifest);
  std::sort(shipment.files.begin(), shipment.files.end(),
            [](const BundleFile& a, const BundleFile& b) { return a.name < b.name; });
  return shipment;
}

}  // namespace wshare

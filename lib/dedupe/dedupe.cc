#include "dedupe/dedupe.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <set>

#include "dedupe/distinct.h"
#include "dedupe/plan.h"
#include "dedupe/write.h"
#include "util/output_folder.h"
#include "util/parallel.h"
#include "util/paths.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

// Refuses a target that is no place for a new bundle.
void check_target(const fs::path& bundle, const std::vector<ModelInput>& inputs, bool replace) {
  if (bundle.empty()) throw Error(ErrorCode::kIo, "the output has no name");
  for (const ModelInput& input : inputs) {
    if (is_inside(input.path, bundle)) {
      throw Error(
          ErrorCode::kIo,
          in_quotes(bundle.string()) + ": holds the input " + in_quotes(input.path.string()),
          "choose a folder of its own for the bundle");
    }
  }
  std::error_code ignored;
  if (!fs::exists(fs::symlink_status(bundle))) return;
  if (!fs::is_directory(bundle, ignored))
    throw Error(ErrorCode::kIo, in_quotes(bundle.string()) + ": exists and is no folder");
  if (fs::is_empty(bundle, ignored)) return;
  if (!replace) {
    throw Error(ErrorCode::kIo, in_quotes(bundle.string()) + ": exists already",
                "--force replaces a bundle as a whole");
  }
  std::set<std::string> known = {kManifestName};
  const Manifest manifest = load_manifest(bundle);
  for (const BlobRecord& blob : manifest.blobs) known.insert(blob.file);
  for (const ModelRecord& model : manifest.models) known.insert(model.file);
  for (const fs::directory_entry& entry : fs::directory_iterator(bundle)) {
    if (known.count(entry.path().filename().string()) == 0) {
      throw Error(
          ErrorCode::kIo,
          in_quotes(entry.path().string()) + ": is no part of the bundle that would be replaced",
          "move it away first");
    }
  }
}

// The folder names that keep originals apart on restore: none when all come from one folder.
std::vector<std::string> source_folders(const std::vector<ModelInput>& inputs) {
  std::map<fs::path, std::string> name_of;
  std::set<std::string> taken;
  std::vector<std::string> result;
  for (const ModelInput& input : inputs) {
    const fs::path folder = fs::canonical(fs::absolute(input.path).parent_path());
    auto [at, is_new] = name_of.try_emplace(folder);
    if (is_new) {
      const std::string stem =
          is_file_name(folder.filename().string()) ? folder.filename().string() : "folder";
      at->second = stem;
      for (int number = 2; !taken.insert(at->second).second; ++number)
        at->second = stem + "_" + std::to_string(number);
    }
    result.push_back(at->second);
  }
  if (name_of.size() == 1) result.assign(result.size(), "");
  return result;
}

std::vector<ScannedModel> scan_all(const std::vector<ModelInput>& inputs, unsigned threads) {
  std::vector<std::optional<ScannedModel>> scanned(inputs.size());
  parallel_for(inputs.size(), threads,
               [&](size_t i) { scanned[i].emplace(scan_model(inputs[i].path)); });
  std::vector<ScannedModel> models;
  models.reserve(inputs.size());
  for (std::optional<ScannedModel>& model : scanned) models.push_back(std::move(*model));
  return models;
}

// The tensors that may leave their models: their bytes in one list, and what the plan needs of all.
struct Movable {
  std::vector<Bytes> bytes;
  std::vector<PlanModel> models;  // PlanTensor::content is the place in `bytes` until it is known
};

Movable choose_movable(const std::vector<ModelInput>& inputs, std::vector<ScannedModel>& models,
                       uint64_t min_bytes) {
  Movable result;
  for (size_t m = 0; m < models.size(); ++m) {
    PlanModel& plan_model = result.models.emplace_back(PlanModel{inputs[m].name, {}});
    for (TensorRef& tensor : models[m].tensors) {
      if (!tensor.inline_reason && tensor.bytes.size() < std::max<uint64_t>(min_bytes, 1)) {
        tensor.inline_reason = InlineReason::kBelowMinBytes;
      }
      plan_model.tensors.push_back(
          {tensor.bytes.size(), static_cast<uint32_t>(result.bytes.size()), tensor.inline_reason});
      if (!tensor.inline_reason) result.bytes.push_back(tensor.bytes);
    }
  }
  return result;
}

uint64_t input_bytes(const std::vector<ScannedModel>& models, DedupeReport& report) {
  std::vector<const MappedFile*> seen;
  uint64_t total = 0;
  for (size_t m = 0; m < models.size(); ++m) {
    std::vector<const MappedFile*> files = {&models[m].file.file()};
    for (const ExternalFile& external : models[m].external) files.push_back(&external.file);
    for (const MappedFile* file : files) {
      report.models[m].bytes_in += file->bytes().size();
      const bool known =
          file != files[0] && std::any_of(seen.begin(), seen.end(), [&](const MappedFile* other) {
            return other->same_file(*file);
          });
      if (known) continue;
      if (file != files[0]) seen.push_back(file);
      total += file->bytes().size();
    }
  }
  return total;
}

void report_tensors(const std::vector<ScannedModel>& models,
                    const std::vector<PlanModel>& plan_models, const Plan& plan, bool explain,
                    DedupeReport& report) {
  std::map<uint32_t, std::set<uint32_t>> users;  // content -> models
  for (uint32_t m = 0; m < models.size(); ++m) {
    for (const PlanTensor& tensor : plan_models[m].tensors) {
      if (!tensor.reason) users[tensor.content].insert(m);
    }
  }
  report.distinct_tensors = users.size();
  for (uint32_t m = 0; m < models.size(); ++m) {
    DedupedModel& entry = report.models[m];
    std::set<uint32_t> distinct;
    for (size_t t = 0; t < models[m].tensors.size(); ++t) {
      const TensorRef& tensor = models[m].tensors[t];
      const PlanTensor& planned = plan_models[m].tensors[t];
      if (planned.reason) {
        report.left_inline.push_back(
            {entry.name, tensor.scope, tensor.name, tensor.bytes.size(), *planned.reason});
        continue;
      }
      ++entry.tensors;
      const PlanBlob& blob = plan.blobs[plan.extents[m][t]->blob];
      const bool shared = blob.shared;
      if (distinct.insert(planned.content).second)
        (shared ? entry.shared_bytes : entry.own_bytes) += planned.size;
      if (!explain) continue;
      PlacedTensor placed{entry.name, tensor.scope, tensor.name, blob.file, planned.size, {}};
      for (const uint32_t user : users[planned.content]) {
        if (user != m) placed.also_in.push_back(report.models[user].name);
      }
      report.placed.push_back(std::move(placed));
    }
    entry.distinct = distinct.size();
    report.tensors += entry.tensors;
  }
}

}  // namespace

DedupeReport dedupe(const std::vector<ModelInput>& inputs, const fs::path& bundle,
                    const DedupeOptions& options) {
  if (!options.dry_run || !bundle.empty())
    check_target(bundle, inputs, options.replace || options.dry_run);
  const unsigned threads = thread_count(options.threads);
  std::vector<ScannedModel> models = scan_all(inputs, threads);
  DedupeReport report;
  for (const ModelInput& input : inputs) {
    report.models.push_back({input.name, input.path.filename().string(), 0, 0, 0, 0, 0, 0});
  }
  report.bytes_in = input_bytes(models, report);
  Movable movable = choose_movable(inputs, models, options.min_bytes);
  uint64_t total = 0;
  for (const Bytes bytes : movable.bytes) total += bytes.size();
  std::atomic<uint64_t> done{0};
  const Contents contents = find_distinct(movable.bytes, threads, [&](uint64_t bytes) {
    if (options.progress) options.progress("comparing", done += bytes, total);
  });
  std::vector<PlanContent> plan_contents;
  for (const Content& content : contents.contents)
    plan_contents.push_back({content.bytes.size(), content.host});
  WriteInput write;
  for (PlanModel& model : movable.models) {
    write.names.push_back(model.name);
    std::vector<uint32_t>& content_of = write.content_of.emplace_back();
    for (PlanTensor& tensor : model.tensors) {
      if (!tensor.reason) tensor.content = contents.of_tensor[tensor.content];
      content_of.push_back(tensor.content);
    }
  }
  const Plan plan = make_plan(movable.models, plan_contents);
  report_tensors(models, movable.models, plan, options.explain, report);
  if (options.dry_run) {
    for (const PlanBlob& blob : plan.blobs) report.bytes_out += blob.size;
    return report;
  }
  if (options.progress) options.progress("writing", 0, 0);
  write.folders = source_folders(inputs);
  write.models = &models;
  write.contents = &contents;
  write.plan = &plan;
  OutputFolder output(bundle, options.replace);
  const Manifest manifest = write_bundle(write, output.path(), threads);
  for (size_t m = 0; m < models.size(); ++m) report.models[m].model_bytes = manifest.models[m].size;
  for (const fs::directory_entry& entry : fs::directory_iterator(output.path()))
    report.bytes_out += entry.file_size();
  output.commit();
  return report;
}

}  // namespace wshare

#include "bundle/plan.h"

#include <algorithm>

#include "format/layout.h"
#include "util/paths.h"

namespace wshare {
namespace {

constexpr uint32_t kShared = ~uint32_t{0};

// Lays `in_order` out in blobs without names.
std::vector<PlanBlob> lay_out(const std::vector<PlanContent>& contents,
                              const std::vector<uint32_t>& in_order, uint64_t most_bytes) {
  std::vector<PlanBlob> blobs;
  for (const bool large : {true, false}) {
    for (const uint32_t content : in_order) {
      const uint64_t size = contents[content].size;
      if ((size >= kLargeBytes) != large) continue;
      uint64_t offset = blobs.empty() ? 0 : align_up(blobs.back().size, alignment_of(size));
      if (blobs.empty() || (offset > 0 && size > most_bytes - std::min(offset, most_bytes))) {
        blobs.emplace_back();
        offset = 0;
      }
      blobs.back().placements.push_back({content, offset});
      blobs.back().size = offset + size;
    }
  }
  return blobs;
}

}  // namespace

// Hosts have no hosts of their own that are not the longest: find_distinct() names the longest
// first.
uint32_t holder_of(const std::vector<PlanContent>& contents, uint32_t content) {
  while (contents[content].host && !contents[content].stored) content = *contents[content].host;
  return content;
}

std::string folded_name(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return name;
}

UnusedNames::UnusedNames(const std::vector<std::string>& taken) {
  taken_.insert(kManifestName);
  for (const std::string& name : taken) taken_.insert(folded_name(name));
}

std::string UnusedNames::make(const std::string& stem, const std::string& extension) {
  for (int number = 1;; ++number) {
    const std::string end = (number == 1 ? "" : "_" + std::to_string(number)) + extension;
    std::string name = safe_file_name(stem, kLongestFileName - end.size()) + end;
    if (taken_.insert(folded_name(name)).second) return name;
  }
}

Plan make_plan(const std::vector<PlanModel>& models, const std::vector<PlanContent>& contents,
               const std::vector<std::string>& tasks, const PlanStart& start) {
  // Who uses each holder: one model, or kShared.
  std::vector<std::optional<uint32_t>> owner(contents.size());
  std::vector<uint32_t> first_use;
  for (uint32_t m = 0; m < models.size(); ++m) {
    for (const PlanTensor& tensor : models[m].tensors) {
      if (tensor.reason) continue;
      const uint32_t content = holder_of(contents, tensor.content);
      if (contents[content].stored) continue;
      if (!owner[content]) {
        owner[content] = m;
        first_use.push_back(content);
      } else if (*owner[content] != m) {
        owner[content] = kShared;
      }
    }
  }

  std::vector<std::vector<uint32_t>> own(models.size());
  std::vector<uint32_t> shared;
  for (const uint32_t content : first_use) {
    (*owner[content] == kShared ? shared : own[*owner[content]]).push_back(content);
  }
  Plan plan;
  UnusedNames names(start.names);
  for (const PlanModel& model : models)
    plan.model_files.push_back(model.is_new ? names.make(model.name, ".onnx") : "");
  for (const std::string& task : tasks) {
    plan.adapter_files.push_back(names.make(task, ".onnx_adapter"));
    plan.residual_files.push_back(names.make(task, ".residual"));
  }
  std::vector<Extent> place(contents.size());
  for (size_t c = 0; c < contents.size(); ++c) {
    if (contents[c].stored) place[c] = *contents[c].stored;
  }
  const auto add_blob = [&](bool shared_by_models, const std::string& stem,
                            const std::vector<uint32_t>& members) {
    for (PlanBlob& blob : lay_out(contents, members, start.most_blob_bytes)) {
      blob.shared = shared_by_models;
      blob.file = names.make(stem, ".bin");
      for (const Placement& placement : blob.placements) {
        place[placement.content] = {start.blobs + static_cast<uint32_t>(plan.blobs.size()),
                                    placement.offset, 0};
      }
      plan.blobs.push_back(std::move(blob));
    }
  };
  add_blob(true, "shared", shared);
  for (uint32_t m = 0; m < models.size(); ++m) add_blob(false, models[m].name, own[m]);
  plan.restore_file = names.make("restore", ".bin");

  for (const PlanModel& model : models) {
    std::vector<std::optional<Extent>>& extents = plan.extents.emplace_back();
    for (const PlanTensor& tensor : model.tensors) {
      extents.emplace_back();
      if (tensor.reason) continue;
      extents.back() = place[holder_of(contents, tensor.content)];
      extents.back()->size = tensor.size;
    }
  }
  return plan;
}

std::vector<std::string> file_names_of(const Plan& plan) {
  std::vector<std::string> files;
  for (const std::string& file : plan.model_files) {
    if (!file.empty()) files.push_back(file);
  }
  files.insert(files.end(), plan.adapter_files.begin(), plan.adapter_files.end());
  files.insert(files.end(), plan.residual_files.begin(), plan.residual_files.end());
  for (const PlanBlob& blob : plan.blobs) files.push_back(blob.file);
  files.insert(files.end(), plan.side_files.begin(), plan.side_files.end());
  files.push_back(plan.restore_file);
  return files;
}

}  // namespace wshare

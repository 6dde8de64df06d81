#include "bundle/draft.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <set>
#include <utility>

#include "util/parallel.h"

namespace wshare {
namespace {

std::vector<ScannedModel> scan_all(const std::vector<ModelInput>& inputs, unsigned threads) {
  std::vector<std::optional<ScannedModel>> scanned(inputs.size());
  parallel_for(inputs.size(), threads,
               [&](size_t i) { scanned[i].emplace(scan_model(inputs[i].path)); });
  std::vector<ScannedModel> models;
  models.reserve(inputs.size());
  for (std::optional<ScannedModel>& model : scanned) models.push_back(std::move(*model));
  return models;
}

std::optional<InlineReason> reason_to_stay(const TensorRef& tensor, uint64_t min_bytes) {
  if (tensor.inline_reason) return tensor.inline_reason;
  if (tensor.bytes.size() < std::max<uint64_t>(min_bytes, 1)) return InlineReason::kBelowMinBytes;
  return std::nullopt;
}

}  // namespace

Draft make_draft(std::vector<ModelInput> inputs, const DraftOptions& options) {
  Draft draft;
  draft.inputs = std::move(inputs);
  const unsigned threads = thread_count(options.threads);
  draft.models = scan_all(draft.inputs, threads);

  std::vector<Bytes> movable;
  uint64_t total = 0;
  for (size_t m = 0; m < draft.models.size(); ++m) {
    PlanModel& planned = draft.planned.emplace_back(PlanModel{draft.inputs[m].name, {}});
    for (const TensorRef& tensor : draft.models[m].tensors) {
      const auto number = static_cast<uint32_t>(movable.size());
      const auto reason = reason_to_stay(tensor, options.min_bytes);
      planned.tensors.push_back({tensor.bytes.size(), number, reason});
      if (reason) continue;
      movable.push_back(tensor.bytes);
      total += tensor.bytes.size();
    }
  }
  std::atomic<uint64_t> done{0};
  draft.contents = find_distinct(movable, threads, [&](uint64_t bytes) {
    if (options.progress) options.progress("comparing", done += bytes, total);
  });

  for (PlanModel& model : draft.planned) {
    for (PlanTensor& tensor : model.tensors) {
      if (!tensor.reason) tensor.content = draft.contents.of_tensor[tensor.content];
    }
  }
  std::vector<PlanContent> contents;
  for (const Content& content : draft.contents.contents) {
    contents.push_back({content.bytes.size(), content.host});
  }
  draft.plan = make_plan(draft.planned, contents);
  return draft;
}

std::vector<std::vector<uint32_t>> users_of(const Draft& draft) {
  std::vector<std::vector<uint32_t>> users(draft.contents.contents.size());
  for (uint32_t m = 0; m < draft.planned.size(); ++m) {
    for (const PlanTensor& tensor : draft.planned[m].tensors) {
      if (tensor.reason) continue;
      std::vector<uint32_t>& list = users[tensor.content];
      if (list.empty() || list.back() != m) list.push_back(m);
    }
  }
  return users;
}

InputBytes input_bytes(const std::vector<ScannedModel>& models) {
  InputBytes result;
  std::set<FileId> seen;
  for (const ScannedModel& model : models) {
    uint64_t bytes = model.file.file().bytes().size();
    result.total += bytes;
    for (const ExternalFile& external : model.external) {
      const uint64_t size = external.file.bytes().size();
      bytes += size;
      if (seen.insert(external.file.id()).second) result.total += size;
    }
    result.of_model.push_back(bytes);
  }
  return result;
}

}  // namespace wshare

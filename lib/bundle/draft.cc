#include "bundle/draft.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <set>
#include <utility>

#include "bundle/drop_renames.h"
#include "bundle/like.h"
#include "bundle/side_files.h"
#include "util/parallel.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

// The tensors that move, with the bytes that they have in the bundle.
struct Movable {
  std::vector<Bytes> tensors;
  uint64_t total = 0;

  void add(PlanModel& planned, Bytes bytes, std::optional<InlineReason> reason) {
    planned.tensors.push_back({bytes.size(), static_cast<uint32_t>(tensors.size()), reason});
    if (reason) return;
    tensors.push_back(bytes);
    total += bytes.size();
  }
};

Movable find_movable(Draft& draft, uint64_t min_bytes) {
  Movable movable;
  for (size_t m = 0; m < draft.models.size(); ++m) {
    const bool is_new = m >= draft.first_new();
    PlanModel& planned = draft.planned.emplace_back(PlanModel{draft.inputs[m].name, {}, is_new});
    const auto edit = draft.edits.find(m);
    const std::vector<TensorRef>& tensors = draft.models[m].tensors;
    for (size_t t = 0; t < tensors.size(); ++t) {
      Bytes bytes = tensors[t].bytes;
      if (edit != draft.edits.end() && edit->second.substitutes.count(t) != 0) {
        bytes = edit->second.substitutes.at(t);
      }
      std::optional<InlineReason> reason = reason_to_stay(tensors[t], min_bytes);
      // What the bundle left in a model stays there, whatever the options were.
      if (!is_new && tensors[t].external_file < 0) reason = InlineReason::kBelowMinBytes;
      movable.add(planned, bytes, reason);
    }
    if (edit == draft.edits.end()) continue;
    for (const TensorRef& added : edit->second.added) movable.add(planned, added.bytes, {});
  }
  return movable;
}

// What the bundle has and find_distinct() would compare with one of `tensors`.
std::vector<StoredExtent> find_candidates(const std::optional<DraftStart>& start,
                                          const std::vector<Bytes>& tensors) {
  std::vector<StoredExtent> candidates;
  if (!start) return candidates;
  std::set<uint64_t> fronts;
  for (const Bytes tensor : tensors) fronts.insert(front_fingerprint(tensor));
  for (const StoredExtent& stored : start->stored) {
    if (fronts.count(front_fingerprint(stored.bytes)) != 0) candidates.push_back(stored);
  }
  return candidates;
}

std::vector<PlanContent> plan_contents(const Draft& draft,
                                       const std::vector<StoredExtent>& candidates) {
  const Contents& found = draft.contents;
  std::vector<PlanContent> contents;
  for (const Content& content : found.contents) {
    contents.push_back({content.bytes.size(), content.host, std::nullopt});
  }
  for (size_t i = 0; i < candidates.size(); ++i) {
    const StoredExtent& candidate = candidates[i];
    if (found.contents[found.of_tensor[i]].hash != candidate.hash) {
      const std::string& file = draft.start->manifest.blobs[candidate.extent.blob].file;
      throw Error(ErrorCode::kInvalid,
                  in_quotes(file) + ": is damaged: " + std::to_string(candidate.extent.size) +
                      " bytes at " + std::to_string(candidate.extent.offset) +
                      " do not have the manifest's hash",
                  "'wshare verify' lists all damage");
    }
    std::optional<Extent>& stored = contents[found.of_tensor[i]].stored;
    if (!stored) stored = candidate.extent;
  }
  return contents;
}

}  // namespace

std::optional<InlineReason> reason_to_stay(const TensorRef& tensor, uint64_t min_bytes) {
  if (tensor.inline_reason) return tensor.inline_reason;
  if (tensor.bytes.size() < std::max<uint64_t>(min_bytes, 1)) return InlineReason::kBelowMinBytes;
  return std::nullopt;
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

void place_tensors(Draft& draft, const DraftOptions& options) {
  const Movable movable = find_movable(draft, options.min_bytes);
  const std::vector<StoredExtent> candidates = find_candidates(draft.start, movable.tensors);
  std::vector<Bytes> tensors;
  uint64_t total = movable.total;
  for (const StoredExtent& candidate : candidates) {
    tensors.push_back(candidate.bytes);
    total += candidate.bytes.size();
  }
  tensors.insert(tensors.end(), movable.tensors.begin(), movable.tensors.end());
  std::atomic<uint64_t> done{0};
  draft.contents = find_distinct(tensors, thread_count(options.threads), [&](uint64_t bytes) {
    if (options.progress) options.progress("comparing", done += bytes, total);
  });
  for (PlanModel& model : draft.planned) {
    for (PlanTensor& tensor : model.tensors) {
      if (tensor.reason) continue;
      tensor.content = draft.contents.of_tensor[candidates.size() + tensor.content];
    }
  }
  std::vector<PlanContent> contents = plan_contents(draft, candidates);
  if (draft.start && draft.start->like) draft.start->names = keep_worthwhile(draft, contents);
  std::vector<std::string> tasks;
  for (const DraftTask& task : draft.tasks) tasks.push_back(task.input.name);
  PlanStart start;
  if (draft.start) {
    start.blobs = static_cast<uint32_t>(draft.start->manifest.blobs.size());
    start.names = draft.start->names;
  }
  draft.side_files = find_side_files(draft);
  for (std::string& name : names_that_nodes_say(draft)) start.names.push_back(std::move(name));
  for (const SideFile& file : draft.side_files) start.names.push_back(file.name);
  draft.plan = make_plan(draft.planned, contents, tasks, start);
  for (const SideFile& file : draft.side_files) {
    if (!file.stored) draft.plan.side_files.push_back(file.name);
  }
}

Draft make_draft(std::vector<ModelInput> inputs, const DraftOptions& options) {
  Draft draft;
  draft.inputs = std::move(inputs);
  draft.models = scan_all(draft.inputs, thread_count(options.threads));
  drop_renames(draft, options.min_bytes);
  place_tensors(draft, options);
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

InputBytes input_bytes(std::span<const ScannedModel> models) {
  InputBytes result;
  std::set<FileId> seen;
  for (const ScannedModel& model : models) {
    uint64_t bytes = model.file.file().bytes().size();
    if (seen.insert(model.file.file().id()).second) result.total += bytes;
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

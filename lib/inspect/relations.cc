#include "inspect/relations.h"

#include <set>
#include <string>
#include <utility>

#include "compare/bases/choose.h"
#include "util/parallel.h"

namespace wshare {
namespace {

// A graph is text, mostly; what is left of one that was compressed.
constexpr double kGraphShare = 0.15;
constexpr double kWorthwhile = 0.9;  // as `wshare archive` without names
constexpr double kTrifle = 4096;     // bytes that nobody archives a model for

const char* name_of(RelationKind kind) {
  switch (kind) {
    case RelationKind::kCast:
      return "cast";
    case RelationKind::kQuantised:
      return "quantised";
    case RelationKind::kMoved:
      break;
  }
  return "moved";
}

std::vector<ModelRelation> relations_of(const std::vector<Member>& members,
                                        const std::vector<uint64_t>& graph_bytes,
                                        const BytesOf& bytes_of, ScanMember scan,
                                        const InspectOptions& options) {
  std::vector<ModelRelation> relations;
  const std::vector<Role> roles = choose_bases(
      members, bytes_of,
      {.base = "",
       .scan = std::move(scan),
       .threads = thread_count(options.threads),
       .progress = options.progress});
  for (size_t m = 0; m < members.size(); ++m) {
    const Role& role = roles[m];
    if (!role.base || role.weights == 0 || role.archived > kWorthwhile * role.own) continue;
    const double graph = kGraphShare * static_cast<double>(graph_bytes[m]);
    if (role.own - role.archived < kTrifle) continue;
    relations.push_back({members[m].name, members[*role.base].name, name_of(role.kind),
                         role.weights, role.weights_total, static_cast<uint64_t>(role.own),
                         static_cast<uint64_t>(role.archived + graph)});
  }
  return relations;
}

}  // namespace

std::vector<ModelRelation> find_model_relations(const Draft& draft, const InspectOptions& options) {
  if (draft.models.size() < 2 || draft.models.size() > kMostRelated) return {};
  std::vector<Member> members;
  std::vector<uint64_t> graph_bytes;
  for (size_t m = 0; m < draft.models.size(); ++m) {
    Member& member = members.emplace_back(Member{draft.inputs[m].name, m, true, {}});
    graph_bytes.push_back(draft.models[m].file.file().bytes().size());
    for (size_t t = 0; t < draft.models[m].tensors.size(); ++t) {
      const TensorRef& tensor = draft.models[m].tensors[t];
      const PlanTensor& planned = draft.planned[m].tensors[t];
      if (tensor.is_span && tensor.external_file < 0) graph_bytes[m] -= tensor.bytes.size();
      if (planned.reason) continue;
      // A content is a blob of its own here.
      member.tensors.push_back(
          {tensor.scope, tensor.name, tensor.shape, Extent{planned.content, 0, tensor.bytes.size()},
           draft.contents.contents[planned.content].hash, tensor.dtype, tensor.folded});
    }
  }
  return relations_of(
      members, graph_bytes,
      [&](const Extent& extent) { return draft.contents.contents[extent.blob].bytes; },
      [&](const Member& member) { return scan_model(draft.inputs[*member.model].path); }, options);
}

std::vector<ModelRelation> find_model_relations(const Manifest& manifest, const StoredFiles& files,
                                                const InspectOptions& options) {
  if (manifest.models.size() < 2 || manifest.models.size() > kMostRelated) return {};
  std::set<std::string> targets;
  for (const ModelRecord& model : manifest.models) {
    if (model.source) targets.insert(model.name);
  }
  for (const TaskRecord& task : manifest.tasks) {
    targets.erase(task.base);
    targets.erase(task.model);
  }
  const std::vector<Member> members = members_of(manifest, targets);
  std::vector<uint64_t> graph_bytes(members.size());
  for (size_t m = 0; m < manifest.models.size(); ++m) graph_bytes[m] = manifest.models[m].size;
  return relations_of(
      members, graph_bytes, [&](const Extent& extent) { return files.bytes(extent); },
      [&](const Member& member) {
        return scan_model(files.folder()->path() / manifest.models[*member.model].file);
      },
      options);
}

}  // namespace wshare

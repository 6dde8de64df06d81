#include "wshare/inspect.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "bundle/draft.h"
#include "bundle/twins.h"
#include "bundle/write.h"
#include "format/dtype.h"
#include "format/is_bundle.h"
#include "format/manifest/text.h"
#include "inspect/findings.h"
#include "inspect/inspect_bundle.h"
#include "inspect/low_rank_estimate.h"
#include "inspect/relations.h"
#include "inspect/structure.h"
#include "inspect/summary.h"
#include "util/parallel.h"
#include "util/system_errors.h"
#include "util/text.h"
#include "wshare/error.h"
#include "wshare/models.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

// Returns the structure's rows of model `m`, with what the draft knows of each tensor.
ModelRows rows_of(const Draft& draft, size_t m, ModelRows rows) {
  if (rows.tensors.size() != draft.models[m].tensors.size()) {
    throw Error(ErrorCode::kIo, in_quotes(rows.path) + ": changed while it was read");
  }
  for (size_t t = 0; t < rows.tensors.size(); ++t) {
    const PlanTensor& planned = draft.planned[m].tensors[t];
    TensorRow& row = rows.tensors[t];
    row.tensor.bytes = planned.size;
    row.reason = planned.reason;
    row.extent = draft.plan.extents[m][t];
    if (row.extent) row.hash = draft.contents.contents[planned.content].hash;
  }
  return rows;
}

// Returns the bytes of the distinct contents that have no place in a blob and are equal to none
// that has: what inline tensors add to the distinct bytes.
uint64_t distinct_inline_bytes(const Draft& draft, unsigned threads) {
  std::vector<Bytes> stay;
  for (size_t m = 0; m < draft.models.size(); ++m) {
    for (size_t t = 0; t < draft.models[m].tensors.size(); ++t) {
      if (draft.planned[m].tensors[t].reason) stay.push_back(draft.models[m].tensors[t].bytes);
    }
  }
  std::map<ContentHash, Bytes> placed;
  for (const Content& content : draft.contents.contents) {
    placed.emplace(content.hash, content.bytes);
  }
  uint64_t bytes = 0;
  for (const Content& content : find_distinct(stay, threads).contents) {
    const auto found = placed.find(content.hash);
    const bool has_place =
        found != placed.end() && found->second.size() == content.bytes.size() &&
        std::memcmp(found->second.data(), content.bytes.data(), content.bytes.size()) == 0;
    if (!has_place) bytes += content.bytes.size();
  }
  return bytes;
}

// Fills in which contents are the transpose of another, each named by the first tensor that has it.
void add_twins(const Draft& draft, unsigned threads, Inspection& inspection) {
  const std::vector<Content>& contents = draft.contents.contents;
  std::vector<ContentMatrix> views;
  std::vector<std::optional<TensorUse>> first_use(contents.size());
  for (size_t m = 0; m < draft.models.size(); ++m) {
    for (size_t t = 0; t < draft.models[m].tensors.size(); ++t) {
      const PlanTensor& planned = draft.planned[m].tensors[t];
      if (planned.reason) continue;
      const TensorRef& tensor = draft.models[m].tensors[t];
      std::optional<TensorUse>& use = first_use[planned.content];
      if (!use) use = TensorUse{draft.inputs[m].name, tensor.scope, tensor.name};
      const std::optional<Dtype> dtype = find_dtype(tensor.dtype);
      const std::vector<int64_t>& shape = tensor.shape;
      // Vectors are their own transpose; elements of less than a byte have no place of their own.
      if (!dtype || dtype->bits % 8 != 0 || shape.size() != 2 || shape[0] < 2 || shape[1] < 2) {
        continue;
      }
      views.push_back({planned.content, static_cast<uint64_t>(shape[0]),
                       static_cast<uint64_t>(shape[1]), static_cast<uint32_t>(dtype->bits / 8)});
    }
  }
  inspection.transposed_bytes = 0;
  for (const Twin& twin : find_twins(contents, std::move(views), threads)) {
    const uint64_t bytes = contents[twin.content].bytes.size();
    *inspection.transposed_bytes += bytes;
    inspection.twins.push_back({bytes, *first_use[twin.content], *first_use[twin.transpose_of]});
  }
  std::stable_sort(
      inspection.twins.begin(), inspection.twins.end(),
      [](const TransposedTwin& a, const TransposedTwin& b) { return a.bytes > b.bytes; });
}

std::vector<ModelStructure> read_structures(const std::vector<ModelInput>& inputs,
                                            unsigned threads) {
  std::vector<ModelStructure> structures(inputs.size());
  parallel_for(inputs.size(), threads,
               [&](size_t i) { structures[i] = read_structure(inputs[i]); });
  return structures;
}

// Returns the bytes of all files; one that several models use, or with several names, once.
uint64_t bytes_of_files(const std::vector<ModelStructure>& structures) {
  uint64_t bytes = 0;
  std::set<FileId> seen;
  for (const ModelStructure& structure : structures) {
    bytes += structure.rows.bytes;
    if (!seen.insert(structure.id).second) bytes -= structure.model_bytes;
    for (size_t e = 0; e < structure.external.size(); ++e) {
      const std::optional<FileId>& id = structure.external[e].id;
      if (id && !seen.insert(*id).second) bytes -= *structure.rows.external[e].bytes;
    }
  }
  return bytes;
}

bool is_complete(const ModelStructure& structure) {
  return structure.doubled.empty() &&
         std::all_of(structure.rows.external.begin(), structure.rows.external.end(),
                     [](const InspectedFile& file) { return file.complete(); });
}

Inspection inspect_structures(std::vector<ModelStructure> structures,
                              const InspectOptions& options) {
  std::vector<ModelRows> rows;
  for (ModelStructure& structure : structures) rows.push_back(std::move(structure.rows));
  Inspection inspection = summarise(rows, options).inspection;
  inspection.compared = false;
  inspection.compared_models.clear();
  inspection.matrix.clear();
  return inspection;
}

Inspection inspect_weights(std::vector<ModelInput> inputs, std::vector<ModelStructure> structures,
                           const InspectOptions& options, Findings& findings) {
  const unsigned threads = thread_count(options.threads);
  const Draft draft =
      make_draft(std::move(inputs), {options.min_bytes, options.threads, options.progress});
  std::vector<ModelRows> rows;
  rows.reserve(draft.models.size());
  for (size_t m = 0; m < draft.models.size(); ++m) {
    rows.push_back(rows_of(draft, m, std::move(structures[m].rows)));
  }
  Summary summary = summarise(rows, options);
  Inspection inspection = std::move(summary.inspection);
  structures = {};
  rows = {};  // what comes now takes memory of its own
  inspection.distinct_bytes += distinct_inline_bytes(draft, threads);
  add_twins(draft, threads, inspection);
  find_in_weights(draft, threads, findings);
  find_in_quantised(draft, options.min_bytes, threads, findings);
  inspection.relations = find_model_relations(draft, options);
  inspection.extract = estimate_extraction(draft, summary.common_bytes, threads, findings);
  for (const TransposedTwin& twin : inspection.twins) {
    findings.add("WS011", {twin.tensor, "", twin.bytes, "of " + twin.transpose_of.tensor});
  }
  const BundleFiles bundle = measure_bundle(draft, options.threads);
  name_same_models(bundle.manifest, inspection);
  for (const InspectedModel& model : inspection.models) {
    if (model.same_as.empty()) continue;
    findings.add("WS022", {{model.name, "", ""}, "", model.bytes, "same as " + model.same_as});
  }
  inspection.predicted_bundle_bytes = bundle.bytes;
  return inspection;
}

Inspection inspect_models(std::vector<ModelInput> inputs, const InspectOptions& options) {
  std::vector<ModelStructure> structures = read_structures(inputs, thread_count(options.threads));
  const bool complete = std::all_of(structures.begin(), structures.end(), is_complete);
  const uint64_t input_bytes = bytes_of_files(structures);
  Findings findings;
  find_in_structure(structures, findings);
  Inspection inspection =
      options.hash && complete
          ? inspect_weights(std::move(inputs), std::move(structures), options, findings)
          : inspect_structures(std::move(structures), options);
  inspection.input_bytes = input_bytes;
  inspection.findings = findings.take();
  return inspection;
}

// Returns `paths` with each bundle replaced by its models under the names that they have there.
std::vector<std::string> open_bundles(const std::vector<std::string>& paths) {
  std::vector<std::string> models;
  for (const std::string& path : paths) {
    if (!is_bundle(path)) {
      models.push_back(path);
      continue;
    }
    for (const ModelRecord& model : load_manifest(path).models) {
      const std::string file = (fs::path(path) / model.file).string();
      const bool can_be_named = model.name.find('=') == std::string::npos;
      models.push_back(can_be_named ? model.name + "=" + file : file);
    }
  }
  return models;
}

}  // namespace

Inspection inspect(const std::vector<std::string>& paths, const InspectOptions& options) try {
  if (paths.size() == 1 && is_bundle(paths[0])) return inspect_bundle(paths[0], options);
  std::vector<std::string> left_out;
  std::vector<ModelInput> inputs = resolve_inputs(open_bundles(paths), {options.recursive, &left_out});
  Inspection inspection = inspect_models(std::move(inputs), options);
  inspection.left_out = std::move(left_out);
  return inspection;
} catch (const std::system_error& error) {
  throw_as_error(error);
}

}  // namespace wshare

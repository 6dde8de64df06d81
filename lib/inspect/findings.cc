#include "inspect/findings.h"

#include <algorithm>
#include <array>
#include <map>

namespace wshare {
namespace {

// Ids are never given to something else: pipelines name them. docs/findings.md explains each.
constexpr std::array kKinds = {
    FindingKind{"WS001", "external data missing or cut short"},
    FindingKind{"WS002", "external file with bytes that no tensor uses"},
    FindingKind{"WS003", "initializer of a name that another one has"},
    FindingKind{"WS010", "stored more than once in one model"},
    FindingKind{"WS011", "transpose of another weight"},
    FindingKind{"WS012", "float32 that float16 holds exactly"},
    FindingKind{"WS013", "float32 that bfloat16 holds exactly"},
    FindingKind{"WS014", "all zero"},
    FindingKind{"WS015", "one number throughout"},
    FindingKind{"WS016", "nine of ten elements or more are zero"},
    FindingKind{"WS017", "floats left beside their copy of fewer bits"},
    FindingKind{"WS018", "integers that become floats in each session"},
    FindingKind{"WS020", "stored in several models"},
    FindingKind{"WS021", "differs from another model's by a low rank"},
    FindingKind{"WS022", "same file as another model"},
    FindingKind{"WS030", "Constant node of 1 MiB or more"},
    FindingKind{"WS031", "read by no node"},
    FindingKind{"WS032", "notes of the exporter that are most of a file"},
    FindingKind{"WS040", "file of the bundle missing or changed"},
    FindingKind{"WS041", "file that the manifest does not name"},
};

constexpr uint64_t kLargeConstant = uint64_t{1} << 20;
constexpr uint64_t kLargestPadding = uint64_t{64} << 10;  // writers align external tensors so far

constexpr uint64_t kManyNotes = uint64_t{16} << 10;

using Range = std::pair<uint64_t, uint64_t>;  // offset, size

// Returns the bytes of a file of `size` bytes outside of `ranges`, in gaps larger than alignment
// explains.
uint64_t unused_bytes(std::vector<Range> ranges, uint64_t size) {
  std::sort(ranges.begin(), ranges.end());
  ranges.emplace_back(size, 0);
  uint64_t end = 0, unused = 0;
  for (const auto& [offset, length] : ranges) {
    if (offset > end && std::min(offset, size) - end > kLargestPadding) {
      unused += std::min(offset, size) - end;
    }
    end = std::max(end, std::min(offset, size) + std::min(length, size - std::min(offset, size)));
  }
  return unused;
}

void find_in_files(std::span<const ModelStructure> models, Findings& findings) {
  struct File {
    FindingPlace place;
    uint64_t size = 0;
    std::vector<Range> ranges;
  };
  std::vector<File> files;  // by first use
  std::map<FileId, size_t> number_of;
  for (const ModelStructure& model : models) {
    for (size_t e = 0; e < model.external.size(); ++e) {
      const InspectedFile& file = model.rows.external[e];
      const ExternalUse& use = model.external[e];
      if (!file.complete()) {
        findings.add("WS001", {{model.rows.name, "", ""},
                               file.file,
                               file.needed - file.bytes.value_or(0),
                               file.bytes ? "too short" : "no such file"});
      }
      if (!use.id || use.in_bundle) continue;
      const auto [at, is_new] = number_of.try_emplace(*use.id, files.size());
      if (is_new) files.push_back({{{model.rows.name, "", ""}, file.file, 0, ""}, *file.bytes, {}});
      std::vector<Range>& ranges = files[at->second].ranges;
      ranges.insert(ranges.end(), use.ranges.begin(), use.ranges.end());
    }
  }
  for (File& file : files) {
    file.place.bytes = unused_bytes(std::move(file.ranges), file.size);
    if (file.place.bytes > 0) findings.add("WS002", std::move(file.place));
  }
}

TensorUse use_of(const ModelStructure& model, const InspectedTensor& tensor) {
  return {model.rows.name, tensor.scope, tensor.tensor};
}

}  // namespace

std::span<const FindingKind> finding_kinds() { return kKinds; }

void Findings::add(const char* id, FindingPlace place) {
  auto at = std::find_if(findings_.begin(), findings_.end(),
                         [&](const Finding& known) { return known.id == id; });
  if (at == findings_.end()) at = findings_.insert(findings_.end(), {id, 0, {}});
  at->bytes += place.bytes;
  at->places.push_back(std::move(place));
}

std::vector<Finding> Findings::take() {
  std::sort(findings_.begin(), findings_.end(),
            [](const Finding& a, const Finding& b) { return a.id < b.id; });
  for (Finding& finding : findings_) {
    std::stable_sort(
        finding.places.begin(), finding.places.end(),
        [](const FindingPlace& a, const FindingPlace& b) { return a.bytes > b.bytes; });
  }
  return std::move(findings_);
}

void find_in_structure(std::span<const ModelStructure> models, Findings& findings) {
  find_in_files(models, findings);
  for (const ModelStructure& model : models) {
    if (model.notes_bytes >= kManyNotes && model.notes_bytes > model.model_bytes / 2)
      findings.add("WS032", {{model.rows.name, "", ""}, "", model.notes_bytes, ""});
    for (const size_t t : model.doubled) {
      const InspectedTensor& tensor = model.rows.tensors[t].tensor;
      findings.add("WS003", {use_of(model, tensor), "", tensor.bytes, ""});
    }
    for (size_t t = 0; t < model.homes.size(); ++t) {
      const InspectedTensor& tensor = model.rows.tensors[t].tensor;
      const Home home = model.homes[t];
      const bool has_node =
          home == Home::kConstant || (home == Home::kFunction && tensor.home != "subgraph");
      if (has_node && tensor.bytes >= kLargeConstant) {
        findings.add("WS030", {use_of(model, tensor), "", tensor.bytes, ""});
      }
      const bool can_be_unread = home == Home::kConstant || home == Home::kInitializer;
      if (can_be_unread && !model.used[t] && tensor.bytes > 0) {
        findings.add("WS031", {use_of(model, tensor), "", tensor.bytes, ""});
      }
    }
  }
}

}  // namespace wshare

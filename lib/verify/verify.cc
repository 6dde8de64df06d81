#include "wshare/verify.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <tuple>

#include "format/adapter_file.h"
#include "format/archived_graph.h"
#include "format/derived_tensor.h"
#include "format/manifest/extents.h"
#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "util/mapped_file.h"
#include "util/parallel.h"
#include "util/system_errors.h"
#include "util/text.h"
#include "verify/claims.h"
#include "verify/references.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

using Bytes = std::span<const std::byte>;

class Verifier {
 public:
  Verifier(const fs::path& folder, const VerifyOptions& options)
      : folder_(open_bundle_folder(folder)),
        threads_(thread_count(options.threads)),
        progress_(options.progress),
        known_(options.known.begin(), options.known.end()) {}

  std::vector<Damage> run() {
    stamp_ = folder_->look_up(kManifestName);
    std::optional<Manifest> manifest;
    try {
      manifest = load_manifest(folder_);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kInvalid) throw;
      add("manifest", kManifestName, "", error.what());
      return findings_;
    }
    check_blobs(*manifest);
    const BlobNumbers blobs = number_blobs(*manifest);
    for (const ModelRecord& model : manifest->models) check_model(blobs, model, {});
    for (const PackRecord& pack : manifest->packs) check_model(blobs, pack.model, pack.buffers);
    for (const TaskRecord& task : manifest->tasks) check_adapter(*manifest, task);
    for (const ArchivedRecord& model : manifest->archived) check_archived(*manifest, model);
    check_derived(*manifest);
    check_unchanged(*manifest);
    std::stable_sort(findings_.begin(), findings_.end(), [](const Damage& a, const Damage& b) {
      return std::tie(a.file, a.tensor, a.kind) < std::tie(b.file, b.tensor, b.kind);
    });
    return std::move(findings_);
  }

  // True if another command has changed or replaced the bundle since run() began: then what run()
  // found may be the difference.
  bool is_outdated() const {
    return !folder_->is_at_path() || folder_->look_up(kManifestName) != stamp_;
  }

 private:
  void add(std::string kind, std::string file, std::string tensor, std::string message) {
    const std::lock_guard lock(mutex_);
    findings_.push_back({std::move(kind), std::move(file), std::move(tensor), std::move(message)});
  }

  // Opens `name` if it is there with `size` bytes; findings say otherwise. What cannot be read is
  // no finding: it says nothing of the bundle.
  std::optional<MappedFile> open(const std::string& name, uint64_t size) {
    const std::optional<FileStamp> found = folder_->look_up(name);
    if (!found) {
      add("missing", name, "", "no such file");
    } else if (!found->is_regular) {
      add("missing", name, "", "is not a regular file");
    } else {
      MappedFile file = MappedFile::open(folder_, name);
      if (file.bytes().size() == size) return file;
      add("size", name, "",
          "has " + std::to_string(file.bytes().size()) + " bytes, the manifest says " +
              std::to_string(size));
    }
    return std::nullopt;
  }

  void check_blobs(const Manifest& manifest) {
    const std::vector<std::vector<Claim>> claims = claims_of(manifest);
    blobs_.resize(manifest.blobs.size());
    std::vector<std::vector<ClaimGroup>> groups;
    for (size_t b = 0; b < manifest.blobs.size(); ++b) {
      groups.push_back(group_by_offset(claims[b]));
      if (is_known(manifest.blobs[b].file)) continue;
      if (!check_overlap(manifest.blobs[b], groups.back())) groups.back().clear();
    }
    for (size_t b = 0; b < manifest.blobs.size(); ++b) {
      const BlobRecord& record = manifest.blobs[b];
      std::optional<MappedFile> file = open(record.file, record.size);
      if (!file || (groups[b].empty() && !claims[b].empty())) continue;
      const size_t before = findings_.size();
      if (!is_known(record.file)) check_blob(record, file->bytes(), groups[b]);
      if (findings_.size() == before) blobs_[b].emplace(std::move(*file));
    }
  }

  // Adds what `groups` claim to the bytes that will be read. What lies at different places of a
  // blob does not overlap in what dedupe writes; a manifest could let all of it be read a million
  // times.
  bool check_overlap(const BlobRecord& record, const std::vector<ClaimGroup>& groups) {
    constexpr uint64_t kMostLayers = 16;
    uint64_t claimed = 0;
    for (const ClaimGroup& group : groups) {
      claimed += std::min(group.front().extent.size, UINT64_MAX - claimed);
      if (claimed / kMostLayers <= record.size) continue;
      add("manifest", kManifestName, "",
          "names over " + std::to_string(kMostLayers) + " times the " +
              std::to_string(record.size) + " bytes of " + in_quotes(record.file));
      return false;
    }
    total_ += claimed;
    return true;
  }

  void check_blob(const BlobRecord& record, Bytes bytes, const std::vector<ClaimGroup>& groups) {
    if (record.hash && content_hash(bytes, threads_) != *record.hash) {
      add("hash", record.file, "", "does not have the manifest's hash");
    }
    parallel_for(groups.size(), threads_, [&](size_t i) {
      check_group(groups[i], bytes, [&](const Claim& claim, bool fits) {
        if (fits) return;
        add("hash", record.file, claim.tensor,
            std::to_string(claim.extent.size) + " bytes at " + std::to_string(claim.extent.offset) +
                " do not have the manifest's hash");
      });
      if (progress_) progress_("checking", done_ += groups[i].front().extent.size, total_);
    });
    if (!record.hash) check_padding(record.file, bytes, groups);
  }

  bool is_known(const std::string& file) const { return known_.count(file) != 0; }

  // An adapter must hold what the manifest says of it.
  void check_adapter(const Manifest& manifest, const TaskRecord& task) {
    if (!task.adapter || !blobs_[*task.adapter]) return;
    const std::string& file = manifest.blobs[*task.adapter].file;
    try {
      const std::vector<NamedTensor> held = read_adapter(blobs_[*task.adapter]->bytes());
      const auto equal = [](const NamedTensor& tensor, const ParameterRecord& parameter) {
        return name_in_manifest(tensor.name) == name_in_manifest(parameter.name) &&
               tensor.shape == parameter.shape && tensor.dtype == parameter.dtype;
      };
      if (std::equal(held.begin(), held.end(), task.parameters.begin(), task.parameters.end(),
                     equal)) {
        return;
      }
      add("adapter", file, "", "does not hold the parameters that the manifest names");
    } catch (const Error& error) {
      add("adapter", file, "", error.what());
    }
  }

  // Its graph must be there, and name the tensors that the manifest names.
  void check_archived(const Manifest& manifest, const ArchivedRecord& model) {
    if (!blobs_[model.graph.blob]) return;
    const std::string& file = manifest.blobs[model.graph.blob].file;
    try {
      const std::string graph = unpack_graph(model, StoredFiles(folder_, manifest));
      for (Damage& finding : find_wrong_archived_references(model, std::as_bytes(std::span(graph))))
        add(finding.kind, file, finding.tensor, finding.message);
    } catch (const Error& error) {
      add("archive", file, "", error.what());
    }
  }

  // What restore computes must come out as it was. Where a part of it is damaged, that has been
  // said already.
  void check_derived(const Manifest& manifest) {
    std::vector<const OriginalTensor*> derived;
    const auto look = [&](const std::vector<OriginalTensor>& tensors) {
      for (const OriginalTensor& tensor : tensors) {
        if (tensor.derivation && are_whole(*tensor.derivation)) derived.push_back(&tensor);
      }
    };
    for (const TaskRecord& task : manifest.tasks) look(task.tensors);
    for (const ArchivedRecord& model : manifest.archived) look(model.tensors);
    if (progress_ && !derived.empty()) progress_("computing what restore computes", 0, 0);
    parallel_for(derived.size(), threads_, [&](size_t i) {
      const OriginalTensor& tensor = *derived[i];
      const std::string& file = manifest.blobs[place_of(*tensor.derivation)].file;
      if (is_known(file)) return;
      try {
        ContentHasher hasher;
        derive_tensor(
            tensor, [&](const Extent& at) { return slice(blobs_[at.blob]->bytes(), at); },
            [&](Bytes bytes) { hasher.update(bytes); });
        if (!tensor.derivation->exact || hasher.digest() == tensor.hash) return;
        add("derived", file, tensor.name, "does not come back as the manifest says");
      } catch (const Error& error) {
        add("derived", file, tensor.name, error.what());
      }
    });
  }

  bool are_whole(const DerivationRecord& derivation) const {
    bool whole = true;
    visit_derivation(derivation, [&](const Extent& extent) {
      whole = whole && blobs_[extent.blob].has_value();
    });
    return whole;
  }

  // The blob that is the tensor's own: of its residual, else of its factors.
  static uint32_t place_of(const DerivationRecord& derivation) {
    if (derivation.own_residual().size > 0) return derivation.own_residual().blob;
    return derivation.left ? derivation.left->extent.blob : derivation.base->extent.blob;
  }

  void check_unchanged(const Manifest& manifest) {
    for (size_t b = 0; b < blobs_.size(); ++b) {
      if (!blobs_[b]) continue;
      try {
        blobs_[b]->check_unchanged();
      } catch (const Error& error) {
        add("changed", manifest.blobs[b].file, "", error.what());
      }
    }
  }

  void check_padding(const std::string& name, Bytes bytes, const std::vector<ClaimGroup>& groups) {
    uint64_t at = 0;
    const auto check_until = [&](uint64_t end) {
      for (; at < end; ++at) {
        if (bytes[static_cast<size_t>(at)] == std::byte{0}) continue;
        add("padding", name, "",
            "byte " + std::to_string(at) + " belongs to nothing and is not zero");
        at = end;
      }
    };
    for (const ClaimGroup& group : groups) {
      const Extent& longest = group.front().extent;
      check_until(longest.offset);
      at = std::max(at, longest.offset + longest.size);
    }
    check_until(bytes.size());
  }

  void check_model(const BlobNumbers& blobs, const ModelRecord& model,
                   std::span<const BufferRecord> buffers) {
    const std::optional<MappedFile> file = open(model.file, model.size);
    if (!file || is_known(model.file)) return;
    if (content_hash(file->bytes(), threads_) != model.hash) {
      add("hash", model.file, "", "does not have the manifest's hash");
      return;
    }
    try {
      for (Damage& finding : find_wrong_references(blobs, model, buffers, file->bytes()))
        findings_.push_back(std::move(finding));
    } catch (const Error& error) {
      add("reference", model.file, "", error.what());
    }
  }

  std::shared_ptr<const Folder> folder_;
  std::optional<FileStamp> stamp_;  // of the manifest
  unsigned threads_;
  ProgressFn progress_;
  std::set<std::string> known_;
  uint64_t total_ = 0;
  std::atomic<uint64_t> done_{0};
  std::vector<std::optional<MappedFile>> blobs_;  // as in the manifest, those without a finding
  std::mutex mutex_;
  std::vector<Damage> findings_;
};

// Returns the findings, or nothing where the bundle was changed meanwhile.
std::optional<std::vector<Damage>> try_to_verify(const fs::path& folder,
                                                 const VerifyOptions& options) {
  Verifier verifier(folder, options);
  try {
    std::vector<Damage> findings = verifier.run();
    if (findings.empty() || !verifier.is_outdated()) return findings;
  } catch (const Error&) {
    if (!verifier.is_outdated()) throw;
  }
  return std::nullopt;
}

}  // namespace

std::vector<Damage> verify(const fs::path& folder, const VerifyOptions& options) try {
  constexpr int kTries = 20;
  for (int i = 0; i < kTries; ++i) {
    if (auto findings = try_to_verify(folder, options)) return *std::move(findings);
  }
  throw Error(ErrorCode::kIo,
              in_quotes(folder.string()) + ": is changed by others faster than it can be verified",
              "verify it while nobody writes to it");
} catch (const std::system_error& error) {
  throw_as_error(error);
}

}  // namespace wshare

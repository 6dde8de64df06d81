#include "archive/archiver.h"

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "bundle/drop_unneeded.h"
#include "bundle/gaps.h"
#include "format/archived_graph.h"
#include "format/blob_reader.h"
#include "format/codec/residual.h"
#include "format/derived_tensor.h"
#include "format/dtype.h"
#include "format/manifest/extents.h"
#include "format/restore_record.h"
#include "model/externalize.h"
#include "model/model_file.h"
#include "util/as_text.h"
#include "util/parallel.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using Bytes = std::span<const std::byte>;
using Kind = TensorPlan::Kind;

// What gives `model` back, against `graph` in place of its file.
std::string pack_again(const ModelRecord& model, const StoredFiles& files, std::string_view file,
                       const std::string& graph, std::vector<uint64_t>& gaps) {
  try {
    RestoreRecord record =
        unpack_record(as_text(files.bytes(model.source->record)), file, model.source->size);
    if (content_hash(std::as_bytes(std::span(record.literal))) != model.source->graph_hash)
      throw Error(ErrorCode::kInvalid, "restore record: does not fit the manifest");
    gaps = gaps_in(record);
    return pack_record(std::move(record), graph);
  } catch (const Error& error) {
    throw Error(error.code(), in_quotes(model.name) + ": " + error.what(),
                "'wshare verify' lists all damage");
  }
}

// Makes `derivation`, which was computed from the bytes of `base`, one of how that is kept.
void follow(const OriginalTensor& base, DerivationRecord& derivation) {
  if (base.extent) {
    derivation.base->extent = *base.extent;
    return;
  }
  const StepRecord step{derivation.multiplier, derivation.residual};
  derivation = *base.derivation;
  derivation.then.push_back(step);
}

}  // namespace

Archiver::Archiver(const Manifest& manifest, const StoredFiles& files,
                   const std::vector<Member>& members, std::vector<Target> targets,
                   std::vector<std::string> names,
                   const std::optional<std::filesystem::path>& folder,
                   const ArchiveOptions& options)
    : manifest_(manifest),
      files_(files),
      members_(members),
      targets_(std::move(targets)),
      names_(std::move(names)),
      folder_(folder),
      output_(folder),
      options_(options),
      threads_(thread_count(options.threads)),
      inner_threads_(std::max<unsigned>(1, threads_ / static_cast<unsigned>(targets_.size()))),
      bytes_of_([this](const Extent& extent) { return files_.bytes(extent); }) {}

const ModelRecord& Archiver::model_of(size_t t) const {
  return manifest_.models[*members_[targets_[t].member].model];
}

Manifest Archiver::run() {
  plans_ = plan_tensors(members_, targets_, manifest_, blobs_that_stay(), bytes_of_, threads_);
  for (size_t t = 0; t < targets_.size(); ++t) {
    for (const TensorRecord& tensor : model_of(t).tensors) total_ += tensor.extent.size;
  }
  jobs_.resize(targets_.size());
  parallel_for(targets_.size(), threads_, [&](size_t t) { write(t); });
  follow_others();
  output_.finish();
  if (folder_) prove();
  files_.check_unchanged();
  Manifest left = manifest_;
  std::set<std::string> gone;
  for (size_t t = 0; t < targets_.size(); ++t) gone.insert(model_of(t).name);
  std::erase_if(left.models, [&](const ModelRecord& model) { return gone.contains(model.name); });
  std::erase_if(left.packs, [&](const PackRecord& pack) { return gone.contains(pack.model.name); });
  for (const Job& job : jobs_) {
    left.blobs.push_back(job.blob);
    left.archived.push_back(job.record);
  }
  drop_unneeded(manifest_, left);
  return left;
}

// What models that stay need, or others that are archived already.
std::vector<bool> Archiver::blobs_that_stay() const {
  std::vector<bool> stays(manifest_.blobs.size(), false);
  Manifest left = manifest_;
  std::set<std::string> gone;
  for (size_t t = 0; t < targets_.size(); ++t) gone.insert(model_of(t).name);
  std::erase_if(left.models, [&](const ModelRecord& model) { return gone.contains(model.name); });
  std::erase_if(left.packs, [&](const PackRecord& pack) { return gone.contains(pack.model.name); });
  visit_extents(left, [&](const Extent& extent) { stays[extent.blob] = true; });
  visit_blob_numbers(left, [&](uint32_t blob) { stays[blob] = true; });
  return stays;
}

void Archiver::write(size_t t) {
  Job& job = jobs_[t];
  const ModelRecord& model = model_of(t);
  job.record.name = model.name;
  if (targets_[t].base) job.record.base = members_[*targets_[t].base].name;
  job.record.files = model.files;
  ArchiveFile file(output_, static_cast<uint32_t>(manifest_.blobs.size() + t), names_[t]);
  write_graph(t, file);
  job.residuals.resize(model.tensors.size());
  job.record.tensors.resize(model.tensors.size());
  // What is derived comes last: it may be computed from the others.
  for (const bool derived : {false, true}) {
    for (size_t i = 0; i < model.tensors.size(); ++i) {
      if ((plans_[t][i].kind == Kind::kDerived) != derived) continue;
      job.record.tensors[i] = derived ? write_derived(t, i, file) : write_tensor(t, i, file);
      if (options_.progress)
        options_.progress("archiving", done_ += model.tensors[i].extent.size, total_);
    }
  }
  job.blob = file.close();
}

// In the graph, tensors have numbers instead of places.
void Archiver::write_graph(size_t t, ArchiveFile& file) {
  const ModelRecord& model = model_of(t);
  const ModelFile before = ModelFile::load(files_.model(model));
  std::map<std::tuple<std::string, uint64_t, uint64_t>, size_t> numbers;
  for (size_t i = 0; i < model.tensors.size(); ++i) {
    const Extent& at = model.tensors[i].extent;
    numbers.try_emplace({manifest_.blobs[at.blob].file, at.offset, at.size}, i);
  }
  const std::string graph =
      relocate(before, [&](const ExternalReference& place) -> ExternalReference {
        const auto found = numbers.find({place.file, place.offset, place.size});
        if (found != numbers.end()) return {kArchivedTensors, found->second, place.size};
        throw Error(ErrorCode::kInvalid,
                    in_quotes(model.file) + ": refers to bytes that the manifest does not name",
                    "'wshare verify' lists all damage");
      });
  ArchivedRecord& record = jobs_[t].record;
  const std::string packed = pack_graph(graph);
  record.graph = file.add(std::as_bytes(std::span(packed)));
  record.graph_hash = content_hash(std::as_bytes(std::span(packed)));
  record.size = graph.size();
  record.hash = content_hash(std::as_bytes(std::span(graph)));
  record.source = model.source;
  std::vector<uint64_t> gaps;
  const std::string original =
      pack_again(model, files_, as_text(before.file().bytes()), graph, gaps);
  record.source->record = file.add(std::as_bytes(std::span(original)));
  record.source->record_hash = content_hash(std::as_bytes(std::span(original)));
  record.source->blobs = blobs_of_gaps(manifest_, gaps);
}

Bytes Archiver::checked_bytes(const TensorRecord& tensor) const {
  const Bytes bytes = files_.bytes(tensor.extent);
  if (content_hash(bytes) == tensor.hash) return bytes;
  throw Error(ErrorCode::kInvalid,
              in_quotes(manifest_.blobs[tensor.extent.blob].file) + ": is damaged: tensor " +
                  in_quotes(tensor.name) + " does not have the manifest's hash",
              "'wshare verify' lists all damage");
}

OriginalTensor Archiver::write_tensor(size_t t, size_t i, ArchiveFile& file) {
  const TensorRecord& tensor = model_of(t).tensors[i];
  OriginalTensor kept{tensor.scope,  tensor.name,  tensor.dtype,  tensor.shape, tensor.hash,
                      tensor.extent, std::nullopt, tensor.turned, tensor.folded};
  if (plans_[t][i].kind == Kind::kCopied) kept.extent = file.add(checked_bytes(tensor));
  return kept;
}

OriginalTensor Archiver::write_derived(size_t t, size_t i, ArchiveFile& file) {
  const TensorRecord& tensor = model_of(t).tensors[i];
  const TensorPlan& plan = plans_[t][i];
  const TensorRecord& base = members_[plan.base].tensors[plan.pair->base];
  OriginalTensor derived = derived_from(tensor, base, plan.pair->transposed);
  derived.derivation->multiplier = plan.multiplier;
  NewBytes fresh;
  if (plan.source != nullptr && plan.source->how) {
    QuantisedRecord& quantised = derived.derivation->quantised.emplace();
    derived.derivation->codec = kFirstCodec;
    quantised.how = *plan.source->how;
    quantised.scale = write_numbers(t, plan.source->scale, fresh, file);
    if (plan.source->zero) quantised.zero = write_numbers(t, *plan.source->zero, fresh, file);
  }
  const Bytes actual = checked_bytes(tensor);
  const Extent residual = write_residual(derived, actual, plan, fresh, file);
  jobs_[t].residuals[i] = residual;
  if (residual.size < actual.size()) {
    if (residual.size > 0) derived.derivation->residual = residual;
    return derived;
  }
  // The samples were not like the rest. What was written is lost, and the tensor kept as it is.
  OriginalTensor kept = write_tensor(t, i, file);
  kept.extent = file.add(actual);
  return kept;
}

// Scales and zero points lie where the archived model has them, or in its archive.
MatrixRecord Archiver::write_numbers(size_t t, const StoredNumbers& numbers, NewBytes& fresh,
                                     ArchiveFile& file) const {
  Bytes bytes = numbers.bytes;
  if (numbers.tensor) {
    bytes = files_.bytes(model_of(t).tensors[*numbers.tensor].extent);
    const std::optional<Extent>& place = jobs_[t].record.tensors[*numbers.tensor].extent;
    if (place) {
      fresh[key_of(*place)] = bytes;
      return {*place, numbers.dtype, false};
    }
  }
  const Extent place = file.add(bytes);
  fresh[key_of(place)] = bytes;
  return {place, numbers.dtype, false};
}

Extent Archiver::write_residual(const OriginalTensor& tensor, Bytes actual, const TensorPlan& plan,
                                const NewBytes& fresh, ArchiveFile& file) {
  if (!folder_) return file.skip(static_cast<uint64_t>(plan.estimate));
  const BytesOf bytes_of = [&](const Extent& extent) {
    const auto found = fresh.find(key_of(extent));
    return found == fresh.end() ? files_.bytes(extent) : found->second;
  };
  file.start();
  encode_tensor(
      tensor, actual, bytes_of, [&](Bytes piece) { file.append(piece); }, inner_threads_);
  return file.end();
}

void Archiver::prove() const {
  std::vector<MappedFile> archives;
  std::vector<const OriginalTensor*> derived;
  uint64_t bytes = 0;
  for (const Job& job : jobs_) {
    archives.push_back(MappedFile::open(*folder_ / job.blob.file));
    for (const OriginalTensor& tensor : job.record.tensors) {
      if (tensor.derivation) derived.push_back(&tensor), bytes += size_of(tensor);
    }
  }
  const size_t old_blobs = manifest_.blobs.size();
  const BytesOf bytes_of = [&](const Extent& extent) {
    if (extent.blob < old_blobs) return files_.bytes(extent);
    return slice(archives[extent.blob - old_blobs].bytes(), extent);
  };
  std::atomic<uint64_t> done = 0;
  parallel_for(derived.size(), threads_, [&](size_t i) {
    ContentHasher hasher;
    derive_tensor(*derived[i], bytes_of, [&](Bytes piece) { hasher.update(piece); });
    if (hasher.digest() != derived[i]->hash) {
      files_.check_unchanged();
      throw std::logic_error(in_quotes(std::string(derived[i]->name)) +
                             ": would not come back from its archive as it is");
    }
    if (options_.progress) options_.progress("proving", done += size_of(*derived[i]), bytes);
  });
}

// Gives tensors that are kept once the place of the first, and those of chains what leads to the
// one before. Both stand before them.
void Archiver::follow_others() {
  for (size_t t = 0; t < targets_.size(); ++t) {
    for (size_t i = 0; i < plans_[t].size(); ++i) {
      const TensorPlan& plan = plans_[t][i];
      OriginalTensor& tensor = jobs_[t].record.tensors[i];
      const OriginalTensor& other = jobs_[plan.target].record.tensors[plan.tensor];
      if (plan.kind == Kind::kAsOther) {
        tensor.extent = other.extent;
        tensor.derivation = other.derivation;
      } else if (plan.in_chain && tensor.derivation) {
        follow(other, *tensor.derivation);
      }
    }
  }
}

ArchivedTensor Archiver::report_of(size_t t, size_t i) const {
  const TensorRecord& tensor = model_of(t).tensors[i];
  const OriginalTensor& kept = jobs_[t].record.tensors[i];
  const TensorPlan& plan = plans_[t][i];
  ArchivedTensor out;
  out.tensor = tensor.scope.empty() ? std::string(tensor.name)
                                    : std::string(tensor.scope) + "/" + std::string(tensor.name);
  out.bytes = tensor.extent.size;
  if (plan.kind == Kind::kShared || plan.kind == Kind::kAsOther) {
    out.kind = ArchiveClass::kSame;
    return out;
  }
  if (!kept.derivation) {
    out.stored_bytes = out.bytes;
    return out;
  }
  const TensorRecord& base = members_[plan.base].tensors[plan.pair->base];
  out.base_tensor = base.name;
  out.residual_bytes = out.stored_bytes = jobs_[t].residuals[i].size;
  out.kind = kept.derivation->quantised   ? ArchiveClass::kQuantised
             : out.residual_bytes > 0     ? ArchiveClass::kMoved
             : base.dtype != tensor.dtype ? ArchiveClass::kCast
                                          : ArchiveClass::kTransposed;
  return out;
}

std::vector<ArchivedModel> Archiver::report() const {
  std::vector<ArchivedModel> models;
  for (size_t t = 0; t < targets_.size(); ++t) {
    const ModelRecord& model = model_of(t);
    ArchivedModel& out = models.emplace_back();
    out.name = model.name;
    out.base = jobs_[t].record.base;
    out.bytes_before = model.size;
    out.archived_bytes = jobs_[t].blob.size;
    std::set<ExtentKey> seen;
    for (size_t i = 0; i < model.tensors.size(); ++i) {
      out.tensors.push_back(report_of(t, i));
      if (seen.insert(key_of(model.tensors[i].extent)).second)
        out.bytes_before += model.tensors[i].extent.size;
      if (plans_[t][i].kind == Kind::kInPlace) out.archived_bytes += out.tensors.back().bytes;
    }
  }
  return models;
}

}  // namespace wshare

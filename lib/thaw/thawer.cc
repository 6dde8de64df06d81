#include "thaw/thawer.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "bundle/blob_files.h"
#include "bundle/drop_unneeded.h"
#include "bundle/gaps.h"
#include "format/archived_graph.h"
#include "format/manifest/extents.h"
#include "format/restore_record.h"
#include "model/externalize.h"
#include "util/as_text.h"
#include "util/parallel.h"
#include "util/text.h"
#include "wshare/error.h"

// What is to be written is planned as dedupe plans it, from sizes alone: the bytes of a content are
// computed when its blob is written, piece by piece.

namespace wshare {
namespace {

using Bytes = std::span<const std::byte>;

std::string text_of(const Extent& extent) {
  return std::to_string(extent.blob) + ":" + std::to_string(extent.offset) + ":" +
         std::to_string(extent.size);
}

// How a tensor is kept, as text: equal where the bytes are known to be equal.
std::string identity_of(const OriginalTensor& tensor) {
  if (tensor.extent) return text_of(*tensor.extent);
  const DerivationRecord& derivation = *tensor.derivation;
  std::string text = std::to_string(tensor.dtype) + " " + std::to_string(derivation.multiplier);
  for (const int64_t dim : tensor.shape) text += "," + std::to_string(dim);
  for (const auto* matrix : {&derivation.base, &derivation.left, &derivation.right}) {
    if (*matrix)
      text += " " + text_of((*matrix)->extent) + "/" + std::to_string((*matrix)->dtype) +
              ((*matrix)->transposed ? "t" : "");
  }
  text += " " + text_of(derivation.residual);
  for (const StepRecord& step : derivation.then)
    text += " " + std::to_string(step.multiplier) + "*" + text_of(step.residual);
  return text + " " + to_hex(tensor.hash);
}

}  // namespace

Thawer::Thawer(const Manifest& manifest, const StoredFiles& files, std::vector<size_t> numbers,
               std::vector<std::string> taken, const std::optional<std::filesystem::path>& folder,
               const ThawOptions& options)
    : manifest_(manifest),
      files_(files),
      numbers_(std::move(numbers)),
      taken_(std::move(taken)),
      output_(folder),
      options_(options),
      threads_(thread_count(options.threads)),
      reader_(files, manifest,
              std::max<unsigned>(1, threads_ / static_cast<unsigned>(numbers_.size()))) {}

Manifest Thawer::run() {
  for (const ModelRecord& model : manifest_.models) {
    for (const TensorRecord& tensor : model.tensors)
      stored_.emplace(std::pair(tensor.hash, tensor.extent.size), tensor.extent);
  }
  list_contents();
  std::vector<PlanContent> contents;
  for (const Source& source : contents_)
    contents.push_back({size_of(*source.tensor), std::nullopt, source.stored});
  plan_ =
      make_plan(planned_, contents, {}, {static_cast<uint32_t>(manifest_.blobs.size()), taken_});
  for (const PlanBlob& blob : plan_.blobs) total_ += blob.size;
  parallel_for(plan_.blobs.size(), threads_, [&](size_t b) { write_blob(b); });
  after_ = manifest_;
  write_models();
  files_.check_unchanged();
  output_.finish();
  std::set<std::string> thawed;
  for (const size_t number : numbers_) thawed.insert(manifest_.archived[number].name);
  std::erase_if(after_.archived,
                [&](const ArchivedRecord& model) { return thawed.contains(model.name); });
  drop_unneeded(manifest_, after_);
  return std::move(after_);
}

void Thawer::list_contents() {
  for (const size_t number : numbers_) {
    const ArchivedRecord& model = manifest_.archived[number];
    PlanModel& planned = planned_.emplace_back(PlanModel{model.name, {}});
    for (const OriginalTensor& tensor : model.tensors)
      planned.tensors.push_back({size_of(tensor), content_of(model, tensor), std::nullopt});
  }
}

uint32_t Thawer::content_of(const ArchivedRecord& model, const OriginalTensor& tensor) {
  const auto [at, is_new] =
      content_called_.try_emplace(identity_of(tensor), static_cast<uint32_t>(contents_.size()));
  if (is_new) contents_.push_back({model.name, &tensor, find_stored(model, tensor)});
  return at->second;
}

// Where models may read the tensor already. An archive is no place for that, but all other blobs
// are.
std::optional<Extent> Thawer::find_stored(const ArchivedRecord& model,
                                          const OriginalTensor& tensor) {
  if (tensor.extent && !manifest_.blobs[tensor.extent->blob].hash) return tensor.extent;
  const auto [first, last] = stored_.equal_range({tensor.hash, size_of(tensor)});
  for (auto at = first; at != last; ++at) {
    const Bytes bytes = files_.bytes(at->second);
    size_t offset = 0;
    bool equal = true;
    reader_.write_stored(model.name, tensor, [&](Bytes piece) {
      equal = equal && std::memcmp(bytes.data() + offset, piece.data(), piece.size()) == 0;
      offset += piece.size();
    });
    if (equal) return at->second;
  }
  return std::nullopt;
}

void Thawer::write_blob(size_t b) {
  const PlanBlob& blob = plan_.blobs[b];
  std::optional<OutputFile> file = output_.create(blob.file, blob.size);
  if (!file) return;
  for (const Placement& placement : blob.placements) {
    file->write_zeros(placement.offset - file->offset());
    const Source& source = contents_[placement.content];
    reader_.write_stored(source.owner, *source.tensor, [&](Bytes piece) {
      file->write(piece);
      if (options_.progress) options_.progress("thawing", done_ += piece.size(), total_);
    });
  }
  output_.take(std::move(file));
}

// Writes the models' files and what gives their originals back.
void Thawer::write_models() {
  std::vector<ModelRecord> models(numbers_.size());
  std::vector<std::string> packed(numbers_.size());
  for (const PlanBlob& blob : plan_.blobs) after_.blobs.push_back({blob.file, blob.size});
  parallel_for(models.size(), threads_, [&](size_t i) { models[i] = make_model(i, packed[i]); });
  after_.blobs.push_back({plan_.restore_file, 0});
  RestoreBlob restore(after_, output_);
  for (size_t i = 0; i < models.size(); ++i) {
    restore.add_record(packed[i], *models[i].source);
    after_.models.push_back(std::move(models[i]));
  }
  restore.close();
}

// Returns the record of model number `i`, and writes its file; `packed` becomes its restore record.
ModelRecord Thawer::make_model(size_t i, std::string& packed) const {
  const ArchivedRecord& archived = manifest_.archived[numbers_[i]];
  ModelRecord model;
  model.name = archived.name;
  model.source = archived.source;
  model.files = archived.files;
  for (size_t t = 0; t < archived.tensors.size(); ++t) {
    const OriginalTensor& tensor = archived.tensors[t];
    model.tensors.push_back({tensor.scope, tensor.name, tensor.shape, *plan_.extents[i][t],
                             tensor.hash, tensor.dtype, tensor.folded, tensor.turned});
  }
  const std::string graph = unpack_graph(archived, files_);
  const std::string bytes =
      relocate(graph, archived.name, [&](const ExternalReference& place) -> ExternalReference {
        if (place.file != kArchivedTensors || place.offset >= model.tensors.size() ||
            model.tensors[place.offset].extent.size != place.size) {
          throw Error(ErrorCode::kInvalid,
                      in_quotes(archived.name) + ": its archived graph names a tensor it has not",
                      kDamageHint);
        }
        const Extent& extent = model.tensors[place.offset].extent;
        return {after_.blobs[extent.blob].file, extent.offset, extent.size};
      });
  model.file = plan_.model_files[i];
  model.size = bytes.size();
  model.hash = content_hash(std::as_bytes(std::span(bytes)));
  output_.write(model.file, std::as_bytes(std::span(bytes)));
  RestoreRecord record =
      unpack_record(as_text(files_.bytes(archived.source->record)), graph, archived.source->size);
  model.source->blobs = blobs_of_gaps(manifest_, gaps_in(record));
  packed = pack_record(std::move(record), bytes);
  return model;
}

}  // namespace wshare

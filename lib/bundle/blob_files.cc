#include "bundle/blob_files.h"

#include <utility>

#include "format/layout.h"

namespace wshare {

TensorBlobs::TensorBlobs(const Plan& plan, const Contents& contents, const BundleOutput& output,
                         const ProgressFn& progress)
    : plan_(plan), contents_(contents), output_(output), progress_(progress) {
  for (const PlanBlob& blob : plan.blobs) to_write_ += blob.size;
}

void TensorBlobs::write(size_t b) const {
  const PlanBlob& blob = plan_.blobs[b];
  std::optional<OutputFile> file = output_.create(blob.file, blob.size);
  if (!file) return;
  for (const Placement& placement : blob.placements) {
    file->write_zeros(placement.offset - file->offset());
    const Bytes bytes = contents_.contents[placement.content].bytes;
    file->write(bytes);
    if (progress_) progress_("writing", written_ += bytes.size(), to_write_);
  }
  output_.take(std::move(file));
}

RestoreBlob::RestoreBlob(Manifest& manifest, const BundleOutput& output)
    : manifest_(manifest),
      output_(output),
      blob_(manifest.blobs.back()),
      file_(output.create(blob_.file)) {
  blob_.size = 0;
}

void RestoreBlob::add_record(const std::string& packed, SourceRecord& source) {
  const auto blob = static_cast<uint32_t>(manifest_.blobs.size() - 1);
  source.record = {blob, blob_.size, packed.size()};
  source.record_hash = content_hash(std::as_bytes(std::span(packed)));
  if (file_) file_->write(packed);
  blob_.size += packed.size();
}

void RestoreBlob::add_gap(const ExternalGap& gap) {
  const auto blob = static_cast<uint32_t>(manifest_.blobs.size() - 1);
  const uint64_t offset = align_up(blob_.size, kLineBytes);
  const Extent place = gap.stored.value_or(Extent{blob, offset, gap.bytes.size()});
  manifest_.gaps.push_back({place, gap.hash});
  if (gap.stored) return;
  if (file_) {
    file_->write_zeros(offset - blob_.size);
    file_->write(gap.bytes);
  }
  blob_.size = offset + gap.bytes.size();
}

void RestoreBlob::close() { output_.take(std::move(file_)); }

}  // namespace wshare

#include "restore/blob_reader.h"

#include <utility>

#include "format/derived_tensor.h"
#include "format/dtype.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using Bytes = std::span<const std::byte>;

constexpr char kVerifyHint[] = "'wshare verify' lists all damage";

}  // namespace

MappedFile open_sized(const std::filesystem::path& bundle, const std::string& name, uint64_t size) {
  MappedFile file = MappedFile::open(bundle / name);
  if (file.bytes().size() == size) return file;
  throw Error(ErrorCode::kInvalid,
              in_quotes(name) + ": has " + std::to_string(file.bytes().size()) +
                  " bytes, the manifest says " + std::to_string(size),
              kVerifyHint);
}

uint64_t size_of(const OriginalTensor& tensor) {
  return *byte_size(*find_dtype(tensor.dtype), tensor.shape);
}

BlobReader::BlobReader(std::filesystem::path bundle, const Manifest& manifest, unsigned threads)
    : bundle_(std::move(bundle)),
      manifest_(manifest),
      threads_(threads),
      blobs_(manifest.blobs.size()) {}

Bytes BlobReader::at(const Extent& extent) {
  std::optional<MappedFile>& blob = blobs_[extent.blob];
  const BlobRecord& record = manifest_.blobs[extent.blob];
  if (!blob) blob.emplace(open_sized(bundle_, record.file, record.size));
  return slice(blob->bytes(), extent);
}

Bytes BlobReader::bytes(const Extent& extent, const ContentHash& hash, const std::string& what) {
  const Bytes bytes = at(extent);
  if (content_hash(bytes, threads_) == hash) return bytes;
  throw Error(ErrorCode::kInvalid,
              in_quotes(manifest_.blobs[extent.blob].file) + ": " + what +
                  " is damaged: its bytes do not have the manifest's hash",
              kVerifyHint);
}

Bytes BlobReader::gap(const std::string& owner, uint64_t index) {
  if (index >= manifest_.gaps.size()) {
    throw Error(ErrorCode::kInvalid, in_quotes(owner) + ": its restore record names gap " +
                                         std::to_string(index) + ", there are " +
                                         std::to_string(manifest_.gaps.size()));
  }
  const GapRecord& gap = manifest_.gaps[static_cast<size_t>(index)];
  return bytes(gap.extent, gap.hash, "gap " + std::to_string(index));
}

void BlobReader::write_tensor(const std::string& owner, const OriginalTensor& tensor,
                              const ByteSink& write) {
  if (tensor.extent)
    return write(bytes(*tensor.extent, tensor.hash, "tensor " + in_quotes(tensor.name)));
  ContentHasher hasher;
  const auto pass_on = [&](Bytes piece) {
    hasher.update(piece);
    write(piece);
  };
  try {
    derive_tensor(
        tensor, [&](const Extent& extent) { return at(extent); }, pass_on);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalid) throw;
    throw Error(error.code(), in_quotes(owner) + ": " + error.what(), kVerifyHint);
  }
  if (!tensor.derivation->exact || hasher.digest() == tensor.hash) return;
  throw Error(ErrorCode::kInvalid,
              in_quotes(owner) + ": tensor " + in_quotes(tensor.name) +
                  " does not come back as it was: what it is computed from is damaged",
              kVerifyHint);
}

}  // namespace wshare

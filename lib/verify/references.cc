#include "verify/references.h"

#include <charconv>
#include <map>
#include <string>
#include <string_view>
#include <tuple>

#include "format/archived_graph.h"
#include "format/dtype.h"
#include "format/manifest/text.h"
#include "format/onnx_wire.h"
#include "format/packed_buffers.h"
#include "verify/claims.h"

namespace wshare {
namespace {

// Name, dtype, shape; the blob, -1 for a file that is none; offset and size as a model writes them.
using Reference =
    std::tuple<std::string, int32_t, std::vector<int64_t>, int64_t, std::string, std::string>;

Reference packed_reference(int64_t blob, uint64_t offset, uint64_t size) {
  return {kPackedWeight, 0, {}, blob, std::to_string(offset), std::to_string(size)};
}

std::vector<Damage> findings_of(const std::map<Reference, int>& balance, const std::string& file) {
  std::vector<Damage> findings;
  for (const auto& [reference, count] : balance) {
    if (count == 0) continue;
    findings.push_back({"reference", file, std::get<0>(reference),
                        count > 0 ? "the model refers to bytes that the manifest does not name"
                                  : "the manifest names it, the model does not refer to it so"});
  }
  return findings;
}

// What `reference` of an archived graph is: instead of a place, the hash of the tensor it names.
Reference archived_reference(const ArchivedRecord& model, const WireReference& reference) {
  size_t number = model.tensors.size();
  const char* const end = reference.offset.data() + reference.offset.size();
  std::from_chars(reference.offset.data(), end, number);
  const bool known = reference.location == kArchivedTensors && number < model.tensors.size();
  return {name_in_manifest(reference.name),
          reference.dtype,
          reference.shape,
          known ? 0 : -1,
          known ? to_hex(model.tensors[number].hash) : std::string(reference.location),
          std::string(reference.length)};
}

}  // namespace

BlobNumbers number_blobs(const Manifest& manifest) {
  BlobNumbers numbers;
  for (size_t b = 0; b < manifest.blobs.size(); ++b)
    numbers.emplace(manifest.blobs[b].file, static_cast<int64_t>(b));
  return numbers;
}

std::vector<Damage> find_wrong_references(const BlobNumbers& blobs, const ModelRecord& model,
                                          std::span<const BufferRecord> buffers,
                                          std::span<const std::byte> file) {
  std::map<Reference, int> balance;  // how often the model has it more than the manifest
  for (const WireTensor& tensor : find_wire_tensors(file).tensors) {
    const WireReference it = read_wire_reference(file, tensor);
    if (!it.external) continue;
    const auto known = blobs.find(it.location);
    const int64_t blob = known == blobs.end() ? -1 : known->second;
    ++balance[{name_in_manifest(it.name), it.dtype, it.shape, blob, std::string(it.offset),
               std::string(it.length)}];
    for (const std::string_view packed : it.packed) {
      move_packed_buffers(packed, [&](uint64_t offset, uint64_t size) {
        ++balance[packed_reference(blob, offset, size)];
        return offset;
      });
    }
  }
  for (const TensorRecord& tensor : model.tensors) {
    --balance[{name_in_manifest(tensor.name), tensor.dtype, tensor.shape,
               int64_t{tensor.extent.blob}, std::to_string(tensor.extent.offset),
               std::to_string(tensor.extent.size)}];
  }
  for (const BufferRecord& buffer : buffers) {
    const Extent& at = buffer.extent;
    --balance[packed_reference(at.blob, at.offset, at.size)];
  }
  return findings_of(balance, model.file);
}

std::vector<Damage> find_wrong_archived_references(const ArchivedRecord& model,
                                                   std::span<const std::byte> graph) {
  std::map<Reference, int> balance;
  for (const WireTensor& tensor : find_wire_tensors(graph).tensors) {
    const WireReference it = read_wire_reference(graph, tensor);
    if (it.external) ++balance[archived_reference(model, it)];
  }
  for (const OriginalTensor& tensor : model.tensors) {
    const uint64_t size = *byte_size(*find_dtype(tensor.dtype), tensor.shape);
    --balance[{name_in_manifest(tensor.name), tensor.dtype, tensor.shape, 0, to_hex(tensor.hash),
               std::to_string(size)}];
  }
  return findings_of(balance, "");
}

}  // namespace wshare

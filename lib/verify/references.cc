#include "verify/references.h"

#include <map>
#include <string>
#include <string_view>
#include <tuple>

#include "format/manifest/text.h"
#include "format/onnx_wire.h"
#include "format/packed_buffers.h"
#include "verify/claims.h"

namespace wshare {
namespace {

// Name, dtype, shape; location, offset and size as a model writes them.
using Reference =
    std::tuple<std::string, int32_t, std::vector<int64_t>, std::string, std::string, std::string>;

Reference packed_reference(std::string_view location, uint64_t offset, uint64_t size) {
  return {kPackedWeight,       0, {}, std::string(location), std::to_string(offset),
          std::to_string(size)};
}

}  // namespace

std::vector<Finding> find_wrong_references(const Manifest& manifest, const ModelRecord& model,
                                           std::span<const BufferRecord> buffers,
                                           std::span<const std::byte> file) {
  std::map<Reference, int> balance;  // how often the model has it more than the manifest
  for (const WireTensor& tensor : find_wire_tensors(file).tensors) {
    const WireReference it = read_wire_reference(file, tensor);
    if (!it.external) continue;
    ++balance[{name_in_manifest(it.name), it.dtype, it.shape, std::string(it.location),
               std::string(it.offset), std::string(it.length)}];
    for (const std::string_view packed : it.packed) {
      move_packed_buffers(packed, [&](uint64_t offset, uint64_t size) {
        ++balance[packed_reference(it.location, offset, size)];
        return offset;
      });
    }
  }
  for (const TensorRecord& tensor : model.tensors) {
    --balance[{name_in_manifest(tensor.name), tensor.dtype, tensor.shape,
               manifest.blobs[tensor.extent.blob].file, std::to_string(tensor.extent.offset),
               std::to_string(tensor.extent.size)}];
  }
  for (const BufferRecord& buffer : buffers) {
    const Extent& at = buffer.extent;
    --balance[packed_reference(manifest.blobs[at.blob].file, at.offset, at.size)];
  }
  std::vector<Finding> findings;
  for (const auto& [reference, count] : balance) {
    if (count == 0) continue;
    findings.push_back({"reference", model.file, std::get<0>(reference),
                        count > 0 ? "the model refers to bytes that the manifest does not name"
                                  : "the manifest names it, the model does not refer to it so"});
  }
  return findings;
}

}  // namespace wshare

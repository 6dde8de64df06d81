#include "pack/packed_tensors.h"

#include <onnx/onnx_pb.h>

#include <optional>

#include "format/dtype.h"
#include "format/packed_buffers.h"
#include "model/externalize.h"
#include "model/tensor_sites.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

// Returns the tensor of `model` that lies at `place`.
const TensorRecord& find_stored(const ModelRecord& model, const Manifest& manifest,
                                const ExternalReference& place) {
  for (const TensorRecord& tensor : model.tensors) {
    if (manifest.blobs[tensor.extent.blob].file == place.file &&
        tensor.extent.offset == place.offset && tensor.extent.size == place.size)
      return tensor;
  }
  throw Error(ErrorCode::kUnsupported, "the optimised model refers to " + in_quotes(place.file));
}

}  // namespace

std::vector<PackedTensor> find_tensors(const OptimisedModel& optimised, const ModelRecord& model,
                                       const Manifest& manifest, unsigned threads) {
  std::vector<PackedTensor> tensors;
  Skeleton skeleton = optimised.model.skeleton();
  const auto add = [&](PackedTensor& tensor, uint64_t offset, uint64_t size) {
    const Bytes weights = optimised.weights.bytes();
    if (offset > weights.size() || size > weights.size() - offset) {
      throw Error(ErrorCode::kIo,
                  in_quotes(optimised.weights.path().string()) +
                      ": ONNX Runtime did not write all of it: is the disk full?",
                  "TMPDIR says where temporary files go");
    }
    const Bytes bytes = weights.subspan(static_cast<size_t>(offset), static_cast<size_t>(size));
    tensor.contents.push_back({bytes, content_hash(bytes, threads)});
    tensor.places.emplace_back(offset, size);
  };
  visit_tensors(skeleton.model(), [&](const TensorSite& site) {
    if (site.tensor->data_location() != onnx::TensorProto::EXTERNAL) return;
    const ExternalReference place = read_external(*site.tensor);
    PackedTensor& tensor = tensors.emplace_back();
    tensor.record.scope = site.scope;
    tensor.record.name = site.tensor->name();
    tensor.record.shape =
        std::vector<int64_t>(site.tensor->dims().begin(), site.tensor->dims().end());
    const std::optional<Dtype> dtype = find_dtype(site.tensor->data_type());
    if (!dtype || byte_size(*dtype, tensor.record.shape) != place.size)
      throw Error(ErrorCode::kUnsupported, in_quotes(site.name) + ": has a type of unknown size");
    tensor.record.dtype = dtype->code;
    if (place.file != kWeightsName) {
      const TensorRecord& stored = find_stored(model, manifest, place);
      tensor.record.extent = stored.extent;
      tensor.record.hash = stored.hash;
      return;
    }
    add(tensor, place.offset, place.size);
    for (const onnx::StringStringEntryProto& entry : site.tensor->external_data()) {
      if (!entry.key().starts_with(kPackedKey)) continue;
      move_packed_buffers(entry.value(), [&](uint64_t at, uint64_t bytes) {
        add(tensor, at, bytes);
        return at;
      });
    }
  });
  return tensors;
}

void place_contents(std::vector<PackedTensor>& tensors, PackContents& contents) {
  std::vector<PackedTensor*> fresh;
  for (PackedTensor& tensor : tensors) {
    if (tensor.contents.empty()) continue;
    if (contents.find(tensor.contents, tensor.contents.size() > 1)) continue;
    fresh.push_back(&tensor);
    contents.add(tensor.contents.front());
  }
  for (PackedTensor* tensor : fresh) {
    for (size_t i = 1; i < tensor->contents.size(); ++i) contents.add(tensor->contents[i]);
  }
}

}  // namespace wshare

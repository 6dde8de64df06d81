// What verify, pack and the loader read of a bundle's models and packs without protobuf, as
// [mode][bytes]. Their manifest is one with tensors of common names.

#include "format/foreign_file.h"
#include "format/manifest/manifest.h"
#include "format/onnx_wire.h"
#include "format/packed_buffers.h"
#include "fuzz/fuzz.h"
#include "verify/references.h"
#ifdef WSHARE_FUZZ_RUNTIME
#include "run/ranges.h"
#include "runtime/handover.h"
#endif

using namespace wshare;
using namespace wshare::fuzz;

namespace {

Manifest make_manifest() {
  Manifest manifest;
  manifest.blobs.push_back({"b.bin", 1 << 20});
  ModelRecord model;
  model.name = "m";
  model.file = "m.onnx";
  for (const char* name : {"w", "W", "weight", "embed", "b", "shape"}) {
    TensorRecord tensor;
    tensor.name = name;
    tensor.dtype = 1;
    tensor.shape = std::vector<int64_t>{128, 256};
    tensor.extent = {0, 0, 131072};
    model.tensors.push_back(tensor);
  }
  manifest.models.push_back(model);
  return manifest;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Manifest manifest = make_manifest();
  static const BlobNumbers blobs = number_blobs(manifest);
  const ModelRecord& model = manifest.models[0];
  Input input(data, size);
  const uint8_t mode = input.byte() % 6;
  const Exact file(input.rest());
  accepts([&] {
    if (mode == 0) find_wrong_references(blobs, model, {}, file.bytes());
    if (mode == 1) move_packed_buffers(file.text(), [](uint64_t at, uint64_t) { return at; });
    if (mode == 2) find_kind(file.bytes());
    if (mode == 3) {
      for (const WireTensor& tensor : find_wire_tensors(file.bytes()).tensors)
        accepts([&] { read_wire_reference(file.bytes(), tensor); });
    }
#ifdef WSHARE_FUZZ_RUNTIME
    if (mode == 4) plan_handover(manifest.blobs, model, file.bytes());
    if (mode == 5) find_row_limits(file.bytes(), {"x", "ids", "input", "input_ids"});
#endif
  });
  return 0;
}

#pragma once

#include <onnxruntime_cxx_api.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "format/manifest/manifest.h"
#include "format/named_tensor.h"
#include "runtime/bundle_state.h"
#include "runtime/handover.h"
#include "wshare/runtime.h"

namespace wshare {

// What a session points into. Values go first, what they lie in after them.
struct KeepAlive {
  std::vector<std::shared_ptr<const void>> owners;
  std::vector<Ort::Value> values;
};

// Returns the numbers of the blobs that `record` has tensors in, each once.
std::vector<uint32_t> blobs_of(const ModelRecord& record);

// Throws Error(kIo) if one of them is missing.
void require_blobs(const BundleState& bundle, const ModelRecord& model);

// The release of ONNX Runtime from which on it uses the bytes of files in memory in place. Before,
// it copied all of them (measured: 1.31, 10 MiB instead of 0.3 a session).
inline constexpr unsigned kTakesInPlace = 32;

// The entry of a session's options that makes it do so.
inline constexpr char kTakeInPlaceEntry[] =
    "session.use_external_initializer_file_buffers_directly";

// Makes sessions with `ort` write to options.log, if there is one; kept alive by `keep_alive`.
void attach_log(const SessionOptions& options, Ort::SessionOptions& ort, KeepAlive& keep_alive);

// Returns a value of the type and shape of `tensor` over `bytes` of `memory`, which must outlive
// it and have the size of its extent.
Ort::Value wrap(const TensorRecord& tensor, const OrtMemoryInfo* memory, const std::byte* bytes);

// The same for a tensor that is no record, of the bytes that its type and shape need.
Ort::Value wrap(const NamedTensor& tensor, const OrtMemoryInfo* memory, const std::byte* bytes);

// Gives ONNX Runtime the bundle's maps for the tensors of `record` that it loads itself, where its
// release takes them in place; else it maps them one by one. Returns how many it still maps.
uint64_t lend_blobs(const BundleState& bundle, const ModelRecord& record, const Handover& handover,
                    Ort::SessionOptions& ort);

// Makes a session of the model at `path`, over `packed` if the options let it pack and ONNX Runtime
// allows it; returns whether they did.
bool create_session(const std::filesystem::path& path, const Ort::SessionOptions& options,
                    Tier tier, Ort::PrepackedWeightsContainer& packed, Ort::Session& session);

// Returns what a session of `record` shares when all of `handover` is shared.
ModelReport make_report(const ModelRecord& record, const Handover& handover);

}  // namespace wshare

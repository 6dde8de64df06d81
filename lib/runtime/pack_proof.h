#pragma once

#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <filesystem>
#include <string>

namespace wshare {

// The sizes of a pack.
struct PackBytes {
  uint64_t packed = 0;  // of what kernels made of weights, each range once
  uint64_t own = 0;     // PackRecord::own_bytes
  uint64_t file = 0;    // of the optimised model
};

// Makes a session over the optimised model at `model`, and returns why its pack is of no use, or
// "": ONNX Runtime refuses it, or the session holds copies of what is packed.
//
// What the session's arena has given out tells. Where it has none of its own, the memory of the
// process does (others should make no sessions meanwhile), but not of packs under 8 MiB: then
// `unknown` is returned. Where that is empty, such a pack is of use whatever the session holds.
std::string make_proven(const std::filesystem::path& model, const PackBytes& bytes,
                        const std::string& unknown, const Ort::SessionOptions& options,
                        Ort::Session& session);

// The same without a look: for a pack that was proven before.
std::string make_unproven(const std::filesystem::path& model, const Ort::SessionOptions& options,
                          Ort::Session& session);

}  // namespace wshare

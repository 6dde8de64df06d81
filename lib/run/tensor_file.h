#pragma once

#include <onnxruntime_cxx_api.h>

#include <filesystem>

namespace wshare {

// Returns the tensor in `path`, which owns its memory: a TensorProto (.pb, as in the onnx test
// data) or a NumPy array (.npy: little-endian, C order).
//
// Throws Error(kIo) if the file cannot be read, Error(kInvalid) if it is damaged,
// Error(kUnsupported) for strings and external data. Source: onnx.proto3, TensorProto;
// numpy.lib.format, versions 1 to 3.
Ort::Value read_tensor_file(const std::filesystem::path& path);

}  // namespace wshare

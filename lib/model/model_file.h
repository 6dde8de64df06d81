#pragma once

#include <filesystem>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "format/onnx_wire.h"
#include "util/mapped_file.h"

namespace google::protobuf {
class Arena;
}

namespace onnx {
class ModelProto;
class TensorProto;
}  // namespace onnx

namespace wshare {

// Protobuf reads and writes no longer message.
inline constexpr uint64_t kMostMessageBytes = std::numeric_limits<int>::max();

// A parsed model without tensor bytes; movable. Its messages lie in one arena: a graph is thousands
// of small ones, and to free each alone took longer than to parse them.
class Skeleton {
 public:
  Skeleton();
  Skeleton(Skeleton&&) noexcept;
  Skeleton& operator=(Skeleton&&) = delete;
  ~Skeleton();

  onnx::ModelProto& model() { return *model_; }
  const onnx::ModelProto& model() const { return *model_; }

 private:
  std::unique_ptr<google::protobuf::Arena> arena_;
  onnx::ModelProto* model_;  // in arena_
};

// One ONNX file: mapped, with the places of all its tensors. Tensor bytes stay in the map.
class ModelFile {
 public:
  // Maps the model at `path` and walks its tensors.
  //
  // Throws Error(kIo) if it cannot be read, Error(kInvalid) if it is no ONNX model; messages name
  // the file.
  static ModelFile load(const std::filesystem::path& path);
  static ModelFile load(MappedFile file);

  // Returns the model without tensor bytes, parsed anew at each call.
  //
  // Every TensorProto that had bytes carries its number in wire().tensors as an unknown field; see
  // cut_marks() and put_back(). Throws Error(kInvalid) if protobuf cannot parse it or it has no
  // graph, Error(kUnsupported) if it has more than kMostMessageBytes.
  Skeleton skeleton() const;

  const MappedFile& file() const { return file_; }
  const WireTensors& wire() const { return wire_; }

 private:
  ModelFile(MappedFile file, WireTensors wire) : file_(std::move(file)), wire_(std::move(wire)) {}

  MappedFile file_;
  WireTensors wire_;
};

// Returns the numbers in ModelFile::wire().tensors that make up `tensor`: one, or more where a
// writer split the message. None for a tensor without bytes.
std::vector<uint32_t> cut_marks(const onnx::TensorProto& tensor);

// Removes the marks from `tensor`.
void clear_cut_marks(onnx::TensorProto& tensor);

// Returns how many bytes of the file put_back() would put into `tensor`.
uint64_t inline_bytes(const ModelFile& model, const onnx::TensorProto& tensor);

// Puts the bytes of `tensor` back into it, in the fields where `model` had them, and removes the
// marks. Throws Error(kUnsupported) if they are more than kMostMessageBytes, Error(kInvalid) if
// protobuf cannot parse them.
void put_back(const ModelFile& model, onnx::TensorProto& tensor);

}  // namespace wshare

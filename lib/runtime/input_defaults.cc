#include "runtime/input_defaults.h"

#include <algorithm>
#include <cstring>

#include "format/dtype.h"
#include "format/onnx_wire.h"
#include "format/typed_fields.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

[[noreturn]] void refuse(ErrorCode code, const WireReference& tensor, const std::string& why) {
  throw Error(code, "the default of input " + in_quotes(tensor.name) + " " + why);
}

// True for an initializer of the main graph: nothing but the graph stands around it in the model.
bool is_main_initializer(const WireTensors& tensors, const WireTensor& tensor) {
  const size_t graph = tensors.parents.at(tensor.parent).up;
  return graph != kNoParent && tensors.parents.at(graph).up == kNoParent;
}

// Bytes that do not lie in the model as they are come to lie in `decoded`.
std::span<const std::byte> inline_bytes(std::span<const std::byte> model, const WireTensor& tensor,
                                        const WireReference& reference,
                                        std::vector<std::byte>& decoded) {
  const std::optional<Dtype> dtype = find_dtype(reference.dtype);
  if (!dtype) return {};
  return read_values(model, tensor.payloads, *dtype,
                     [&](size_t size) -> std::span<std::byte> {
                       decoded.resize(size);
                       return decoded;
                     })
      .bytes;
}

std::span<const std::byte> external_bytes(const WireReference& reference, const ModelRecord& record,
                                          const BytesOf& bytes_of) {
  for (const TensorRecord& tensor : record.tensors) {
    if (!tensor.scope.empty() || tensor.name != reference.name) continue;
    return bytes_of(tensor.extent);
  }
  refuse(ErrorCode::kInvalid, reference, "lies in a file, but not in the manifest");
}

Ort::Value copy_of(const WireReference& reference, std::span<const std::byte> bytes) {
  const std::optional<Dtype> dtype = find_dtype(reference.dtype);
  const std::optional<uint64_t> size =
      dtype && dtype->bits > 0 ? byte_size(*dtype, reference.shape) : std::optional<uint64_t>();
  if (!size || *size != bytes.size()) {
    refuse(ErrorCode::kInvalid, reference,
           "has " + std::to_string(bytes.size()) + " bytes, type and shape need " +
               (size ? std::to_string(*size) : "others"));
  }
  const Ort::AllocatorWithDefaultOptions heap;
  Ort::Value value =
      Ort::Value::CreateTensor(heap, reference.shape.data(), reference.shape.size(),
                               static_cast<ONNXTensorElementDataType>(reference.dtype));
  if (!bytes.empty()) std::memcpy(value.GetTensorMutableRawData(), bytes.data(), bytes.size());
  return value;
}

}  // namespace

std::map<std::string, Ort::Value> read_defaults(std::span<const std::byte> model,
                                                const ModelRecord& record, const BytesOf& bytes_of,
                                                const std::set<std::string>& names) {
  std::map<std::string, Ort::Value> defaults;
  if (names.empty()) return defaults;
  const WireTensors tensors = find_wire_tensors(model);
  for (const WireTensor& tensor : tensors.tensors) {
    if (!is_main_initializer(tensors, tensor)) continue;
    const WireReference reference = read_wire_reference(model, tensor);
    std::string name(reference.name);
    if (!names.contains(name)) continue;
    std::vector<std::byte> decoded;
    const std::span<const std::byte> bytes = reference.external
                                                 ? external_bytes(reference, record, bytes_of)
                                                 : inline_bytes(model, tensor, reference, decoded);
    defaults.insert_or_assign(std::move(name), copy_of(reference, bytes));
  }
  return defaults;
}

}  // namespace wshare

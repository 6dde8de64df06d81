#include "runtime/empty_inputs.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "format/onnx_wire.h"
#include "util/wire.h"

namespace wshare {
namespace {

constexpr uint32_t kModelGraph = 7, kGraphInput = 11, kValueName = 1;

// Source: onnx.proto3, GraphProto, ValueInfoProto.
std::set<std::string_view> read_input_names(std::span<const std::byte> model) {
  std::set<std::string_view> names;
  WireReader fields(model, 0, model.size());
  while (const auto graph = fields.next()) {
    if (graph->number != kModelGraph || graph->type != WireType::kBytes) continue;
    WireReader parts(model, graph->payload, graph->end());
    while (const auto input = parts.next()) {
      if (input->number != kGraphInput || input->type != WireType::kBytes) continue;
      WireReader words(model, input->payload, input->end());
      while (const auto word = words.next()) {
        if (word->number == kValueName) names.insert(text_of(model, *word));
      }
    }
  }
  return names;
}

bool is_empty(const std::vector<int64_t>& shape) {
  return std::count(shape.begin(), shape.end(), 0) > 0;
}

std::vector<int64_t> filled(std::vector<int64_t> shape) {
  std::replace(shape.begin(), shape.end(), int64_t{0}, int64_t{1});
  return shape;
}

}  // namespace

std::vector<NamedTensor> empty_inputs(std::span<const std::byte> model) {
  const std::set<std::string_view> inputs = read_input_names(model);
  std::vector<NamedTensor> tensors;
  for (const WireTensor& tensor : find_wire_tensors(model).tensors) {
    WireReference reference = read_wire_reference(model, tensor);
    if (!is_empty(reference.shape) || !inputs.contains(reference.name)) continue;
    tensors.push_back(
        {std::string(reference.name), reference.dtype, std::move(reference.shape), {}});
  }
  return tensors;
}

std::vector<std::byte> fill_empty(std::vector<NamedTensor>& tensors) {
  std::vector<NamedTensor*> empty;
  size_t largest = 0;
  for (NamedTensor& tensor : tensors) {
    if (!is_empty(tensor.shape)) continue;
    tensor.shape = filled(std::move(tensor.shape));
    largest = std::max(largest, static_cast<size_t>(needed_bytes(tensor)));
    empty.push_back(&tensor);
  }
  std::vector<std::byte> zeros(largest);
  for (NamedTensor* tensor : empty)
    tensor->bytes = std::span(zeros).first(static_cast<size_t>(needed_bytes(*tensor)));
  return zeros;
}

Ort::Value fill_empty(Ort::Value value) {
  const auto type = value.GetTensorTypeAndShapeInfo();
  if (!is_empty(type.GetShape())) return value;
  const std::vector<int64_t> shape = filled(type.GetShape());
  const Ort::AllocatorWithDefaultOptions heap;
  Ort::Value zeros =
      Ort::Value::CreateTensor(heap, shape.data(), shape.size(), type.GetElementType());
  std::memset(zeros.GetTensorMutableRawData(), 0, zeros.GetTensorSizeInBytes());
  return zeros;
}

}  // namespace wshare

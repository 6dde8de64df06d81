#include "export/triton_config.h"

#include <onnx/onnx_pb.h>

#include <array>
#include <set>

#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using onnx::TensorProto;

const char* type_name(int32_t type) {
  switch (type) {
    case TensorProto::FLOAT:
      return "TYPE_FP32";
    case TensorProto::UINT8:
      return "TYPE_UINT8";
    case TensorProto::INT8:
      return "TYPE_INT8";
    case TensorProto::UINT16:
      return "TYPE_UINT16";
    case TensorProto::INT16:
      return "TYPE_INT16";
    case TensorProto::INT32:
      return "TYPE_INT32";
    case TensorProto::INT64:
      return "TYPE_INT64";
    case TensorProto::STRING:
      return "TYPE_STRING";
    case TensorProto::BOOL:
      return "TYPE_BOOL";
    case TensorProto::FLOAT16:
      return "TYPE_FP16";
    case TensorProto::DOUBLE:
      return "TYPE_FP64";
    case TensorProto::UINT32:
      return "TYPE_UINT32";
    case TensorProto::UINT64:
      return "TYPE_UINT64";
    default:
      return nullptr;
  }
}

// A text of protobuf's text format: what is no plain ASCII as three octal digits.
std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (byte < 0x20 || byte > 0x7e) {
      for (const int shift : {6, 3, 0}) {
        if (shift == 6) result += '\\';
        result += static_cast<char>('0' + (byte >> shift & 7));
      }
    } else {
      result += c;
    }
  }
  return result + '"';
}

[[noreturn]] void fail(const std::string& model, const std::string& value,
                       const std::string& what) {
  throw Error(ErrorCode::kUnsupported, in_quotes(model) + ": " + in_quotes(value) + ": " + what);
}

std::string value_text(const std::string& model, const onnx::ValueInfoProto& value) {
  if (!value.type().has_tensor_type())
    fail(model, value.name(), "is no tensor, and Triton has others not");
  const onnx::TypeProto::Tensor& tensor = value.type().tensor_type();
  const char* const type = type_name(tensor.elem_type());
  if (type == nullptr) {
    fail(model, value.name(),
         "has elements of type " + std::to_string(tensor.elem_type()) +
             " of ONNX, which Triton does not know");
  }
  if (!tensor.has_shape()) fail(model, value.name(), "has no shape, and Triton needs its rank");
  std::string dims;
  for (const onnx::TensorShapeProto::Dimension& dim : tensor.shape().dim()) {
    const int64_t size = dim.has_dim_value() && dim.dim_value() > 0 ? dim.dim_value() : -1;
    dims += (dims.empty() ? " " : ", ") + std::to_string(size);
  }
  // A scalar: Triton takes no empty dims, but gives the backend what `reshape` says.
  const bool is_scalar = tensor.shape().dim_size() == 0;
  return "  {\n    name: " + quoted(value.name()) + "\n    data_type: " + type + "\n    dims: [" +
         (is_scalar ? " 1" : dims) + " ]\n" + (is_scalar ? "    reshape { shape: [ ] }\n" : "") +
         "  }";
}

}  // namespace

std::string to_pbtxt(const TritonConfig& config, const onnx::GraphProto& graph) {
  std::set<std::string> given(config.not_inputs.begin(), config.not_inputs.end());
  for (const TensorProto& tensor : graph.initializer()) given.insert(tensor.name());
  std::string text = "name: " + quoted(config.name) + "\nbackend: " + quoted(config.backend) + "\n";
  if (!config.model_file.empty())
    text += "default_model_filename: " + quoted(config.model_file) + "\n";
  text += "max_batch_size: 0\n";
  const auto add = [&](const char* list, const auto& values) {
    std::string items;
    for (const onnx::ValueInfoProto& value : values) {
      if (given.contains(value.name())) continue;
      items += (items.empty() ? "" : ",\n") + value_text(config.name, value);
    }
    if (!items.empty()) text += std::string(list) + " [\n" + items + "\n]\n";
  };
  add("input", graph.input());
  given.clear();  // an output may be an initializer
  add("output", graph.output());
  text += "instance_group [ { kind: KIND_CPU count: " + std::to_string(config.instances) + " } ]\n";
  // Of ONNX Runtime's backend: all optimisation off.
  if (config.is_optimised) text += "optimization { graph { level: 2 } }\n";
  for (const auto& [key, value] : config.parameters) {
    text +=
        "parameters { key: " + quoted(key) + " value: { string_value: " + quoted(value) + " } }\n";
  }
  return text;
}

}  // namespace wshare

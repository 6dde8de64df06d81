#include "compare/interfaces.h"

#include <onnx/onnx_pb.h>

#include <map>
#include <set>

#include "format/dtype.h"
#include "util/text.h"

namespace wshare {
namespace {

using Values = google::protobuf::RepeatedPtrField<onnx::ValueInfoProto>;
using Types = std::map<std::string, const onnx::TypeProto*>;

std::string shape_text(const onnx::TensorShapeProto& shape) {
  std::string text = "[";
  for (const onnx::TensorShapeProto::Dimension& dim : shape.dim()) {
    if (text.size() > 1) text += ",";
    text += dim.has_dim_value()   ? std::to_string(dim.dim_value())
            : dim.has_dim_param() ? dim.dim_param()
                                  : "?";
  }
  return text + "]";
}

// Inputs with a default need not be fed, and exporters that write them write all weights so.
Types types_of(const Values& values, const onnx::GraphProto& graph) {
  std::set<std::string> defaults;
  for (const onnx::TensorProto& tensor : graph.initializer()) defaults.insert(tensor.name());
  Types types;
  for (const onnx::ValueInfoProto& value : values) {
    if (defaults.count(value.name()) == 0) types[value.name()] = &value.type();
  }
  return types;
}

bool is_fixed(const onnx::TensorShapeProto::Dimension& dim) { return dim.has_dim_value(); }

bool may_stand_for(const onnx::TypeProto& a, const onnx::TypeProto& b) {
  if (a.value_case() != b.value_case()) return false;
  if (!a.has_tensor_type()) return a.SerializeAsString() == b.SerializeAsString();
  const onnx::TypeProto::Tensor& in_a = a.tensor_type();
  const onnx::TypeProto::Tensor& in_b = b.tensor_type();
  if (in_a.elem_type() != in_b.elem_type()) return false;
  if (!in_a.has_shape()) return true;
  if (!in_b.has_shape() || in_a.shape().dim_size() != in_b.shape().dim_size()) return false;
  for (int i = 0; i < in_a.shape().dim_size(); ++i) {
    const auto& dim_a = in_a.shape().dim(i);
    const auto& dim_b = in_b.shape().dim(i);
    if (!is_fixed(dim_a)) continue;
    if (!is_fixed(dim_b) || dim_a.dim_value() != dim_b.dim_value()) return false;
  }
  return true;
}

void compare(const std::string& what, const Types& a, const Types& b,
             std::vector<std::string>& reasons) {
  for (const auto& [name, type] : b) {
    const auto in_a = a.find(name);
    if (in_a == a.end()) {
      reasons.push_back("has " + what + " " + in_quotes(name) + " more: " + type_text(*type));
    } else if (!may_stand_for(*in_a->second, *type)) {
      reasons.push_back("has " + what + " " + in_quotes(name) + " as " + type_text(*type) +
                        ", not as " + type_text(*in_a->second));
    }
  }
  for (const auto& [name, type] : a) {
    if (b.count(name) == 0) reasons.push_back("lacks " + what + " " + in_quotes(name));
  }
}

std::map<std::string, int64_t> opsets_of(const onnx::ModelProto& model) {
  std::map<std::string, int64_t> opsets;
  for (const onnx::OperatorSetIdProto& opset : model.opset_import()) {
    opsets[opset.domain().empty() ? "ai.onnx" : opset.domain()] = opset.version();
  }
  return opsets;
}

}  // namespace

std::string type_text(const onnx::TypeProto& type) {
  if (!type.has_tensor_type()) return type.value_case() == 0 ? "untyped" : "no plain tensor";
  const std::optional<Dtype> dtype = find_dtype(type.tensor_type().elem_type());
  const std::string name =
      dtype ? std::string(dtype->name) : "type " + std::to_string(type.tensor_type().elem_type());
  return name + (type.tensor_type().has_shape() ? shape_text(type.tensor_type().shape()) : "");
}

std::map<std::string, std::string> find_renamed_outputs(const onnx::ModelProto& a,
                                                        const onnx::ModelProto& b) {
  const Values &of_a = a.graph().output(), &of_b = b.graph().output();
  std::map<std::string, std::string> renamed;
  if (of_a.size() != of_b.size()) return renamed;
  const Types named_a = types_of(of_a, {}), named_b = types_of(of_b, {});
  for (int i = 0; i < of_b.size(); ++i) {
    const bool known = named_a.count(of_b[i].name()) != 0 || named_b.count(of_a[i].name()) != 0;
    if (!known && may_stand_for(of_a[i].type(), of_b[i].type()))
      renamed[of_b[i].name()] = of_a[i].name();
  }
  return renamed;
}

void compare_interfaces(const onnx::ModelProto& a, const onnx::ModelProto& b,
                        const std::map<std::string, std::string>& renamed,
                        std::vector<std::string>& reasons) {
  compare("input", types_of(a.graph().input(), a.graph()), types_of(b.graph().input(), b.graph()),
          reasons);
  Types outputs_a = types_of(a.graph().output(), {}), outputs_b = types_of(b.graph().output(), {});
  for (const auto& [in_b, in_a] : renamed) {
    outputs_b.erase(in_b);
    outputs_a.erase(in_a);
  }
  compare("output", outputs_a, outputs_b, reasons);
}

void compare_opsets(const onnx::ModelProto& a, const onnx::ModelProto& b,
                    std::vector<std::string>& notes) {
  const std::map<std::string, int64_t> in_a = opsets_of(a);
  for (const auto& [domain, version] : opsets_of(b)) {
    const auto other = in_a.find(domain);
    if (other != in_a.end() && other->second == version) continue;
    notes.push_back("imports opset " + std::to_string(version) + " of " + domain +
                    (other == in_a.end() ? "" : ", not " + std::to_string(other->second)));
  }
}

}  // namespace wshare

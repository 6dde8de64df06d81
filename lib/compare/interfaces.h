#pragma once

#include <string>
#include <vector>

namespace onnx {
class ModelProto;
class TypeProto;
}  // namespace onnx

namespace wshare {

// Returns a type as people write it: "float32[batch,128]".
std::string type_text(const onnx::TypeProto& type);

// Says where `b` cannot be fed, or does not answer, as `a` is and does: inputs and outputs by name,
// type and shape. A free dimension of a fits all of b. Texts as GraphChanges::reasons.
void compare_interfaces(const onnx::ModelProto& a, const onnx::ModelProto& b,
                        std::vector<std::string>& reasons);

// Says which opset imports differ.
void compare_opsets(const onnx::ModelProto& a, const onnx::ModelProto& b,
                    std::vector<std::string>& notes);

}  // namespace wshare

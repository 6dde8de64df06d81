#pragma once

#include <map>
#include <string>
#include <vector>

namespace onnx {
class ModelProto;
class TypeProto;
}  // namespace onnx

namespace wshare {

// Returns a type as people write it: "float32[batch,128]".
std::string type_text(const onnx::TypeProto& type);

// Returns the outputs of `b` that may be `a`'s under other names, as exporters number them: each
// stands where `a` has one that `b` does not name, of a type and shape that fit. a's names by b's.
std::map<std::string, std::string> find_renamed_outputs(const onnx::ModelProto& a,
                                                        const onnx::ModelProto& b);

// Says where `b` cannot be fed, or does not answer, as `a` is and does: inputs and outputs by name,
// but for those `renamed`, type and shape. A free dimension of a fits all of b. Texts as
// GraphChanges::reasons.
void compare_interfaces(const onnx::ModelProto& a, const onnx::ModelProto& b,
                        const std::map<std::string, std::string>& renamed,
                        std::vector<std::string>& reasons);

// Says which opset imports differ.
void compare_opsets(const onnx::ModelProto& a, const onnx::ModelProto& b,
                    std::vector<std::string>& notes);

}  // namespace wshare

#pragma once

#include <string_view>

namespace wshare {

// The smallest model: y = Identity(x), two floats without a shape.
// Source: onnx.proto3, ModelProto.
inline constexpr std::string_view kSmallestModel(
    "\x08\x08"                                    // ir_version 8
    "\x3a\x2b"                                    // graph, 43 bytes:
    "\x0a\x10\x0a\x01x\x12\x01y\x22\x08Identity"  // node, with input, output, op_type
    "\x12\x01g"                                   // name
    "\x5a\x09\x0a\x01x\x12\x04\x0a\x02\x08\x01"   // input of float
    "\x62\x09\x0a\x01y\x12\x04\x0a\x02\x08\x01"   // output of float
    "\x42\x02\x10\x11",                           // opset 17
    51);

}  // namespace wshare

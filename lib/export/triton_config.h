#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace onnx {
class GraphProto;
}  // namespace onnx

namespace wshare {

// config.pbtxt of one model of a Triton server: model_config.proto of its "common" repository, in
// protobuf's text format.
struct TritonConfig {
  std::string name, backend;
  std::string model_file = {};  // empty: the backend knows
  bool is_optimised = false;    // the file is: the server's runtime should not do it again
  uint32_t instances = 1;
  std::vector<std::pair<std::string, std::string>> parameters = {};
  std::vector<std::string> not_inputs = {};  // inputs of the graph that no request gives
};

// Returns the text of `config` for a model of this graph: all its inputs that have no value of
// their own, and its outputs.
//
// Throws Error(kUnsupported) if one is no tensor, has no shape or elements that Triton does not
// know.
std::string to_pbtxt(const TritonConfig& config, const onnx::GraphProto& graph);

}  // namespace wshare

// What ONNX Runtime says in 2,000 characters, said in a line.

#include "short_message.h"

#include <gtest/gtest.h>

namespace wshare::test {
namespace {

TEST(ShortMessage, SaysWhichNodeAndWhy) {
  struct Case {
    const char* name;
    std::string message, expected;
  };
  const std::string place =
      "/onnxruntime_src/onnxruntime/core/providers/cpu/tensor/reshape_helper.h:47 "
      "onnxruntime::ReshapeHelper::ReshapeHelper(const onnxruntime::TensorShape&, "
      "std::function<void (int)>, bool) [with T = float] ";
  for (const Case& c :
       {Case{"nested nodes",
             "'m': Non-zero status code returned while running If node. Name:'If_0' Status "
             "Message: Non-zero status code returned while running Pad node. Name:'stft/Pad' "
             "Status Message: post-pad (32) exceeds maximum allowed (7) (with made-up inputs)",
             "'m': Pad node 'stft/Pad': post-pad (32) exceeds maximum allowed (7) (with made-up "
             "inputs)"},
        Case{"a place in the source",
             "'m': Non-zero status code returned while running Reshape node. Name:'' Status "
             "Message: " +
                 place + "size was false. {1,8} cannot be reshaped",
             "'m': Reshape node: size was false. {1,8} cannot be reshaped"},
        Case{"no node",
             "'m': Load model from a.onnx failed:/src/core/graph/model.cc:181 "
             "onnxruntime::Model::Model(onnx::ModelProto&&, const Logger&) const Unknown format",
             "'m': Load model from a.onnx failed: Unknown format"},
        Case{"ours", "'m': input 'x' has no shape", "'m': input 'x' has no shape"},
        Case{"a file of the user's", "'a.cc:1 (x) y': no such file",
             "'a.cc:1 (x) y': no such file"},
        Case{"a place without an end", "/src/a.cc:12 f(int", "/src/a.cc:12 f(int"},
        Case{"half of a status", "Non-zero status code returned while running Pad node. Name:'",
             "Non-zero status code returned while running Pad node. Name:'"}}) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(short_message(c.message), c.expected);
  }
}

TEST(ShortMessage, HasAnEnd) {
  const std::string nodes =
      "Non-zero status code returned while running Pad node. Name:'n' Status Message: ";
  EXPECT_EQ(short_message(nodes + std::string(3000, 'x')).size(), 200u);
  EXPECT_EQ(short_message(std::string(300, 'x')).size(), 300u);
  EXPECT_EQ(short_message(std::string(3000, 'x')).size(), 400u);
}

}  // namespace
}  // namespace wshare::test

#include "model/externalize.h"

#include <gtest/gtest.h>

#include "support/bundle_test.h"
#include "util/wire.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

using test::code_of;
using test::message_of;

class Externalize : public test::BundleTest {
 protected:
  // Writes a model of uint8 initializers of these sizes, whose bytes are holes of the file.
  fs::path model_of_holes(const std::vector<uint64_t>& sizes) {
    struct Head {
      uint64_t at;
      std::string bytes;
    };
    std::vector<Head> heads;
    uint64_t end = 0;
    for (size_t i = 0; i < sizes.size(); ++i) {
      onnx::TensorProto tensor;
      tensor.set_name("w" + std::to_string(i));
      tensor.set_data_type(onnx::TensorProto::UINT8);
      tensor.add_dims(static_cast<int64_t>(sizes[i]));
      std::string head = tensor.SerializeAsString() + "\x4a";  // the key of raw_data
      append_varint(head, sizes[i]);
      std::string key = "\x2a";  // of an initializer
      append_varint(key, head.size() + sizes[i]);
      heads.push_back({end, key + head});
      end += key.size() + head.size() + sizes[i];
    }
    std::string front = "\x08\x08\x3a";  // ir_version 8, the key of the graph
    append_varint(front, end);
    const fs::path path = temp_ / "in/holes.onnx";
    std::ofstream file(path, std::ios::binary);
    file << front;
    for (const Head& head : heads) {
      file.seekp(static_cast<std::streamoff>(front.size() + head.at));
      file << head.bytes;
    }
    file.close();
    fs::resize_file(path, front.size() + end);
    return path;
  }

  static auto writing(const ScannedModel& model, size_t outside) {
    return [&model, outside] {
      externalize(model, [outside](size_t t) -> std::optional<ExternalReference> {
        if (t >= outside) return std::nullopt;
        return ExternalReference{"a.bin", 0, 4096};
      });
    };
  }
};

constexpr uint64_t kMost = 2147483647;

TEST_F(Externalize, SaysHowManyBytesOfOneTensorProtobufDoesNotTake) {
  const ScannedModel model = scan_model(model_of_holes({kMost + 1}));
  const std::string message = message_of(writing(model, 0));
  EXPECT_NE(message.find("holes.onnx"), std::string::npos) << message;
  EXPECT_NE(message.find("'w0'"), std::string::npos) << message;
  EXPECT_NE(message.find("2147483654 bytes"), std::string::npos) << message;
  EXPECT_NE(message.find("no more than 2147483647"), std::string::npos) << message;
  EXPECT_EQ(code_of(writing(model, 0)), 5);
  EXPECT_EQ(code_of(writing(model, 1)), 0);  // outside of the model it may be as large as it likes
}

TEST_F(Externalize, CountsWhatStaysBeforeItIsCopied) {
  const ScannedModel model = scan_model(model_of_holes({100, kMost - 50}));
  const std::string message = message_of(writing(model, 0));
  EXPECT_NE(message.find("'w1'"), std::string::npos) << message;
  EXPECT_NE(message.find("2147483705 bytes"), std::string::npos) << message;
}

}  // namespace
}  // namespace wshare

// What was exported for others is opened by plain ONNX Runtime, and gives what the originals give.

#include <onnx/onnx_pb.h>

#include "support/cli_test.h"
#include "support/places.h"
#include "wshare/runtime.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

const fs::path kModels = fs::path(test::kTestdata) / "t5-seq2seq";

// The bytes of all outputs of the model at `file`, run with the inputs that lie beside `model`.
std::vector<std::string> outputs_of(const fs::path& file, const std::string& model,
                                    const Ort::SessionOptions& options = Ort::SessionOptions{}) {
  std::vector<onnx::TensorProto> tensors;
  for (const std::string& name : test::names_in(kModels / model / "test_data_set_0")) {
    if (!name.starts_with("input_")) continue;
    EXPECT_TRUE(tensors.emplace_back().ParseFromString(
        test::read_file(kModels / model / "test_data_set_0" / name)));
  }
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
  std::vector<Ort::Value> values;
  std::vector<const char*> names, wanted;
  for (onnx::TensorProto& tensor : tensors) {
    std::string& bytes = *tensor.mutable_raw_data();
    const std::vector<int64_t> dims(tensor.dims().begin(), tensor.dims().end());
    values.push_back(
        Ort::Value::CreateTensor(memory, bytes.data(), bytes.size(), dims.data(), dims.size(),
                                 static_cast<ONNXTensorElementDataType>(tensor.data_type())));
    names.push_back(tensor.name().c_str());
  }
  Ort::Session session(environment(), file.c_str(), options);
  const std::vector<std::string> output_names = session.GetOutputNames();
  for (const std::string& name : output_names) wanted.push_back(name.c_str());
  std::vector<std::string> outputs;
  for (const Ort::Value& value : session.Run(Ort::RunOptions{}, names.data(), values.data(),
                                             values.size(), wanted.data(), wanted.size())) {
    const size_t count = value.GetTensorTypeAndShapeInfo().GetElementCount();
    outputs.emplace_back(value.GetTensorData<char>(), count * sizeof(float));
  }
  return outputs;
}

using ExportedOutputs = test::CliTest;

TEST_F(ExportedOutputs, AreThoseOfTheOriginals) {
  ASSERT_EQ(run({"dedupe", kModels.string(), "-o", path("bundle")}), 0) << err_;
  ASSERT_EQ(run({"export", "hf", path("bundle"), path("shared")}), 0) << err_;
  ASSERT_EQ(run({"export", "hf", path("bundle"), path("own"), "--data", "own"}), 0) << err_;
  ASSERT_EQ(run({"export", "ort-package", path("bundle"), path("package")}), 0) << err_;
  const fs::path assets = temp_ / "package/shared_assets";
  Ort::SessionOptions in_asset;
  in_asset.AddConfigEntry("session.model_external_initializers_file_folder_path",
                          (assets / test::names_in(assets).at(0)).c_str());
  for (const std::string model : {"encoder", "decoder", "decoder_with_past"}) {
    SCOPED_TRACE(model);
    const std::vector<std::string> wanted = outputs_of(kModels / (model + ".onnx"), model);
    EXPECT_GT(wanted.at(0).size(), 0u);
    for (const std::string way : {"shared", "own"}) {
      EXPECT_TRUE(outputs_of(temp_ / (way + "/onnx/" + model + "_model.onnx"), model) == wanted)
          << way;
    }
    const fs::path packaged = temp_ / ("package/components/" + model + "/model/" + model + ".onnx");
    EXPECT_TRUE(outputs_of(packaged, model, in_asset) == wanted);
  }
}

}  // namespace
}  // namespace wshare

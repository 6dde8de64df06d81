// Outputs with an imported adapter are those of the task's own model.

#include <cmath>

#include "import_adapter/fixture.h"
#include "wshare/runtime.h"

namespace wshare::test {
namespace {

const fs::path kData = WSHARE_TESTDATA;

// The inputs that lie beside the models of the family.
struct FamilyInputs {
  std::vector<onnx::TensorProto> tensors;
  std::vector<Ort::Value> values;
  std::vector<const char*> names;

  FamilyInputs() {
    const auto file = [](size_t i) {
      return kData / "t5-lora/summarize/test_data_set_0" / ("input_" + std::to_string(i) + ".pb");
    };
    while (fs::exists(file(tensors.size()))) {
      onnx::TensorProto tensor;
      EXPECT_TRUE(tensor.ParseFromString(read_file(file(tensors.size()))));
      tensors.push_back(std::move(tensor));
    }
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
    for (onnx::TensorProto& tensor : tensors) {
      std::string& bytes = *tensor.mutable_raw_data();
      const Dims dims(tensor.dims().begin(), tensor.dims().end());
      values.push_back(
          Ort::Value::CreateTensor(memory, bytes.data(), bytes.size(), dims.data(), dims.size(),
                                   static_cast<ONNXTensorElementDataType>(tensor.data_type())));
      names.push_back(tensor.name().c_str());
    }
  }
};

// The first output of a run with `options`.
std::vector<float> run_session(Ort::Session& session, const Ort::RunOptions& options) {
  const FamilyInputs inputs;
  const std::string output = session.GetOutputNames().at(0);
  const char* name = output.c_str();
  const std::vector<Ort::Value> out = session.Run(
      options, inputs.names.data(), inputs.values.data(), inputs.values.size(), &name, 1);
  const float* data = out[0].GetTensorData<float>();
  return {data, data + out[0].GetTensorTypeAndShapeInfo().GetElementCount()};
}

// Of `task` over the base of the bundle in `folder`; "": of the base.
std::vector<float> run_task(const fs::path& folder, const std::string& task) {
  TaskSession session = Bundle::open(folder).task_session("base");
  return run_session(session.session(), session.options(task));
}

std::vector<float> run_original(const std::string& name) {
  const fs::path file = kData / "t5-lora" / (name + ".onnx");
  Ort::Session session(environment(), file.c_str(), Ort::SessionOptions{});
  return run_session(session, Ort::RunOptions{});
}

// The largest difference over the largest value.
float distance(const std::vector<float>& one, const std::vector<float>& other) {
  EXPECT_EQ(one.size(), other.size());
  float largest = 0, difference = 0;
  for (size_t i = 0; i < std::min(one.size(), other.size()); ++i) {
    largest = std::max(largest, std::abs(one[i]));
    difference = std::max(difference, std::abs(one[i] - other[i]));
  }
  return difference / largest;
}

class ImportedOutputs : public ImportTest {
 protected:
  void import(const std::string& task) {
    EXPECT_EQ(run({"import-adapter", bundle(), (kData / "adapters" / task).string()}), 0) << err_;
    EXPECT_EQ(run({"verify", bundle()}), 0) << out_;
  }
};

TEST_F(ImportedOutputs, AreTheTasksOverABaseOfDedupe) {
  ASSERT_EQ(run({"dedupe", (kData / "t5-lora/base.onnx").string(), "-o", bundle()}), 0) << err_;
  import("summarize");
  import("classify");
  for (const char* task : {"summarize", "classify"}) {
    SCOPED_TRACE(task);
    EXPECT_LT(distance(run_original(task), run_task(bundle(), task)), 1e-5f);
    EXPECT_GT(distance(run_original("base"), run_task(bundle(), task)), 1e-4f);
  }
  EXPECT_EQ(run_task(bundle(), ""), run_original("base"));
  ASSERT_EQ(run({"restore", bundle(), "-o", path("back")}), 0) << err_;
  EXPECT_TRUE(read_file(temp_ / "back/base.onnx") == read_file(kData / "t5-lora/base.onnx"));
}

TEST_F(ImportedOutputs, AreTheTasksBesideExtractedOnes) {
  ASSERT_EQ(run({"extract-lora", "--base", (kData / "t5-lora/base.onnx").string(),
                 (kData / "t5-lora/translate.onnx").string(), "-o", bundle()}),
            0)
      << err_;
  import("classify");
  for (const char* task : {"classify", "translate"}) {
    SCOPED_TRACE(task);
    EXPECT_LT(distance(run_original(task), run_task(bundle(), task)), 1e-5f);
  }
  EXPECT_EQ(run_task(bundle(), ""), run_original("base"));
  ASSERT_EQ(run({"restore", bundle(), "-o", path("back")}), 0) << err_;
  for (const char* file : {"base.onnx", "translate.onnx"})
    EXPECT_TRUE(read_file(temp_ / (std::string("back/") + file)) ==
                read_file(kData / "t5-lora" / file))
        << file;
}

}  // namespace
}  // namespace wshare::test

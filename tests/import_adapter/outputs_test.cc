// Outputs with an imported adapter are those of the task's own model.

#include <cmath>

#include "import_adapter/fixture.h"
#include "support/places.h"
#include "wshare/runtime.h"

namespace wshare::test {
namespace {

const fs::path kData = kTestdata;

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

std::vector<float> run_x(Ort::Session& session, const Ort::RunOptions& options,
                         std::vector<float> x) {
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
  const Dims dims = {static_cast<int64_t>(x.size()) / 32, 32};
  const Ort::Value value =
      Ort::Value::CreateTensor<float>(memory, x.data(), x.size(), dims.data(), dims.size());
  const char *in = "x", *out = "y";
  const std::vector<Ort::Value> result = session.Run(options, &in, &value, 1, &out, 1);
  const float* data = result[0].GetTensorData<float>();
  return {data, data + result[0].GetTensorTypeAndShapeInfo().GetElementCount()};
}

TEST_F(ImportedOutputs, HaveAFloatBranchBesideAWeightOfFourBits) {
  add("base.onnx", four_bit_model());
  make_bundle();
  const std::vector<Given> factors = pair("model.l.0.q", 32, 8, 2);
  const nlohmann::json json = import_json(add_peft("news", factors));
  EXPECT_EQ(json["mapping"][0]["tensor"], "onnx::MatMul_7_Q4");
  expect_whole();
  std::vector<float> x(96);
  std::memcpy(x.data(), nonzero_floats(96, 3).data(), 384);
  Ort::Session original(environment(), path("in/base.onnx").c_str(), Ort::SessionOptions{});
  std::vector<float> wanted = run_x(original, Ort::RunOptions{}, x);
  TaskSession tasks = Bundle::open(bundle()).task_session("base");
  EXPECT_EQ(run_x(tasks.session(), tasks.options(""), x), wanted);
  std::vector<float> a(64), b(16);
  std::memcpy(a.data(), factors[0].bytes.data(), 256);  // [2,32]
  std::memcpy(b.data(), factors[1].bytes.data(), 64);   // [8,2]
  for (size_t row = 0; row < 3; ++row) {
    for (size_t r = 0; r < 2; ++r) {
      float inner = 0;
      for (size_t k = 0; k < 32; ++k) inner += x[row * 32 + k] * a[r * 32 + k];
      for (size_t n = 0; n < 8; ++n) wanted[row * 8 + n] += 1.5f * inner * b[n * 2 + r];
    }
  }
  EXPECT_LT(distance(wanted, run_x(tasks.session(), tasks.options("news"), x)), 1e-5f);
}

}  // namespace
}  // namespace wshare::test

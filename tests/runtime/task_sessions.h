#pragma once

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "format/adapter_file.h"
#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "support/bundle_test.h"
#include "support/places.h"
#include "wshare/extract_lora.h"
#include "wshare/runtime.h"

namespace wshare::test {

inline const fs::path kFamily = fs::path(kTestdata) / "t5-lora";

// Adds an input of float32 [size].
inline void add_vector_input(onnx::GraphProto& graph, const char* name, int64_t size) {
  onnx::ValueInfoProto& input = *graph.add_input();
  input.set_name(name);
  onnx::TypeProto::Tensor& tensor = *input.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(Proto::FLOAT);
  tensor.mutable_shape()->add_dim()->set_dim_value(size);
}

// Writes an .onnx_adapter of `parameters`.
inline void write_parameters(const std::vector<NamedTensor>& parameters, const fs::path& path) {
  std::string bytes;
  write_adapter(lay_out_adapter(parameters), parameters, [&](std::span<const std::byte> piece) {
    bytes.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  });
  write_file(path, bytes);
}

// Extracts tasks of the family, by path, over its base.
inline void extract_tasks(const std::vector<std::string>& tasks, const fs::path& bundle) {
  ExtractOptions options;
  options.base = (kFamily / "base.onnx").string();
  extract_lora(resolve_inputs(tasks), bundle, options);
}

class TaskSessions : public BundleTest {
 protected:
  TaskSessions() {
    static const TempFolder made;  // extracted once for all tests of the process
    if (!fs::exists(made / "bundle")) {
      extract_tasks({(kFamily / "summarize.onnx").string(), (kFamily / "translate.onnx").string(),
                     (kFamily / "classify.onnx").string()},
                    made / "bundle");
    }
    fs::copy(made / "bundle", folder());
  }
  fs::path folder() const { return temp_ / "bundle"; }

  void change(const std::function<void(Manifest&)>& edit) {
    Manifest manifest = load_manifest(folder());
    edit(manifest);
    write_file(folder() / kManifestName, to_json(manifest));
  }

  // The code with which the first run of "summarize" is refused.
  int refusal(std::string* message = nullptr) {
    Bundle bundle = Bundle::open(folder());
    TaskSession session = bundle.task_session("base");
    return code_of([&] { session.options("summarize"); }, message);
  }
};

inline onnx::TensorProto read_tensor(const fs::path& path) {
  onnx::TensorProto tensor;
  EXPECT_TRUE(tensor.ParseFromString(read_file(path))) << path;
  return tensor;
}

// The inputs that lie beside the models of the family.
struct FamilyInputs {
  std::vector<onnx::TensorProto> tensors;
  std::vector<Ort::Value> values;
  std::vector<const char*> names;

  FamilyInputs() {
    for (int i = 0; fs::exists(file(i)); ++i) tensors.push_back(read_tensor(file(i)));
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
    for (onnx::TensorProto& tensor : tensors) {
      std::string& raw = *tensor.mutable_raw_data();
      const std::vector<int64_t> shape(tensor.dims().begin(), tensor.dims().end());
      values.push_back(
          Ort::Value::CreateTensor(memory, raw.data(), raw.size(), shape.data(), shape.size(),
                                   static_cast<ONNXTensorElementDataType>(tensor.data_type())));
      names.push_back(tensor.name().c_str());
    }
  }
  static fs::path file(int number) {
    return kFamily / "summarize/test_data_set_0" / ("input_" + std::to_string(number) + ".pb");
  }
};

inline std::string bytes_of_output(const std::vector<Ort::Value>& outputs) {
  const Ort::Value& first = outputs.at(0);
  return {static_cast<const char*>(first.GetTensorRawData()), first.GetTensorSizeInBytes()};
}

inline std::string run(TaskSession& session, const std::string& task) {
  const FamilyInputs inputs;
  const std::string output = session.session().GetOutputNames().at(0);
  const char* name = output.c_str();
  return bytes_of_output(
      session.run(task, inputs.names.data(), inputs.values.data(), inputs.values.size(), &name, 1));
}

// What a run of the session with a binding of `task` gives. Whatever `binding` had bound stays.
inline std::string run_bound(TaskSession& session, Ort::IoBinding& binding,
                             const std::string& task) {
  session.bind(binding, task);
  session.session().Run(Ort::RunOptions(), binding);
  return bytes_of_output(binding.GetOutputValues());
}

// The largest difference between two outputs of float32; infinite if their sizes differ.
inline float largest_difference(const std::string& a, const std::string& b) {
  if (a.size() != b.size()) return std::numeric_limits<float>::infinity();
  float largest = 0;
  for (size_t at = 0; at < a.size(); at += sizeof(float)) {
    float in_a = 0, in_b = 0;
    std::memcpy(&in_a, a.data() + at, sizeof in_a);
    std::memcpy(&in_b, b.data() + at, sizeof in_b);
    largest = std::max(largest, std::fabs(in_a - in_b));
  }
  return largest;
}

// A binding of the family's inputs and the first output.
inline Ort::IoBinding bind_inputs(TaskSession& session, const FamilyInputs& inputs) {
  Ort::IoBinding binding(session.session());
  for (size_t i = 0; i < inputs.values.size(); ++i) {
    binding.BindInput(inputs.names[i], inputs.values[i]);
  }
  binding.BindOutput(session.session().GetOutputNames().at(0).c_str(),
                     Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault));
  return binding;
}

inline std::string run_plain(const fs::path& model, GraphOptimizationLevel level) {
  Ort::SessionOptions options;
  options.SetGraphOptimizationLevel(level);
  Ort::Session session(environment(), model.c_str(), options);
  const FamilyInputs inputs;
  const std::string output = session.GetOutputNames().at(0);
  const char* name = output.c_str();
  return bytes_of_output(session.Run(Ort::RunOptions{nullptr}, inputs.names.data(),
                                     inputs.values.data(), inputs.values.size(), &name, 1));
}

}  // namespace wshare::test

#pragma once

#include <gtest/gtest.h>
#include <onnx/checker.h>
#include <onnxruntime_cxx_api.h>
#include <onnxruntime_session_options_config_keys.h>

#include <string>
#include <vector>

#include "support/files.h"
#include "wshare/runtime.h"

namespace wshare::test {

using Values = std::vector<Ort::Value>;

// Everything that two equal values have in common: type, shape and all bytes.
inline std::string text_of(const Ort::Value& value) {
  if (!value.IsTensor()) return "no tensor";
  const Ort::TensorTypeAndShapeInfo type = value.GetTensorTypeAndShapeInfo();
  std::string text = std::to_string(type.GetElementType());
  for (const int64_t dim : type.GetShape()) text += " " + std::to_string(dim);
  text += ":";
  if (type.GetElementType() != ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING) {
    const auto* bytes = static_cast<const char*>(value.GetTensorRawData());
    return text.append(bytes, value.GetTensorSizeInBytes());
  }
  for (size_t i = 0; i < type.GetElementCount(); ++i) {
    text += value.GetStringTensorElement(i) + '\0';
  }
  return text;
}

// The outputs of `session` for `inputs`, which are in the order of its inputs, as text_of().
inline std::vector<std::string> outputs_of(Ort::Session& session, const Values& inputs) {
  const std::vector<std::string> in = session.GetInputNames();
  const std::vector<std::string> out = session.GetOutputNames();
  std::vector<const char*> in_names, out_names;
  for (const std::string& name : in) in_names.push_back(name.c_str());
  for (const std::string& name : out) out_names.push_back(name.c_str());
  std::vector<std::string> texts;
  for (const Ort::Value& value :
       session.Run(Ort::RunOptions{nullptr}, in_names.data(), inputs.data(), inputs.size(),
                   out_names.data(), out_names.size())) {
    texts.push_back(text_of(value));
  }
  return texts;
}

// One thread: sums are then taken in one order.
inline Ort::SessionOptions plain_options() {
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);
  options.SetLogSeverityLevel(ORT_LOGGING_LEVEL_FATAL);
  return options;
}

// What a session of ONNX Runtime without wshare gives for the model at `path`.
inline std::vector<std::string> stock_outputs(const fs::path& path, const Values& inputs,
                                              bool pack) {
  Ort::SessionOptions options = plain_options();
  if (!pack) options.AddConfigEntry(kOrtSessionOptionsConfigDisablePrepacking, "1");
  Ort::Session session(environment(), path.c_str(), options);
  return outputs_of(session, inputs);
}

// Why ONNX Runtime refuses the model at `path`, or "" when it opens it.
inline std::string refusal_of(const fs::path& path) {
  try {
    Ort::Session(environment(), path.c_str(), plain_options());
    return "";
  } catch (const Ort::Exception& exception) {
    return exception.what();
  }
}

// What onnx's checker, which follows external data, objects to; "" for nothing.
inline std::string objection_to(const fs::path& path) {
  try {
    onnx::checker::check_model(path.string());
    return "";
  } catch (const std::exception& exception) {
    return exception.what();
  }
}

// Expects the model `name` of the bundle in `folder` to give for `inputs` the bits of `original`:
// without wshare, and in two sessions over shared weights, with weights packed and not.
inline void expect_parity(const fs::path& original, const fs::path& folder, const std::string& name,
                          const Values& inputs) {
  SCOPED_TRACE(original.string());
  const fs::path ours = folder / (name + ".onnx");
  if (objection_to(original).empty()) {
    EXPECT_EQ(objection_to(ours), "");
  }
  Bundle bundle = Bundle::open(folder);
  for (const Tier tier : {Tier::kShared, Tier::kCompact}) {
    const bool pack = tier == Tier::kShared;
    SCOPED_TRACE(pack ? "packed" : "not packed");
    const std::vector<std::string> expected = stock_outputs(original, inputs, pack);
    ASSERT_FALSE(expected.empty());
    EXPECT_TRUE(stock_outputs(ours, inputs, pack) == expected) << "stock session differs";
    SessionOptions options;
    options.tier = tier;
    options.ort = plain_options();
    Session first = bundle.session(name, options);
    Session second = bundle.session(name, options);
    EXPECT_TRUE(outputs_of(*first, inputs) == expected) << "first session differs";
    EXPECT_TRUE(outputs_of(*second, inputs) == expected) << "second session differs";
  }
}

}  // namespace wshare::test

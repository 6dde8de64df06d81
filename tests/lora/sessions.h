#pragma once

#include <onnxruntime_cxx_api.h>

#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "lora/layers.h"
#include "support/files.h"
#include "support/models.h"

namespace wshare::test {

// A value for a graph input.
struct Feed {
  std::string name;
  int type = onnx::TensorProto::FLOAT;
  Shape shape;
  std::string bytes;
};

inline constexpr std::array kLevels = {ORT_DISABLE_ALL, ORT_ENABLE_BASIC, ORT_ENABLE_EXTENDED,
                                       ORT_ENABLE_ALL};

// The outputs of a run.
struct Outputs {
  std::vector<std::string> bytes;           // of each
  std::vector<std::vector<double>> values;  // of each with floats
};

inline double half_value(uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const double sign = bits >> 15 == 0 ? 1 : -1;
  const double fraction = bits & 1023;
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  if (exponent == 31) return fraction == 0 ? sign * INFINITY : NAN;
  return sign * std::ldexp(fraction + 1024, exponent - 25);
}

inline std::vector<double> values_of(const std::string& bytes, int type) {
  std::vector<double> values;
  if (type == onnx::TensorProto::FLOAT16) {
    for (size_t i = 0; i + 1 < bytes.size(); i += 2) {
      uint16_t half;
      std::memcpy(&half, bytes.data() + i, 2);
      values.push_back(half_value(half));
    }
  } else if (type == onnx::TensorProto::FLOAT) {
    for (size_t i = 0; i + 3 < bytes.size(); i += 4) {
      float single;
      std::memcpy(&single, bytes.data() + i, 4);
      values.push_back(static_cast<double>(single));
    }
  }
  return values;
}

inline Outputs run(Ort::Session& session, const std::vector<Feed>& feeds) {
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  std::vector<Ort::Value> values;
  std::vector<const char*> names, out_names;
  for (const Feed& feed : feeds) {
    names.push_back(feed.name.c_str());
    values.push_back(Ort::Value::CreateTensor(
        memory, const_cast<char*>(feed.bytes.data()), feed.bytes.size(), feed.shape.data(),
        feed.shape.size(), static_cast<ONNXTensorElementDataType>(feed.type)));
  }
  const std::vector<std::string> out = session.GetOutputNames();
  for (const std::string& name : out) out_names.push_back(name.c_str());
  Outputs outputs;
  for (const Ort::Value& value : session.Run(Ort::RunOptions{nullptr}, names.data(), values.data(),
                                             values.size(), out_names.data(), out_names.size())) {
    outputs.bytes.emplace_back(static_cast<const char*>(value.GetTensorRawData()),
                               value.GetTensorSizeInBytes());
    outputs.values.push_back(
        values_of(outputs.bytes.back(), value.GetTensorTypeAndShapeInfo().GetElementType()));
  }
  return outputs;
}

// Runs `model` with one thread: sums are then taken in one order.
inline Outputs run(const onnx::ModelProto& model, GraphOptimizationLevel level,
                   const std::vector<Feed>& feeds) {
  static Ort::Env environment(ORT_LOGGING_LEVEL_FATAL, "lora_test");
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);
  options.SetGraphOptimizationLevel(level);
  const std::string text = model.SerializeAsString();
  Ort::Session session(environment, text.data(), text.size(), options);
  return run(session, feeds);
}

// The largest difference of two runs over the largest value.
inline double distance(const Outputs& one, const Outputs& other) {
  double largest = 0, difference = 0;
  for (size_t i = 0; i < one.values.size(); ++i) {
    for (size_t j = 0; j < one.values[i].size(); ++j) {
      largest = std::max(largest, std::abs(one.values[i][j]));
      const double each = std::abs(one.values[i][j] - other.values[i][j]);
      if (!(each <= difference)) difference = each;  // also NaN
    }
  }
  return difference / largest;
}

// Values for the inputs of `model`; dimensions that it leaves open are `free_dim`.
inline std::vector<Feed> feeds_of(const onnx::ModelProto& model, int64_t free_dim) {
  std::vector<Feed> feeds;
  for (const onnx::ValueInfoProto& input : model.graph().input()) {
    Feed feed{input.name(), input.type().tensor_type().elem_type(), {}, {}};
    for (const auto& dim : input.type().tensor_type().shape().dim()) {
      feed.shape.push_back(dim.has_dim_value() ? dim.dim_value() : free_dim);
    }
    const auto count = static_cast<size_t>(count_of(feed.shape));
    if (feed.type == onnx::TensorProto::BOOL) {
      feed.bytes.assign(count, '\1');
    } else if (feed.type == onnx::TensorProto::INT64) {
      for (size_t i = 0; i < count; ++i) {
        const auto value = static_cast<int64_t>(i % 5 + 2);
        feed.bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
      }
    } else {
      feed.bytes = float_bytes(values_of(feed.shape, 7, 0.5).values, feed.type);
    }
    feeds.push_back(std::move(feed));
  }
  return feeds;
}

// The inputs that a model of testdata was run with; `folder` is its test_data_set_0.
inline std::vector<Feed> stored_feeds(const fs::path& folder) {
  std::vector<Feed> feeds;
  for (int i = 0; fs::exists(folder / ("input_" + std::to_string(i) + ".pb")); ++i) {
    onnx::TensorProto tensor;
    EXPECT_TRUE(tensor.ParseFromString(read_file(folder / ("input_" + std::to_string(i) + ".pb"))));
    feeds.push_back({tensor.name(), tensor.data_type(),
                     Shape(tensor.dims().begin(), tensor.dims().end()), tensor.raw_data()});
  }
  return feeds;
}

}  // namespace wshare::test

#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/errors.h"
#include "support/files.h"
#include "support/models.h"
#include "wshare/dedupe.h"
#include "wshare/verify.h"

namespace wshare::test {

// A test with a folder of inputs, "in", and a bundle made of it, "bundle".
class BundleTest : public testing::Test {
 protected:
  BundleTest() { fs::create_directories(temp_ / "in"); }

  void add(const std::string& name, const std::string& bytes) {
    write_file(temp_ / ("in/" + name), bytes);
  }
  void add(const std::string& name, const std::vector<onnx::TensorProto>& tensors) {
    add(name, bytes_of(tensors));
  }
  void add(const std::string& name, const onnx::ModelProto& model) {
    add(name, model.SerializeAsString());
  }

  DedupeReport make(uint64_t min_bytes = 1024, unsigned threads = 0,
                    const std::string& bundle = "bundle") {
    DedupeOptions options;
    options.min_bytes = min_bytes;
    options.threads = threads;
    return dedupe(resolve_inputs({(temp_ / "in").string()}), temp_ / bundle, options);
  }

  // What "in" holds under these names, as models for a command.
  std::vector<ModelInput> inputs(const std::vector<std::string>& files) const {
    std::vector<std::string> paths;
    for (const std::string& file : files) paths.push_back((temp_ / ("in/" + file)).string());
    return resolve_inputs(paths);
  }

  // Expects that verify finds nothing in the bundle.
  void expect_sound() const {
    for (const Damage& finding : verify(temp_ / "bundle", {2})) {
      ADD_FAILURE() << finding.kind << ": " << finding.file << ": " << finding.tensor << ": "
                    << finding.message;
    }
  }

  // Why `tensor` stayed in its model, or "" where it did not.
  static std::string reason(const DedupeReport& report, const std::string& tensor) {
    for (const InlineTensor& each : report.left_inline) {
      if (each.tensor == tensor) return text_of(each.reason);
    }
    return "";
  }

  onnx::ModelProto load(const std::string& file) {
    onnx::ModelProto proto;
    EXPECT_TRUE(proto.ParseFromString(read_file(temp_ / ("bundle/" + file)))) << file;
    return proto;
  }

  TempFolder temp_;
};

}  // namespace wshare::test

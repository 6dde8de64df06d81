#pragma once

#include "run/graphs.h"
#include "support/bundle_test.h"

namespace wshare::test {

// A bundle of two models that share nothing.
class TwoModels : public BundleTest {
 protected:
  TwoModels() {
    add("a.onnx", matmul_model(64, 512, floats(512, 2)));
    add("b.onnx", matmul_model(64, 512, floats(512, 3)));
    make();
  }
  fs::path folder() const { return temp_ / "bundle"; }
};

}  // namespace wshare::test

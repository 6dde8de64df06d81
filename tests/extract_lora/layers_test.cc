// A merged LoRA in every kind of layer: found, served and given back.

#include "lora/layers.h"

#include <gtest/gtest.h>

#include "extract_lora/extract_test.h"
#include "format/manifest/manifest.h"

namespace wshare::test {
namespace {

constexpr int64_t kRank = 3;

class ExtractLayer : public ExtractTest {
 protected:
  // Adds a base of `form` and a task that has a low rank more in w.
  void add_models(const Form& form) {
    const Matrix weight = values_of(form.shape, 1);
    add("base.onnx", model_of(form, weight));
    add("task.onnx",
        model_of(form, sum(weight, low_rank(weight.rows, weight.cols, kRank, 5, 0.05))));
  }
};

TEST_F(ExtractLayer, GivesEachAMergedLora) {
  for (const Form& form : forms()) {
    SCOPED_TRACE(form.name);
    add_models(form);
    for (const bool own_model : {false, true}) {
      SCOPED_TRACE(own_model ? "own model" : "adapter");
      forget();
      const ExtractReport report =
          extract({"task.onnx"}, "base.onnx", [&](ExtractOptions& options) {
            options.emit = {!own_model, own_model};
          });
      const ExtractedTask& task = report.tasks.at(0);
      EXPECT_EQ(task.reasons, std::vector<std::string>());
      EXPECT_EQ(task.adapter, own_model ? "" : "task.onnx_adapter");
      EXPECT_EQ(task.model, own_model ? "task.onnx" : "");
      ASSERT_EQ(task.tensors.size(), 1u);  // also of w that is smaller than min_bytes
      EXPECT_EQ(task.tensors[0].tensor_class, TensorClass::kLowRank);
      EXPECT_EQ(task.tensors[0].rank, kRank);
      EXPECT_LT(task.tensors[0].relative_error, form.type == Proto::FLOAT16 ? 2e-3 : 2e-7);
      expect_whole({"base.onnx", "task.onnx"});
    }
  }
}

}  // namespace
}  // namespace wshare::test

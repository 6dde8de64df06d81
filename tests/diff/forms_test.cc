// Weights that one model has in another form, on testdata/quantised: what real tools made of one
// model.

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "support/cli_test.h"
#include "support/places.h"
#include "wshare/diff.h"

namespace wshare {
namespace {

std::string file(const std::string& name) {
  return (std::filesystem::path(test::kTestdata) / "quantised" / (name + ".onnx")).string();
}

DiffReport diff_of(const std::string& a, const std::string& b) {
  return diff(file(a), file(b), {});
}

// "quantised to int8: 5 of 5" for each sum.
std::string forms_in(const DiffReport& report) {
  std::string text;
  for (const DiffForms& forms : report.forms) {
    text += (text.empty() ? "" : "; ") + std::string(forms.sum.of_b ? "A " : "B ") +
            text_of(forms.tensor_class) + " to " + forms.sum.to + ": " +
            std::to_string(forms.weights) + " of " + std::to_string(forms.weights_total);
    EXPECT_EQ(forms.sum.off, 0U);
    EXPECT_GT(forms.sum.elements, 0U);
  }
  return text;
}

TEST(DiffForms, SayWhatTheOtherModelIs) {
  struct Case {
    const char *a, *b;
    DiffVerdict verdict;
    const char* forms;
  };
  for (const Case& c : {
           Case{"float32", "dynamic_int8", DiffVerdict::kQuantised, "B quantised to int8: 5 of 5"},
           Case{"float32", "renamed", DiffVerdict::kQuantised, "B quantised to int8: 5 of 5"},
           Case{"float32", "qdq", DiffVerdict::kQuantised, "B quantised to int8: 6 of 6"},
           Case{"float32", "qoperator", DiffVerdict::kQuantised, "B quantised to uint8: 5 of 5"},
           Case{"float32", "cast_mul", DiffVerdict::kQuantised, "B quantised to int8: 2 of 2"},
           Case{"float32", "q4", DiffVerdict::kQuantised,
                "B quantised to 4 bits in blocks of 32: 3 of 3"},
           Case{"float32", "q4_asymmetric", DiffVerdict::kQuantised,
                "B quantised to 4 bits in blocks of 16: 3 of 3"},
           Case{"float32", "float16", DiffVerdict::kCast, "B cast to float16: 6 of 6"},
           Case{"float16", "float32", DiffVerdict::kCast, "A cast to float16: 6 of 6"},
           Case{"qdq", "float32", DiffVerdict::kQuantised, "A quantised to int8: 6 of 6"},
           Case{"float32", "float32", DiffVerdict::kEqual, ""},
       }) {
    SCOPED_TRACE(std::string(c.a) + " and " + c.b);
    const DiffReport report = diff_of(c.a, c.b);
    EXPECT_EQ(report.verdict, c.verdict) << text_of(report.verdict);
    EXPECT_EQ(forms_in(report), c.forms);
  }
}

TEST(DiffForms, PairWeightsByContent) {
  std::map<std::string, std::string> in_b;
  for (const DiffTensor& tensor : diff_of("float32", "dynamic_int8").tensors) {
    if (tensor.tensor_class != TensorClass::kQuantised) continue;
    ASSERT_TRUE(tensor.a && tensor.b && tensor.form);
    in_b[tensor.b->name] = tensor.a->name;
    EXPECT_EQ(tensor.form->to, tensor.b->dtype);  // uint8 where it is activations, too
    EXPECT_GT(*tensor.form->snr_db, 30);
    EXPECT_LT(*tensor.form->snr_db, 60);
    EXPECT_NEAR(*tensor.form->snr_db, -20 * std::log10(tensor.form->relative_error), 1e-9);
  }
  EXPECT_EQ(in_b,
            (std::map<std::string, std::string>{{"embedding.weight_quantized", "embedding.weight"},
                                                {"up.weight_quantized", "up.weight"},
                                                {"down.weight_quantized", "down.weight"},
                                                {"head.weight_Transposed_quantized", "head.weight"},
                                                {"conv.weight_quantized", "conv.weight"}}));
}

// Each tensor of either model stands in the report once.
TEST(DiffForms, LoseNoTensor) {
  for (const char* other : {"dynamic_int8", "qdq", "qoperator", "q4", "float16", "left_beside"}) {
    SCOPED_TRACE(other);
    for (const bool turned : {false, true}) {
      const DiffReport report = turned ? diff_of(other, "float32") : diff_of("float32", other);
      std::map<std::string, int> in_a, in_b;
      for (const DiffTensor& tensor : report.tensors) {
        if (tensor.a) ++in_a[tensor.a->scope + "/" + tensor.a->name];
        if (tensor.b) ++in_b[tensor.b->scope + "/" + tensor.b->name];
      }
      for (const auto& [name, count] : in_b) EXPECT_EQ(count, 1) << name;
      EXPECT_EQ((turned ? in_b : in_a).size(), 11U);
    }
  }
}

using DiffFormsCommand = test::CliTest;

TEST_F(DiffFormsCommand, SaysItInTextAndJson) {
  ASSERT_EQ(run({"diff", file("float32"), file("q4")}), 1) << err_;
  EXPECT_NE(
      out_.find("B is A quantised to 4 bits in blocks of 32: 3 of 3 weights, 32.8 KiB -> 10.7 KiB, "
                "relative error 0.08"),
      std::string::npos)
      << out_;
  EXPECT_NE(out_.find("float32 -> 4 bits in blocks of 32"), std::string::npos) << out_;
  ASSERT_EQ(run({"diff", file("float32"), file("q4"), "--json"}), 1) << err_;
  const auto json = nlohmann::json::parse(out_);
  EXPECT_EQ(json["verdict"], "quantised");
  EXPECT_GT(json["weight_bytes"], json["equal_bytes"]);
  EXPECT_EQ(json["classes"]["quantised"]["tensors"], 3);
  ASSERT_EQ(json["forms"].size(), 1U);
  EXPECT_EQ(json["forms"][0]["class"], "quantised");
  EXPECT_EQ(json["forms"][0]["weights"], 3);
  EXPECT_EQ(json["forms"][0]["made_of"], "a");
  for (const auto& tensor : json["tensors"]) {
    if (tensor["class"] != "quantised") continue;
    EXPECT_GT(tensor["snr_db"], 15);
    EXPECT_LT(tensor["relative_change"], 0.2);
    EXPECT_EQ(tensor["off"], 0);
  }
}

}  // namespace
}  // namespace wshare

// On testdata/quantised, which real quantisers made of one model (testdata/make/quantised.py).

#include "compare/relations.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>

#include "support/bytes.h"
#include "support/places.h"

namespace wshare {
namespace {

using Kind = WeightRelation::Kind;

std::filesystem::path file(const std::string& name) {
  return std::filesystem::path(test::kTestdata) / "quantised" / (name + ".onnx");
}

// What was found, by the name of b's tensor: the name in a, " transposed", and what is wrong.
using Found = std::map<std::string, std::string>;

struct Pair {
  explicit Pair(const std::string& of_a, const std::string& of_b)
      : a(scan_model(file(of_a))), b(scan_model(file(of_b))), graph(build_graph(b)), index(a) {}

  std::vector<WeightRelation> relations(unsigned threads = 0) const {
    return find_relations(index, b, graph, {64, threads, {}});
  }
  const TensorRef& in_a(const WeightRelation& found) const {
    return a.tensors[static_cast<size_t>(found.a)];
  }
  const TensorRef& in_b(const WeightRelation& found) const {
    return b.tensors[static_cast<size_t>(found.b)];
  }

  ScannedModel a, b;
  ComputeGraph graph;
  WeightIndex index;
};

Found found_in(const std::string& a, const std::string& b, Kind kind) {
  const Pair pair(a, b);
  Found found;
  for (const WeightRelation& relation : pair.relations()) {
    if (relation.kind != kind) continue;
    found[pair.in_b(relation).name] =
        pair.in_a(relation).name + (relation.transposed ? " transposed" : "") +
        (relation.wrong > 0 ? " wrong " + std::to_string(relation.wrong) : "");
  }
  return found;
}

Found quantised_in(const std::string& name) { return found_in("float32", name, Kind::kQuantised); }

TEST(Relations, FindWhatWasQuantisedDynamically) {
  const Found found = {{"embedding.weight_quantized", "embedding.weight"},
                       {"up.weight_quantized", "up.weight"},
                       {"down.weight_quantized", "down.weight"},
                       {"head.weight_Transposed_quantized", "head.weight transposed"},
                       {"conv.weight_quantized", "conv.weight"}};
  EXPECT_EQ(quantised_in("dynamic_int8"), found);
  EXPECT_EQ(quantised_in("dynamic_uint8"), found);  // per channel, reduced range
}

TEST(Relations, FindWhatWasQuantisedStatically) {
  Found found = {{"embedding.weight_quantized", "embedding.weight"},
                 {"up.weight_quantized", "up.weight"},
                 {"down.weight_quantized", "down.weight"},
                 {"head.weight_quantized", "head.weight"},
                 {"conv.weight_quantized", "conv.weight"}};
  EXPECT_EQ(quantised_in("qoperator"), found);
  found["up.bias_quantized"] = "up.bias";
  EXPECT_EQ(quantised_in("qdq"), found);
  EXPECT_EQ(quantised_in("qdq_int4"), (Found{{"up.weight_quantized", "up.weight"},
                                             {"down.weight_quantized", "down.weight"}}));
}

TEST(Relations, FindWhatWasQuantisedInBlocks) {
  const Found found = {{"embedding.weight_Q4", "embedding.weight"},
                       {"up.weight_Q4", "up.weight transposed"},
                       {"down.weight_Q4", "down.weight transposed"}};
  EXPECT_EQ(quantised_in("q4"), found);
  EXPECT_EQ(quantised_in("q4_asymmetric"), found);
  EXPECT_EQ(quantised_in("q4_qdq"),
            (Found{{"up.weight_DQ_Q4", "up.weight"}, {"down.weight_DQ_Q4", "down.weight"}}));
  EXPECT_EQ(quantised_in("q8"), (Found{{"up.weight_Q8", "up.weight transposed"},
                                       {"down.weight_Q8", "down.weight transposed"}}));
}

// A model of float16 that was quantised: of its own weights, and of those it was cast from.
TEST(Relations, FindWhatWasQuantisedAfterACast) {
  const Found found = {{"up.weight_Q4", "up.weight transposed"},
                       {"down.weight_Q4", "down.weight transposed"}};
  EXPECT_EQ(quantised_in("q4f16"), found);
  EXPECT_EQ(found_in("float16", "q4f16", Kind::kQuantised), found);
}

TEST(Relations, GoByContentNotByName) {
  const Found found = quantised_in("renamed");
  std::map<std::string, int> bases;
  for (const auto& [name, base] : found) {
    EXPECT_EQ(name[0], 't');
    ++bases[base];
  }
  EXPECT_EQ(bases, (std::map<std::string, int>{{"embedding.weight", 1},
                                               {"up.weight", 1},
                                               {"down.weight", 1},
                                               {"head.weight transposed", 1},
                                               {"conv.weight", 1}}));
}

TEST(Relations, FindCasts) {
  EXPECT_EQ(found_in("float32", "float16", Kind::kCast),
            (Found{{"embedding.weight", "embedding.weight"},
                   {"up.weight", "up.weight"},
                   {"up.bias", "up.bias"},
                   {"down.weight", "down.weight"},
                   {"head.weight", "head.weight"},
                   {"conv.weight", "conv.weight"}}));
  EXPECT_TRUE(quantised_in("float16").empty());
  EXPECT_TRUE(quantised_in("float32").empty());
  // float16 does not have the bits back.
  EXPECT_TRUE(found_in("float16", "float32", Kind::kCast).empty());
}

// The quantised tensors, and nothing of other models.
TEST(Relations, FindNothingInAnotherModel) {
  const std::filesystem::path other =
      std::filesystem::path(test::kTestdata) / "t5-seq2seq/encoder.onnx";
  const ScannedModel a = scan_model(other), b = scan_model(file("dynamic_int8"));
  EXPECT_TRUE(find_relations(WeightIndex(a), b, build_graph(b)).empty());
}

// What archive does with it: the residual of a relation without misses is empty, and the bytes come
// back from what the bundle has anyway.
TEST(Relations, PredictTheBytes) {
  for (const char* name : {"dynamic_int8", "qdq", "q4", "q4_asymmetric", "q8", "qdq_int4"}) {
    SCOPED_TRACE(name);
    const Pair pair("float32", name);
    for (const WeightRelation& relation : pair.relations()) {
      if (relation.kind != Kind::kQuantised) continue;
      const std::string actual = test::text_of(pair.in_b(relation).bytes);
      std::string bytes;
      decode_quantised(quantised_prediction(pair.a, pair.b, relation), {}, test::append_to(bytes));
      EXPECT_EQ(bytes == actual, true) << pair.in_b(relation).name;
      const FormError error =
          error_of(quantised_prediction(pair.a, pair.b, relation), pair.in_b(relation).bytes);
      EXPECT_GT(error.relative(), 0.002);
      EXPECT_LT(error.relative(), 0.12);
    }
  }
}

TEST(WeightIndex, FindsTheNameThatAnotherOneBeganWith) {
  const ScannedModel model = scan_model(file("float32"));
  const WeightIndex index(model);
  const auto name_of = [&](const char* name) -> std::string {
    const int32_t found = index.namesake(name);
    return found == kAbsent ? "" : std::string(model.tensors[static_cast<size_t>(found)].name);
  };
  EXPECT_EQ(name_of("up.weight_quantized"), "up.weight");
  EXPECT_EQ(name_of("up.weight"), "up.weight");
  EXPECT_EQ(name_of("head.weight_Transposed_quantized"), "head.weight");
  EXPECT_EQ(name_of("t8"), "");
  EXPECT_EQ(name_of(""), "");
}

TEST(Relations, DoNotDependOnThreads) {
  const Pair pair("float32", "q4");
  const std::vector<WeightRelation> one = pair.relations(1), four = pair.relations(4);
  ASSERT_EQ(one.size(), four.size());
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(one[i].a, four[i].a);
    EXPECT_EQ(one[i].b, four[i].b);
    EXPECT_EQ(one[i].quantised.how, four[i].quantised.how);
  }
}

}  // namespace
}  // namespace wshare

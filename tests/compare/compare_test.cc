#include "compare/compare.h"

#include <map>

#include "compare/compare_models.h"
#include "compare/transformer.h"

namespace wshare {
namespace {

using test::encoder_weights;
using test::Export;
using test::export_encoder;
using test::Exported;
using test::Matrix;
using test::Proto;
using test::Weights;

constexpr int kLayers = 3;

class CompareModels : public test::CompareTest {
 protected:
  // Expects each module of b to be found in a, `expected` of some and the rest of equal bytes.
  void expect_modules(const Exported& a, const Exported& b,
                      const std::map<std::string, Said>& expected) {
    const std::map<std::string, Said> said = compare(a.model, b.model);
    for (const auto& [module, name] : b.name_of) {
      SCOPED_TRACE(module);
      ASSERT_EQ(said.count(name), 1u);
      const Said& found = said.at(name);
      EXPECT_EQ(found.counterpart, a.name_of.at(module));
      const auto special = expected.find(module);
      if (special == expected.end()) {
        EXPECT_EQ(found.tensor_class, name == a.name_of.at(module) ? "same" : "renamed");
        continue;
      }
      EXPECT_EQ(found.tensor_class, special->second.tensor_class);
      EXPECT_EQ(found.rank, special->second.rank);
      EXPECT_EQ(found.transposed, special->second.transposed);
    }
    EXPECT_TRUE(removed_.empty()) << removed_.begin()->first;
  }

  // `weights` with an update of rank 4 in q and v of every layer.
  static Weights with_merged_lora(Weights weights) {
    for (int layer = 0; layer < kLayers; ++layer) {
      for (const char* name : {".q", ".v"}) {
        Matrix& matrix = weights.at(std::to_string(layer) + name);
        const auto seed = static_cast<uint64_t>(100 + layer * 10 + name[1]);
        matrix = sum(matrix, test::low_rank(matrix.rows, matrix.cols, 4, seed, 0.02));
      }
    }
    return weights;
  }

  static std::map<std::string, Said> q_and_v(const Said& said) {
    std::map<std::string, Said> result;
    for (int layer = 0; layer < kLayers; ++layer) {
      for (const char* name : {".q", ".v"}) result[std::to_string(layer) + name] = said;
    }
    return result;
  }
};

const Weights& base_weights() {
  static const Weights weights = encoder_weights(kLayers, 1);
  return weights;
}

TEST_F(CompareModels, FindsAllTensorsOfAModelInItself) {
  const Exported a = export_encoder(base_weights(), kLayers);
  expect_modules(a, a, {});
}

// Each export has other numbers; several of b's names are names of other weights of a.
TEST_F(CompareModels, PairsMergedLoraByPlaceNotByName) {
  const Exported a = export_encoder(base_weights(), kLayers);
  const Weights tuned = with_merged_lora(base_weights());
  struct Case {
    const char* name;
    Export options;
    Said said;
  };
  for (const Case& c :
       {Case{"same names", {}, {"", "low_rank", 4, false, false}},
        Case{"shifted names", {.first_number = 107}, {"", "low_rank", 4, false, false}},
        Case{"shifted by one", {.first_number = 101}, {"", "low_rank", 4, false, false}},
        Case{"other order", {.reverse_branches = true}, {"", "low_rank", 4, false, false}},
        Case{"stored transposed",
             {.first_number = 107, .transposed = {"0.q", "0.v", "1.q", "1.v", "2.q", "2.v"}},
             {"", "low_rank", 4, true, false}},
        Case{"through Identity",
             {.through_identity = {"0.q", "1.v", "2.k"}},
             {"", "low_rank", 4, false, false}}}) {
    SCOPED_TRACE(c.name);
    const Exported b = export_encoder(tuned, kLayers, c.options);
    expect_modules(a, b, q_and_v(c.said));
  }
}

TEST_F(CompareModels, FindsMergedLoraInHalfPrecision) {
  Export half{.type = Proto::FLOAT16};
  const Exported a = export_encoder(base_weights(), kLayers, half);
  half.first_number = 107;
  const Exported b = export_encoder(with_merged_lora(base_weights()), kLayers, half);
  expect_modules(a, b, q_and_v({"", "low_rank", 4, false, false}));
}

TEST_F(CompareModels, PairsEveryTensorOfAFullFineTune) {
  const Exported a = export_encoder(base_weights(), kLayers);
  Weights tuned = base_weights();
  uint64_t seed = 500;
  std::map<std::string, Said> expected;
  for (auto& [module, matrix] : tuned) {
    matrix = sum(matrix, test::random_matrix(matrix.rows, matrix.cols, seed++, 0.001));
    expected[module] = {"", "replaced", 0, false, false};
  }
  for (const int first : {100, 103}) {
    SCOPED_TRACE(first);
    expect_modules(a, export_encoder(tuned, kLayers, {.first_number = first}), expected);
  }
}

TEST_F(CompareModels, FindsTransposesAndCasts) {
  const Exported a = export_encoder(base_weights(), kLayers);
  const Exported flipped =
      export_encoder(base_weights(), kLayers, {.first_number = 104, .transposed = {"1.up", "2.k"}});
  expect_modules(
      a, flipped,
      {{"1.up", {"", "transposed", 0, true, false}}, {"2.k", {"", "transposed", 0, true, false}}});
  for (const int type : {Proto::FLOAT16, Proto::BFLOAT16, Proto::DOUBLE}) {
    std::map<std::string, Said> expected;
    for (const auto& [module, matrix] : base_weights()) {
      expected[module] = {"", "cast", 0, false, false};
    }
    const Exported b = export_encoder(base_weights(), kLayers, {.first_number = 104, .type = type});
    expect_modules(a, b, expected);
  }
}

TEST_F(CompareModels, LeavesANewHeadAlone) {
  const Exported a = export_encoder(base_weights(), kLayers);
  Weights tuned = with_merged_lora(base_weights());
  tuned["head"] = test::random_matrix(48, 48, 900);  // of the shape of other weights
  const Exported b = export_encoder(tuned, kLayers, {.first_number = 101, .head = true});
  const auto said = compare(a.model, b.model);
  EXPECT_EQ(said.at(b.name_of.at("head")).tensor_class, "added");
  EXPECT_EQ(said.at(b.name_of.at("1.q")).counterpart, a.name_of.at("1.q"));
  EXPECT_EQ(said.at(b.name_of.at("1.v")).rank, 4);
  const auto back = compare(b.model, a.model);
  EXPECT_EQ(removed_, (std::map<std::string, bool>{{b.name_of.at("head"), false}}));
}

TEST_F(CompareModels, FindsKnownWeightsAroundANewLayer) {
  const Exported a = export_encoder(base_weights(), kLayers);
  Weights grown = base_weights();
  for (const auto& [module, matrix] : encoder_weights(1, 700)) {
    if (module != "embed") grown["3" + module.substr(1)] = matrix;
  }
  const Exported b = export_encoder(grown, kLayers + 1, {.first_number = 101});
  const auto said = compare(a.model, b.model);
  for (const auto& [module, name] : b.name_of) {
    SCOPED_TRACE(module);
    if (module[0] == '3') {
      EXPECT_EQ(said.at(name).tensor_class, "added");
    } else {
      EXPECT_EQ(said.at(name).counterpart, a.name_of.at(module));
    }
  }
}

TEST_F(CompareModels, SaysTheSameOnAnyNumberOfThreads) {
  const Exported a = export_encoder(base_weights(), kLayers);
  const Exported b = export_encoder(with_merged_lora(base_weights()), kLayers);
  CompareOptions one, four;
  one.threads = 1;
  four.threads = 4;
  EXPECT_EQ(compare(a.model, b.model, one), compare(a.model, b.model, four));
}

}  // namespace
}  // namespace wshare

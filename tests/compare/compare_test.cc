#include "compare/compare.h"

#include <map>
#include <mutex>

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

// What on_low_rank was given, by the name of the tensor in b.
std::map<std::string, LowRankFactors> factors_of(const test::fs::path& path_a,
                                                 const test::fs::path& path_b, unsigned threads) {
  const ScannedModel a = scan_model(path_a);
  const ScannedModel b = scan_model(path_b);
  std::map<std::string, LowRankFactors> factors;
  std::map<size_t, int32_t> tensor_at;
  std::mutex mutex;
  CompareOptions options;
  options.threads = threads;
  options.on_low_rank = [&](size_t index, const TensorMatch& match, LowRankFactors&& found) {
    const std::lock_guard lock(mutex);
    EXPECT_EQ(match.tensor_class, TensorClass::kLowRank);
    EXPECT_EQ(match.delta->rank, static_cast<int64_t>(found.rank));
    EXPECT_TRUE(tensor_at.emplace(index, match.b).second) << "called twice";
    factors[b.tensors[static_cast<size_t>(match.b)].name] = std::move(found);
  };
  const ComparisonBase base(a);
  const ModelComparison comparison = compare_models(base, b, options);
  for (const auto& [index, tensor] : tensor_at) {
    EXPECT_EQ(comparison.tensors.at(index).b, tensor);
  }
  return factors;
}

TEST_F(CompareModels, HandsOutTheFactorsOfEachLowRank) {
  const Exported a = export_encoder(base_weights(), kLayers);
  const Weights tuned = with_merged_lora(base_weights());
  const Exported b =
      export_encoder(tuned, kLayers, {.first_number = 107, .transposed = {"1.q", "2.v"}});
  add("a.onnx", a.model);
  add("b.onnx", b.model);
  const auto one = factors_of(temp_ / "in/a.onnx", temp_ / "in/b.onnx", 1);
  EXPECT_EQ(one.size(), 2u * kLayers);
  for (int layer = 0; layer < kLayers; ++layer) {
    for (const char* name : {".q", ".v"}) {
      const std::string module = std::to_string(layer) + name;
      SCOPED_TRACE(module);
      ASSERT_EQ(one.count(b.name_of.at(module)), 1u);
      const LowRankFactors& factors = one.at(b.name_of.at(module));
      ASSERT_EQ(factors.rank, 4u);
      // In the orientation of a, also where b is stored transposed.
      const Matrix update = product(Matrix{48, 4, factors.left}, Matrix{4, 48, factors.right});
      const Matrix& base = base_weights().at(module);
      for (size_t i = 0; i < update.values.size(); ++i) {
        ASSERT_NEAR(base.values[i] + update.values[i], tuned.at(module).values[i], 1e-6);
      }
    }
  }
  const auto four = factors_of(temp_ / "in/a.onnx", temp_ / "in/b.onnx", 4);
  for (const auto& [name, factors] : one) {
    EXPECT_EQ(factors.left, four.at(name).left);  // bit for bit
    EXPECT_EQ(factors.right, four.at(name).right);
    EXPECT_EQ(factors.values, four.at(name).values);
  }
}

TEST_F(CompareModels, HandsOutATiedDeltaOnceForEachTensor) {
  // One weight is embedding and head; another exporter writes the head on its own, transposed.
  const Matrix base = test::random_matrix(90, 48, 950);
  const auto tied = [](const Matrix& weight, bool written_twice) {
    onnx::ModelProto model = test::empty_model();
    onnx::GraphProto& graph = *model.mutable_graph();
    graph.add_input()->set_name("ids");
    *graph.add_initializer() = test::tensor("embed", weight);
    if (written_twice) {
      *graph.add_initializer() = test::tensor("head", test::transposed(weight));
    } else {
      test::add_node(graph, "Transpose", {"embed"}, {"head"});
    }
    test::add_node(graph, "Gather", {"embed", "ids"}, {"x"});
    test::add_node(graph, "Relu", {"x"}, {"y"});
    test::add_node(graph, "MatMul", {"y", "head"}, {"logits"});
    graph.add_output()->set_name("logits");
    return model;
  };
  const Matrix tuned = sum(base, test::low_rank(90, 48, 5, 951, 0.02));
  add("a.onnx", tied(base, false));
  struct Case {
    const char* name;
    bool written_twice;
    size_t tensors;
  };
  for (const Case& c : {Case{"tied", false, 1}, Case{"written twice", true, 2}}) {
    SCOPED_TRACE(c.name);
    add("b.onnx", tied(tuned, c.written_twice));
    const auto found = factors_of(temp_ / "in/a.onnx", temp_ / "in/b.onnx", 2);
    EXPECT_EQ(found.size(), c.tensors);
    for (const auto& [name, factors] : found) {
      SCOPED_TRACE(name);
      EXPECT_EQ(factors.rank, 5u);
      EXPECT_EQ(factors.rows, 90u);  // as a stores it
      EXPECT_EQ(factors.cols, 48u);
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

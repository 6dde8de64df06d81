// What ONNX Runtime computes with branches: without adapters the bits of the base, at every
// optimisation level; with A and B what the merged weights give.

#include "lora/sessions.h"
#include "support/places.h"

namespace wshare {
namespace {

using namespace test;

constexpr int64_t kRank = 3;

// A and B of one weight.
struct Pair {
  onnx::TensorProto a, b;
  Matrix delta;  // of the weight as stored
};

Pair make_pair(const Branch& branch, int64_t rank, uint64_t seed) {
  const Shape a = ranked(branch.site.a_shape, rank), b = ranked(branch.site.b_shape, rank);
  const Matrix of_a = values_of(a, seed, 0.1), of_b = values_of(b, seed + 1, 0.1);
  const bool conv = branch.site.layout == FactorLayout::kConv;
  Matrix delta = conv ? product(of_b, of_a) : product(of_a, of_b);
  if (branch.site.layout == FactorLayout::kOutIn) delta = transposed(delta);
  return {tensor_of("a", a, of_a, branch.site.dtype), tensor_of("b", b, of_b, branch.site.dtype),
          delta};
}

void add_feeds(std::vector<Feed>& feeds, const Branch& branch, const Pair& pair) {
  for (const auto& [name, tensor] :
       {std::pair(branch.site.names.a, &pair.a), std::pair(branch.site.names.b, &pair.b)}) {
    feeds.push_back({name, tensor->data_type(), Shape(tensor->dims().begin(), tensor->dims().end()),
                     tensor->raw_data()});
  }
}

class LoraOutputs : public testing::TestWithParam<Form> {};

TEST_P(LoraOutputs, AreTheBasesWithoutAndTheMergedWithAdapter) {
  const Form& form = GetParam();
  const Matrix weight = values_of(form.shape, 1);
  const onnx::ModelProto base = model_of(form, weight);
  onnx::ModelProto branched = base;
  Branch branch = branch_of(branched, "w", form.scope);
  const Pair pair = make_pair(branch, kRank, 5);
  add_branches(branched, {branch});
  const onnx::ModelProto merged = model_of(form, sum(weight, pair.delta));
  onnx::ModelProto constant = base;
  branch.a = &pair.a;
  branch.b = &pair.b;
  add_branches(constant, {branch});

  const std::vector<Feed> plain = feeds_of(base, 6);
  std::vector<Feed> adapted = plain, empty = plain;
  add_feeds(adapted, branch, pair);
  const double tolerance = form.type == onnx::TensorProto::FLOAT16 ? 3e-3 : 1e-5;
  for (const GraphOptimizationLevel level : kLevels) {
    SCOPED_TRACE(level);
    const Outputs expected = run(base, level, plain);
    EXPECT_TRUE(run(branched, level, plain).bytes == expected.bytes);
    const Outputs tuned = run(merged, level, plain);
    EXPECT_GT(distance(expected, tuned), 10 * tolerance);
    EXPECT_LT(distance(tuned, run(branched, level, adapted)), tolerance);
    EXPECT_LT(distance(tuned, run(constant, level, plain)), tolerance);
  }
  if (branch.site.default_rank != 0) return;
  add_feeds(empty, branch, make_pair(branch, 0, 5));
  EXPECT_TRUE(run(branched, ORT_ENABLE_ALL, empty).bytes == run(base, ORT_ENABLE_ALL, plain).bytes);
}

INSTANTIATE_TEST_SUITE_P(Forms, LoraOutputs, testing::ValuesIn(forms()),
                         [](const testing::TestParamInfo<Form>& param) {
                           std::string name = param.param.name;
                           std::erase_if(name, [](char c) { return std::isalnum(c) == 0; });
                           return name;
                         });

// A branch for every weight of `model` that can have one.
std::vector<Branch> all_branches(onnx::ModelProto& model) {
  const SiteFinder finder(model);
  std::vector<Branch> branches;
  std::vector<std::string> paths;
  for (const onnx::TensorProto& tensor : model.graph().initializer()) {
    if (tensor.dims_size() < 2) continue;
    FoundSite found = finder.find("", tensor.name());
    if (!found.site) continue;
    paths.push_back(module_path(tensor.name(), found.layers));
    branches.push_back({std::move(*found.site), nullptr, nullptr});
  }
  const std::vector<BranchNames> names = name_branches(model, paths);
  for (size_t i = 0; i < branches.size(); ++i) branches[i].site.names = names[i];
  return branches;
}

class LoraFamilies : public testing::TestWithParam<const char*> {};

TEST_P(LoraFamilies, KeepTheBitsOfTheBaseAndTakeAnyRanks) {
  const fs::path path = fs::path(test::kTestdata) / GetParam();
  onnx::ModelProto base;
  ASSERT_TRUE(base.ParseFromString(read_file(path.string() + ".onnx")));
  onnx::ModelProto branched = base, merged = base;
  const std::vector<Branch> branches = all_branches(branched);
  ASSERT_GE(branches.size(), 8u);
  add_branches(branched, branches);

  const std::vector<Feed> plain = stored_feeds(path / "test_data_set_0");
  ASSERT_FALSE(plain.empty());
  std::vector<Feed> adapted = plain;
  for (size_t i = 0; i < branches.size(); ++i) {
    const auto rank = static_cast<int64_t>(i * 5 % 7);  // 0 to 6, in no order
    if (rank == 0) continue;                            // the default
    const Pair pair = make_pair(branches[i], rank, 2 * i);
    add_feeds(adapted, branches[i], pair);
    for (onnx::TensorProto& tensor : *merged.mutable_graph()->mutable_initializer()) {
      if (tensor.name() != branches[i].site.name) continue;
      Matrix weight{tensor.dims(0), tensor.dims(1), values_of(tensor.raw_data(), Proto::FLOAT)};
      tensor.set_raw_data(float_bytes(sum(weight, pair.delta).values, Proto::FLOAT));
    }
  }
  for (const GraphOptimizationLevel level : kLevels) {
    SCOPED_TRACE(level);
    EXPECT_TRUE(run(branched, level, plain).bytes == run(base, level, plain).bytes);
  }
  const Outputs tuned = run(merged, ORT_ENABLE_ALL, plain);
  EXPECT_GT(distance(run(base, ORT_ENABLE_ALL, plain), tuned), 0.01);
  EXPECT_LT(distance(tuned, run(branched, ORT_ENABLE_ALL, adapted)), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Testdata, LoraFamilies,
                         testing::Values("t5-lora/base", "t5-lora/summarize", "t5-seq2seq/encoder",
                                         "t5-seq2seq/decoder"),
                         [](const testing::TestParamInfo<const char*>& param) {
                           std::string name = param.param;
                           std::erase_if(name, [](char c) { return std::isalnum(c) == 0; });
                           return name;
                         });

}  // namespace
}  // namespace wshare

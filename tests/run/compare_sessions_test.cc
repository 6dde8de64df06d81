#include "run/compare_sessions.h"

#include <gtest/gtest.h>

#include "run/two_models.h"

namespace wshare::test {
namespace {

TEST_F(TwoModels, ComparesASessionWithItsOriginal) {
  Bundle bundle = Bundle::open(folder());
  const NamedModel a = find_models(folder(), {"a"}).at(0);
  const auto compare_with = [&](const std::string& file) {
    return compare_sessions(a, shared_opener(bundle, Tier::kAuto), {"a", temp_ / file},
                            plain_opener(), {});
  };
  EXPECT_TRUE(compare_with("in/a.onnx").at(0).bit_equal);
  const ParityRow other = compare_with("in/b.onnx").at(0);
  EXPECT_FALSE(other.bit_equal);
  EXPECT_GT(other.max_abs_diff, 0);
  EXPECT_LT(other.max_abs_diff, 1.01);  // the biases are in [-0.5, 0.5)
  EXPECT_EQ(other.noise_abs_diff, 0);   // nothing is fused in one MatMul and Add
  onnx::ModelProto renamed = matmul_model(64, 512, floats(512, 2));
  renamed.mutable_graph()->mutable_output(0)->set_name("z");
  renamed.mutable_graph()->mutable_node(1)->set_output(0, "z");
  add("renamed.onnx", renamed);
  EXPECT_EQ(code_of([&] { compare_with("in/renamed.onnx"); }), 4);
}

TEST_F(TwoModels, ComparesWithAnOriginalThatDoesNotRunUnoptimised) {
  Bundle bundle = Bundle::open(folder());
  const NamedModel a = find_models(folder(), {"a"}).at(0);
  const Opener open_b = [&](const NamedModel&) {
    return plain_opener()({"b", temp_ / "in/b.onnx"});  // whose file is not found a second time
  };
  const ParityRow row =
      compare_sessions(a, shared_opener(bundle, Tier::kAuto), {"b", temp_ / "none"}, open_b, {})
          .at(0);
  EXPECT_GT(row.max_abs_diff, 0);
  EXPECT_EQ(row.noise_abs_diff, std::nullopt);
}

}  // namespace
}  // namespace wshare::test

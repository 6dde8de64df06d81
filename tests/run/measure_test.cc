#include "run/measure.h"

#include <gtest/gtest.h>

#include "format/manifest.h"
#include "run/graphs.h"
#include "support/bundle_test.h"

namespace wshare::test {
namespace {

TEST(Median, IsTheMiddleOrTheMeanOfTheTwoInTheMiddle) {
  EXPECT_EQ(median({}), 0);
  EXPECT_EQ(median({4}), 4);
  EXPECT_EQ(median({9, 1}), 5);
  EXPECT_EQ(median({9, 1, 2}), 2);
  EXPECT_EQ(median({9, 1, 2, 4}), 3);
}

class Measure : public BundleTest {
 protected:
  Measure() {
    add("a.onnx", matmul_model(64, 512, floats(512, 2)));
    add("b.onnx", matmul_model(64, 512, floats(512, 3)));
    make();
  }
  fs::path folder() const { return temp_ / "bundle"; }
};

TEST_F(Measure, FindsModelsByName) {
  const auto names = [&](const std::vector<std::string>& wanted) {
    std::vector<std::string> result;
    for (const NamedModel& model : find_models(folder(), wanted)) {
      EXPECT_EQ(model.path, folder() / (model.name + ".onnx"));
      result.push_back(model.name);
    }
    return result;
  };
  EXPECT_EQ(names({}), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(names({"b", "a", "b"}), (std::vector<std::string>{"b", "a"}));
  std::string hint;
  EXPECT_EQ(code_of([&] { names({"c"}); }, nullptr, &hint), 4);
  EXPECT_EQ(hint, "it has 'a', 'b'");
  Manifest manifest = load_manifest(folder());
  manifest.models.clear();
  write_file(folder() / kManifestName, to_json(manifest));
  EXPECT_EQ(code_of([&] { names({}); }), 4);
}

TEST_F(Measure, MakesAndRunsEachSession) {
  Bundle bundle = Bundle::open(folder());
  unsigned opened = 0;
  const Opener open = shared_opener(bundle, Tier::kAuto);
  MeasureOptions options;
  options.sessions = 3;
  options.repeat = 2;
  const Measurement result = measure(
      find_models(folder(), {}),
      [&](const NamedModel& model) {
        ++opened;
        return open(model);
      },
      options);
  EXPECT_EQ(opened, 6u);
  ASSERT_EQ(result.sessions.size(), 6u);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(result.sessions[i].model, i < 3 ? "a" : "b");
    EXPECT_GT(result.sessions[i].create_ms, 0);
    EXPECT_GT(result.sessions[i].first_run_ms, 0);
    EXPECT_GT(result.sessions[i].run_ms_median, 0);
    EXPECT_LE(result.sessions[i].run_ms_min, result.sessions[i].run_ms_median);
    EXPECT_GE(result.sessions[i].run_ms_max, result.sessions[i].run_ms_median);
  }
  EXPECT_GT(result.memory.pss, 0u);
  EXPECT_GT(result.memory.anonymous, 0u);
}

TEST_F(Measure, ComparesASessionWithItsOriginal) {
  Bundle bundle = Bundle::open(folder());
  const NamedModel a = find_models(folder(), {"a"}).at(0);
  const auto compare_with = [&](const std::string& file) {
    return compare_models(a, shared_opener(bundle, Tier::kAuto), {"a", temp_ / file}, open_plain,
                          {});
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

TEST_F(Measure, ComparesWithAnOriginalThatDoesNotRunUnoptimised) {
  Bundle bundle = Bundle::open(folder());
  const NamedModel a = find_models(folder(), {"a"}).at(0);
  const Opener open_b = [&](const NamedModel&) {
    return open_plain({"b", temp_ / "in/b.onnx"});  // whose file is not found a second time
  };
  const ParityRow row =
      compare_models(a, shared_opener(bundle, Tier::kAuto), {"b", temp_ / "none"}, open_b, {})
          .at(0);
  EXPECT_GT(row.max_abs_diff, 0);
  EXPECT_EQ(row.noise_abs_diff, std::nullopt);
}

TEST_F(Measure, SaysThatMadeUpInputsMayBeTheReason) {
  std::string hint;
  add("deep.onnx", [] {  // 8 columns are made up, 3 are needed
    onnx::ModelProto model = empty_model();
    set_type(*model.mutable_graph()->add_input(), "x", onnx::TensorProto::FLOAT, {"n", "m"});
    set_type(*model.mutable_graph()->add_output(), "y", onnx::TensorProto::FLOAT, {"n", "2"});
    *model.mutable_graph()->add_initializer() =
        raw("w", floats(6, 1), onnx::TensorProto::FLOAT, {3, 2});
    add_node(*model.mutable_graph(), "MatMul", {"x", "w"}, {"y"});
    return model;
  }());
  const NamedModel model{"deep", temp_ / "in/deep.onnx"};
  EXPECT_EQ(code_of([&] { measure({model}, open_plain, {}); }, nullptr, &hint), 6);
  EXPECT_NE(hint.find("--shape"), std::string::npos) << hint;
  MeasureOptions options;
  options.inputs.shapes["x"] = {4, 3};
  EXPECT_EQ(measure({model}, open_plain, options).sessions.size(), 1u);
}

}  // namespace
}  // namespace wshare::test

#include "run/measure.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "run/graphs.h"
#include "run/two_models.h"

namespace wshare::test {
namespace {

TEST(Median, IsTheMiddleOrTheMeanOfTheTwoInTheMiddle) {
  EXPECT_EQ(median({}), 0);
  EXPECT_EQ(median({4}), 4);
  EXPECT_EQ(median({9, 1}), 5);
  EXPECT_EQ(median({9, 1, 2}), 2);
  EXPECT_EQ(median({9, 1, 2, 4}), 3);
}

TEST_F(TwoModels, FindsModelsByName) {
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

TEST_F(TwoModels, MakesAndRunsEachSession) {
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
    const auto stages = result.sessions[i].stages;
    ASSERT_TRUE(stages) << "does ONNX Runtime log its stages in other words?";
    EXPECT_GT(std::min({stages->load, stages->optimise, stages->pack}), 0);
    EXPECT_NEAR(stages->load + stages->optimise + stages->pack, result.sessions[i].create_ms, 0.01);
    EXPECT_GT(result.sessions[i].first_run_ms, 0);
    EXPECT_GT(result.sessions[i].run_ms_median, 0);
    EXPECT_LE(result.sessions[i].run_ms_min, result.sessions[i].run_ms_median);
    EXPECT_GE(result.sessions[i].run_ms_max, result.sessions[i].run_ms_median);
  }
  EXPECT_GT(result.memory.pss, 0u);
  EXPECT_GT(result.memory.anonymous, 0u);
}

TEST_F(TwoModels, SaysThatMadeUpInputsMayBeTheReason) {
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
  EXPECT_EQ(code_of([&] { measure({model}, plain_opener(), {}); }, nullptr, &hint), 6);
  EXPECT_NE(hint.find("--shape"), std::string::npos) << hint;
  MeasureOptions options;
  options.inputs.shapes["x"] = {4, 3};
  EXPECT_EQ(measure({model}, plain_opener(), options).sessions.size(), 1u);
}

}  // namespace
}  // namespace wshare::test

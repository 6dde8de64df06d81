// Models whose structure asks for work that grows faster than they do.

#include <cstring>

#include "compare/compare_models.h"
#include "support/errors.h"

namespace wshare {
namespace {

using test::add_node;
using test::code_of;
using test::empty_model;
using test::Proto;
using test::raw;

constexpr int kCount = 3000;
constexpr uint64_t kMostSteps = 100 * kCount;  // each with each: nine million

std::string floats(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

class HostileModels : public test::CompareTest {
 protected:
  // How many of b's tensors are of each class. Expects steps to grow with the models only.
  std::map<std::string, int> count(const onnx::ModelProto& a, const onnx::ModelProto& b) {
    add("a.onnx", a);
    add("b.onnx", b);
    const ScannedModel in_a = scan_model(temp_ / "in/a.onnx");
    const ScannedModel in_b = scan_model(temp_ / "in/b.onnx");
    std::map<std::string, int> classes;
    const ModelComparison comparison = compare_models(ComparisonBase(in_a), in_b, {});
    for (const TensorMatch& match : comparison.tensors) ++classes[text_of(match.tensor_class)];
    EXPECT_LT(comparison.steps, kMostSteps);
    return classes;
  }

  // A model of `count` matrices that nothing reads.
  template <typename Values>
  static onnx::ModelProto unread(const std::string& prefix, const std::vector<int64_t>& shape,
                                 const Values& values) {
    onnx::ModelProto model = empty_model();
    for (int i = 0; i < kCount; ++i) {
      *model.mutable_graph()->add_initializer() =
          raw(prefix + std::to_string(i), floats(values(i)), Proto::FLOAT, shape);
    }
    return model;
  }

  // One value that `count` nodes read with a weight each.
  static onnx::ModelProto wide(const std::string& prefix) {
    onnx::ModelProto model = empty_model();
    onnx::GraphProto& graph = *model.mutable_graph();
    graph.add_input()->set_name("x");
    for (int i = 0; i < kCount; ++i) {
      const std::string number = std::to_string(i);
      *graph.add_initializer() = raw(prefix + number, floats({1}), Proto::FLOAT, {1});
      add_node(graph, "Add", {"x", prefix + number}, {"y" + number});
      graph.add_output()->set_name("y" + number);
    }
    return model;
  }

  // A chain of Identity nodes, the end of which many nodes read.
  static onnx::ModelProto chain(int length, int readers) {
    onnx::ModelProto model = empty_model();
    onnx::GraphProto& graph = *model.mutable_graph();
    graph.add_input()->set_name("0");
    for (int i = 0; i < length; ++i)
      add_node(graph, "Identity", {std::to_string(i)}, {std::to_string(i + 1)});
    for (int i = 0; i < readers; ++i)
      add_node(graph, "Relu", {std::to_string(length)}, {"y" + std::to_string(i)});
    return model;
  }
};

TEST_F(HostileModels, FindsManyEqualTensors) {
  const auto values = [](int) { return std::vector<float>{1, 2, 3, 4}; };
  const onnx::ModelProto a = unread("a", {2, 2}, values), b = unread("b", {2, 2}, values);
  using Classes = std::map<std::string, int>;
  EXPECT_EQ(count(a, a), (Classes{{"same", kCount}}));
  EXPECT_EQ(count(a, b), (Classes{{"renamed", kCount}}));
}

TEST_F(HostileModels, FindsManyTransposes) {
  const auto turned = [](int i, bool turn) {
    const auto high = static_cast<float>(i / 64), low = static_cast<float>(i % 64);
    return turn ? std::vector<float>{1, low, high, 4} : std::vector<float>{1, high, low, 4};
  };
  const onnx::ModelProto a = unread("a", {2, 2}, [&](int i) { return turned(i, false); });
  const onnx::ModelProto b = unread("b", {2, 2}, [&](int i) { return turned(i, true); });
  std::map<std::string, int> classes = count(a, b);
  // Pairs of numbers in either order stand in both models.
  EXPECT_EQ(classes["transposed"] + classes["renamed"], kCount);
  EXPECT_GT(classes["transposed"], kCount / 8);
  const auto equal = [](int) { return std::vector<float>{1, 3, 2, 4}; };
  const onnx::ModelProto c = unread("c", {2, 2}, equal);
  EXPECT_EQ(count(unread("a", {2, 2},
                         [](int) {
                           return std::vector<float>{1, 2, 3, 4};
                         }),
                  c)["transposed"],
            kCount);
}

// Matrices that begin alike and differ where few elements do not show it.
TEST_F(HostileModels, TellsManyMatricesApartThatLookAlike) {
  const auto matrix = [](float at_398,
                         float at_379) {  // row 19, column 18, and the other way round
    std::vector<float> values(20 * 20);
    values[398] = at_398;
    values[379] = at_379;
    return values;
  };
  const auto number = [](int i) { return static_cast<float>(i); };
  const onnx::ModelProto a = unread("a", {20, 20}, [&](int i) { return matrix(number(i), -1); });
  const onnx::ModelProto b = unread("b", {20, 20}, [&](int i) { return matrix(number(i), -2); });
  const onnx::ModelProto turned =
      unread("c", {20, 20}, [&](int i) { return matrix(-1, number(i)); });
  EXPECT_EQ(count(a, b)["added"], kCount);
  EXPECT_EQ(count(a, turned)["transposed"], kCount);
  EXPECT_EQ(count(a, a)["same"], kCount);
}

TEST_F(HostileModels, ComparesManyReadersOfOneValue) {
  EXPECT_EQ(count(wide("a"), wide("a"))["same"], kCount);
  EXPECT_EQ(count(wide("a"), wide("b"))["renamed"], kCount);
}

TEST_F(HostileModels, FollowsChainsThatFewReadOrRefuses) {
  EXPECT_TRUE(count(chain(kCount, 2), chain(kCount, 2)).empty());
  EXPECT_TRUE(count(chain(5, kCount), chain(4, kCount)).empty());
  std::string message;
  EXPECT_EQ(code_of([&] { count(chain(kCount, kCount), chain(1, 1)); }, &message), 5);
  EXPECT_NE(message.find("more than 1432576 steps"), std::string::npos) << message;
}

}  // namespace
}  // namespace wshare

#include "wshare/diff.h"

#include <nlohmann/json.hpp>
#include <set>

#include "compare/transformer.h"
#include "support/bundle_test.h"
#include "support/places.h"

namespace wshare {
namespace {

using nlohmann::json;
using test::add_node;
using test::add_used;
using test::integer;
using test::Proto;
using test::raw;

class Diff : public test::BundleTest {
 protected:
  DiffReport diff_of(const onnx::ModelProto& a, const onnx::ModelProto& b) {
    add("a.onnx", a);
    add("b.onnx", b);
    return diff(temp_ / "in/a.onnx", temp_ / "in/b.onnx", {});
  }
};

// x -> MatMul(w) -> Relu -> MatMul(u) -> y, and a scalar on the way.
onnx::ModelProto chain() {
  onnx::ModelProto model = test::empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  onnx::ValueInfoProto& input = *graph.add_input();
  input.set_name("x");
  input.mutable_type()->mutable_tensor_type()->set_elem_type(Proto::FLOAT);
  *graph.add_initializer() = test::tensor("w", test::random_matrix(16, 16, 1));
  *graph.add_initializer() = test::tensor("u", test::random_matrix(16, 16, 2));
  *graph.add_initializer() = raw("two", std::string("\0\0\0\x40", 4), Proto::FLOAT, {1});
  *graph.add_initializer() = raw("half", std::string("\0\0\0\x3f", 4), Proto::FLOAT, {1});
  add_node(graph, "MatMul", {"x", "w"}, {"a"});
  add_node(graph, "Mul", {"a", "two"}, {"b"});
  add_node(graph, "Softmax", {"b"}, {"c"});
  add_node(graph, "MatMul", {"c", "u"}, {"d"});
  add_node(graph, "Div", {"d", "half"}, {"e"});
  add_node(graph, "Cast", {"e"}, {"y"});
  graph.add_output()->set_name("y");
  return model;
}

TEST_F(Diff, FindsAModelEqualToItself) {
  const DiffReport report = diff_of(chain(), chain());
  EXPECT_TRUE(report.equal);
  EXPECT_EQ(report.tensors.size(), 4u);
  EXPECT_EQ(report.nodes_a, 6u);
}

TEST_F(Diff, TakesModelsForEqualWhateverTheirInnerNamesAndOrder) {
  onnx::ModelProto other = chain();
  onnx::GraphProto& graph = *other.mutable_graph();
  graph.mutable_node(0)->set_output(0, "renamed");
  graph.mutable_node(1)->set_input(0, "renamed");
  graph.mutable_node(2)->set_name("a name");
  graph.mutable_initializer()->SwapElements(0, 1);
  EXPECT_TRUE(diff_of(chain(), other).equal);
}

TEST_F(Diff, SaysWhereTheGraphChanged) {
  onnx::ModelProto other = chain();
  onnx::GraphProto& graph = *other.mutable_graph();
  graph.mutable_node(3)->set_input(0, "f");
  graph.mutable_node(3)->set_name("head");
  std::string before = "c";
  for (const char* after : {"d1", "d2", "d3", "f"}) {
    add_node(graph, "Tanh", {before}, {after});
    before = after;
  }
  graph.mutable_node(graph.node_size() - 3)->set_name("second");
  using Places = std::map<std::string, std::vector<std::string>>;
  EXPECT_EQ(diff_of(chain(), other).graph.places,
            (Places{{"MatMul", {"head"}}, {"Tanh", {"d1", "second", "d3"}}}));
  const DiffReport back = diff_of(other, chain());
  EXPECT_EQ(back.graph.places.at("Tanh"), (std::vector<std::string>{"d1", "second", "d3"}));
}

// Each is one change of chain() that computes something else or says something else.
TEST_F(Diff, CountsEveryChangeOfTheGraph) {
  struct Case {
    const char* name;
    std::function<void(onnx::ModelProto&)> change;
    std::map<std::string, DiffOperator> operators;
    size_t inputs, outputs, opsets, metadata;
  };
  const auto node = [](onnx::ModelProto& model, int index) {
    return model.mutable_graph()->mutable_node(index);
  };
  for (const Case& c : std::initializer_list<Case>{
           {"attribute added",
            [&](auto& m) { *node(m, 2)->add_attribute() = integer("axis", 0); },
            {{"Softmax", {0, 0, 1, 0}}},
            0,
            0,
            0,
            0},
           {"attribute of a Cast",
            [&](auto& m) { *node(m, 5)->add_attribute() = integer("to", 1); },
            {{"(graph output)", {0, 0, 0, 1}}},
            0,
            0,
            0,
            0},
           {"node added",
            [&](auto& m) {
              node(m, 3)->set_input(0, "f");
              add_node(*m.mutable_graph(), "Tanh", {"c"}, {"f"});
            },
            {{"MatMul", {0, 0, 0, 1}}, {"Tanh", {1, 0, 0, 0}}},
            0,
            0,
            0,
            0},
           {"node skipped",
            [&](auto& m) { node(m, 3)->set_input(0, "b"); },
            {{"MatMul", {0, 0, 0, 1}}},
            0,
            0,
            0,
            0},
           {"Identity added",
            [&](auto& m) {
              node(m, 3)->set_input(0, "f");
              add_node(*m.mutable_graph(), "Identity", {"c"}, {"f"});
            },
            {{"Identity", {1, 0, 0, 0}}, {"MatMul", {0, 0, 0, 1}}},
            0,
            0,
            0,
            0},
           {"small tensors exchanged",
            [&](auto& m) {
              node(m, 1)->set_input(1, "half");
              node(m, 4)->set_input(1, "two");
            },
            {{"Mul", {0, 0, 0, 1}}, {"Div", {0, 0, 0, 1}}},
            0,
            0,
            0,
            0},
           {"input added",
            [&](auto& m) { m.mutable_graph()->add_input()->set_name("z"); },
            {},
            1,
            0,
            0,
            0},
           {"input of another type",
            [&](auto& m) {
              m.mutable_graph()
                  ->mutable_input(0)
                  ->mutable_type()
                  ->mutable_tensor_type()
                  ->set_elem_type(Proto::FLOAT16);
            },
            {},
            1,
            0,
            0,
            0},
           {"output added",
            [&](auto& m) { m.mutable_graph()->add_output()->set_name("a"); },
            {},
            0,
            1,
            0,
            0},
           {"opset", [&](auto& m) { m.mutable_opset_import(0)->set_version(18); }, {}, 0, 0, 1, 0},
           {"domain",
            [&](auto& m) {
              m.add_opset_import()->set_domain("com.example");
              m.mutable_opset_import(1)->set_version(1);
            },
            {},
            0,
            0,
            1,
            0},
           {"producer", [&](auto& m) { m.set_producer_name("other"); }, {}, 0, 0, 0, 1},
           {"metadata",
            [&](auto& m) {
              m.add_metadata_props()->set_key("k");
              m.mutable_metadata_props(0)->set_value("v");
            },
            {},
            0,
            0,
            0,
            1}}) {
    SCOPED_TRACE(c.name);
    onnx::ModelProto other = chain();
    c.change(other);
    const DiffReport report = diff_of(chain(), other);
    EXPECT_FALSE(report.equal);
    EXPECT_EQ(report.graph.operators, c.operators);
    EXPECT_EQ(report.graph.inputs.size(), c.inputs);
    EXPECT_EQ(report.graph.outputs.size(), c.outputs);
    EXPECT_EQ(report.graph.opsets.size(), c.opsets);
    EXPECT_EQ(report.graph.metadata.size(), c.metadata);
    for (const DiffTensor& tensor : report.tensors) {
      EXPECT_EQ(tensor.tensor_class, TensorClass::kSame);
    }
  }
}

TEST_F(Diff, SaysWhatTheClassDoesNot) {
  const auto model = [](const onnx::TensorProto& tensor) { return test::model_of({tensor}); };
  test::Matrix rows = test::random_matrix(40, 8, 1);
  const test::Matrix base = rows;
  for (int64_t col = 0; col < 8; ++col) rows.at(3, col) += 1 + 0.1 * static_cast<double>(col);
  test::Matrix nan = base;
  nan.at(0, 0) = NAN;
  test::Matrix wider = test::random_matrix(40, 9, 1);
  struct Case {
    const char* name;
    onnx::TensorProto b;
    TensorClass tensor_class;
    std::vector<std::string> notes;
  };
  for (const Case& c :
       {Case{"rows",
             test::tensor("w", rows),
             TensorClass::kReplaced,
             {"few rows: 1 of 40 rows changed (3)"}},
        Case{"NaN", test::tensor("w", nan), TensorClass::kReplaced, {"holds NaN or infinity"}},
        Case{"shape", test::tensor("w", wider), TensorClass::kReplaced, {"[40,8] -> [40,9]"}},
        Case{"dtype",
             test::tensor("w", base, Proto::FLOAT16),
             TensorClass::kCast,
             {"float32 -> float16"}},
        Case{"reshaped",
             raw("w", test::float_bytes(base.values, Proto::FLOAT), Proto::FLOAT, {20, 16}),
             TensorClass::kRenamed,
             {"[40,8] -> [20,16]"}}}) {
    SCOPED_TRACE(c.name);
    const DiffReport report = diff_of(model(test::tensor("w", base)), model(c.b));
    ASSERT_EQ(report.tensors.size(), 1u);
    EXPECT_EQ(report.tensors[0].tensor_class, c.tensor_class);
    EXPECT_EQ(report.tensors[0].notes, c.notes);
    EXPECT_FALSE(report.equal);
  }
}

TEST_F(Diff, SortsTensorsBySizeThenName) {
  const DiffReport report = diff_of(
      test::model_of({raw("b", "12"), raw("a", "12"), raw("c", "123")}), test::model_of({}));
  std::string names;
  for (const DiffTensor& tensor : report.tensors) {
    EXPECT_EQ(tensor.tensor_class, TensorClass::kRemoved);
    names += tensor.a->name;
  }
  EXPECT_EQ(names, "cab");
}

// The truth in testdata was taken from the adapters that the models were exported with.
TEST(DiffOfTestdata, FindsEveryLoraPairOfTheT5Tasks) {
  const test::fs::path folder = test::fs::path(test::kTestdata) / "t5-lora";
  const json family = json::parse(test::read_file(folder / "family.json"));
  ASSERT_EQ(family.at("tasks").size(), 3u);
  for (const auto& [task, truth] : family.at("tasks").items()) {
    SCOPED_TRACE(task);
    const DiffReport report = diff(folder / "base.onnx", folder / (task + ".onnx"), {});
    using Pair = std::tuple<std::string, std::string, std::string, std::string, int64_t>;
    std::map<Pair, double> found, expected;
    for (const DiffLora& pair : report.lora) {
      EXPECT_TRUE(pair.in_b);
      found[{pair.weight_a, pair.weight_b, pair.factor_a, pair.factor_b, pair.rank}] = pair.scaling;
    }
    for (const json& pair : truth.at("lora").at("pairs")) {
      expected[{pair.at("base_tensor"), pair.at("base_tensor_in_task"), pair.at("a"), pair.at("b"),
                pair.at("rank")}] = pair.at("scaling");
    }
    EXPECT_GT(expected.size(), 0u);
    ASSERT_EQ(found.size(), expected.size());
    for (const auto& [pair, scaling] : expected) {
      ASSERT_EQ(found.count(pair), 1u) << std::get<0>(pair);
      EXPECT_NEAR(found.at(pair), scaling, 1e-6);
    }
    std::map<TensorClass, uint64_t> count;
    for (const DiffTensor& tensor : report.tensors) ++count[tensor.tensor_class];
    EXPECT_EQ(count[TensorClass::kLora], 2 * expected.size());
    EXPECT_EQ(count[TensorClass::kReplaced] + count[TensorClass::kRemoved], 0u);
    const json& classes = truth.at("tensors_by_class");
    EXPECT_EQ(count[TensorClass::kAdded],
              classes.contains("new") ? classes.at("new").at("tensors").get<uint64_t>() : 0u);

    const DiffReport back = diff(folder / (task + ".onnx"), folder / "base.onnx", {});
    EXPECT_EQ(back.lora.size(), expected.size());
    for (const DiffLora& pair : back.lora) EXPECT_FALSE(pair.in_b);
  }
}

}  // namespace
}  // namespace wshare

// Small graphs by hand, for places that exporters make now and then.

#include "compare/compare_models.h"
#include "compare/weights.h"

namespace wshare {
namespace {

using test::Matrix;
using test::Proto;
using test::raw;

using Places = test::CompareTest;

// Two weights that were one tensor in a: exporters write equal ones once.
TEST_F(Places, PairsOneTensorWithSeveral) {
  const auto model = [](const std::vector<std::string>& ones,
                        const std::vector<std::string>& files) {
    onnx::ModelProto proto = test::empty_model();
    onnx::GraphProto& graph = *proto.mutable_graph();
    graph.add_input()->set_name("x");
    for (const std::string& name : ones) {
      *graph.add_initializer() =
          test::tensor(name, test::random_matrix(1, 64, std::hash<std::string>{}(name) % 1000, 1));
    }
    test::add_node(graph, "Identity", {files[0]}, {"copy"});
    test::add_node(graph, "Mul", {"x", "copy"}, {"y"});
    test::add_node(graph, "Relu", {"y"}, {"r"});
    test::add_node(graph, "Mul", {"r", files[1]}, {"z"});
    graph.add_output()->set_name("z");
    return proto;
  };
  const auto said = compare(model({"norm"}, {"norm", "norm"}), model({"n1", "n2"}, {"n1", "n2"}));
  EXPECT_EQ(said.at("n1").counterpart, "norm");
  EXPECT_EQ(said.at("n2").counterpart, "norm");
  EXPECT_EQ(said.at("n1").tensor_class, "replaced");
  EXPECT_TRUE(removed_.empty());
}

// Two branches that nothing tells apart, both trained further.
TEST_F(Places, DoesNotGuessBetweenEqualPlaces) {
  const auto model = [](int first, uint64_t seed) {
    onnx::ModelProto proto = test::empty_model();
    onnx::GraphProto& graph = *proto.mutable_graph();
    graph.add_input()->set_name("x");
    std::vector<std::string> branches;
    for (int i = 0; i < 2; ++i) {
      const std::string name = "onnx::MatMul_" + std::to_string(first + i);
      *graph.add_initializer() =
          test::tensor(name, test::random_matrix(32, 32, seed + static_cast<uint64_t>(i)));
      branches.push_back("y" + std::to_string(i));
      test::add_node(graph, "MatMul", {"x", name}, {branches.back()});
    }
    test::add_node(graph, "Add", branches, {"out"});
    graph.add_output()->set_name("sum");  // what it is made of, nobody says
    test::add_node(graph, "Relu", {"out"}, {"sum"});
    return proto;
  };
  onnx::ModelProto a = model(10, 1);
  onnx::ModelProto b = model(11, 5);
  a.mutable_graph()->mutable_node(2)->set_op_type("Max");  // nor does what reads them
  const auto said = compare(a, b);
  for (const char* name : {"onnx::MatMul_11", "onnx::MatMul_12"}) {
    SCOPED_TRACE(name);
    EXPECT_EQ(said.at(name), (Said{"", "added", 0, false, true}));
  }
  EXPECT_EQ(removed_,
            (std::map<std::string, bool>{{"onnx::MatMul_10", true}, {"onnx::MatMul_11", true}}));
}

TEST_F(Places, PairsTensorsInsideSubgraphs) {
  const auto model = [](const std::string& name, const Matrix& then_weight) {
    onnx::ModelProto proto = test::empty_model();
    onnx::GraphProto& graph = *proto.mutable_graph();
    graph.add_input()->set_name("x");
    graph.add_input()->set_name("condition");
    onnx::NodeProto& branch = test::add_node(graph, "If", {"condition"}, {"y"});
    for (const char* attribute : {"then_branch", "else_branch"}) {
      onnx::AttributeProto& body = *branch.add_attribute();
      body.set_name(attribute);
      body.set_type(onnx::AttributeProto::GRAPH);
      const bool then = std::string(attribute) == "then_branch";
      *body.mutable_g()->add_initializer() =
          test::tensor(name + attribute, then ? then_weight : test::random_matrix(40, 40, 2));
      test::add_node(*body.mutable_g(), "MatMul", {"x", name + attribute}, {name + "out"});
      body.mutable_g()->add_output()->set_name(name + "out");
    }
    graph.add_output()->set_name("y");
    return proto;
  };
  const Matrix base = test::random_matrix(40, 40, 1);
  const auto said =
      compare(model("w_", base), model("u_", sum(base, test::low_rank(40, 40, 3, 9))));
  EXPECT_EQ(said.at("u_then_branch"), (Said{"w_then_branch", "low_rank", 3, false, false}));
  EXPECT_EQ(said.at("u_else_branch"), (Said{"w_else_branch", "renamed", 0, false, false}));
}

TEST_F(Places, ComparesWhatHasNoNumbers) {
  const auto model = [](const std::string& word) {
    onnx::TensorProto words;
    words.set_name("words");
    words.set_data_type(Proto::STRING);
    words.add_dims(1);
    words.add_string_data(word);
    return test::model_of({words, raw("unused", "abcd")});
  };
  EXPECT_EQ(compare(model("x"), model("x")).at("words").tensor_class, "same");
  EXPECT_EQ(compare(model("x"), model("y")).at("words").tensor_class, "replaced");
}

TEST_F(Places, LeavesOutSmallTensors) {
  CompareOptions options;
  options.min_bytes = 5;
  const auto said = compare(test::model_of({raw("a", "1234"), raw("b", "12345")}),
                            test::model_of({raw("a", "4321"), raw("b", "12345")}), options);
  ASSERT_EQ(said.size(), 1u);
  EXPECT_EQ(said.at("b").tensor_class, "same");
}

}  // namespace
}  // namespace wshare

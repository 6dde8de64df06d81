#include "compare/graph_changes.h"

#include "compare/compare_models.h"
#include "compare/transformer.h"

namespace wshare {
namespace {

using test::add_node;
using test::Export;
using test::export_encoder;
using test::integer;
using test::Proto;
using test::Weights;
using Texts = std::vector<std::string>;

class GraphChangesTest : public test::BundleTest {
 protected:
  GraphChanges changes(const onnx::ModelProto& a, const onnx::ModelProto& b) {
    add("a.onnx", a);
    add("b.onnx", b);
    const ScannedModel in_a = scan_model(temp_ / "in/a.onnx");
    const ScannedModel in_b = scan_model(temp_ / "in/b.onnx");
    const ComparisonBase base(in_a);
    return find_graph_changes(base, in_b, compare_models(base, in_b, {}));
  }
};

onnx::ValueInfoProto value(const std::string& name, const std::vector<int64_t>& shape) {
  onnx::ValueInfoProto info;
  info.set_name(name);
  info.mutable_type()->mutable_tensor_type()->set_elem_type(Proto::FLOAT);
  for (const int64_t dim : shape) {
    auto& added = *info.mutable_type()->mutable_tensor_type()->mutable_shape()->add_dim();
    if (dim >= 0) added.set_dim_value(dim);
    if (dim < 0) added.set_dim_param("n");
  }
  return info;
}

// x [n,16] -> MatMul(w) -> Softmax -> Add(bias) -> MatMul(u) -> y
onnx::ModelProto chain() {
  onnx::ModelProto model = test::empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  *graph.add_input() = value("x", {-1, 16});
  *graph.add_initializer() = test::tensor("w", test::random_matrix(16, 16, 1));
  *graph.add_initializer() = test::tensor("u", test::random_matrix(16, 16, 2));
  *graph.add_initializer() = test::tensor("bias", test::random_matrix(1, 16, 3));
  add_node(graph, "MatMul", {"x", "w"}, {"a"});
  add_node(graph, "Softmax", {"a"}, {"b"});
  add_node(graph, "Add", {"b", "bias"}, {"c"});
  add_node(graph, "MatMul", {"c", "u"}, {"y"});
  *graph.add_output() = value("y", {-1, 16});
  return model;
}

void set_weight(onnx::ModelProto& model, int index, const onnx::TensorProto& tensor) {
  *model.mutable_graph()->mutable_initializer(index) = tensor;
}

TEST_F(GraphChangesTest, FindsNoneWhereOnlyWeightsAndNamesDiffer) {
  const Weights base = test::encoder_weights(2, 1);
  Weights tuned = base;
  tuned["0.q"] = sum(tuned["0.q"], test::low_rank(48, 48, 3, 50, 0.02));
  tuned["1.up"] = test::random_matrix(48, 96, 70);
  struct Case {
    const char* name;
    Export options;
  };
  for (const Case& c : {Case{"same names", {}}, Case{"shifted names", {.first_number = 107}},
                        Case{"other order", {.reverse_branches = true}},
                        Case{"stored transposed", {.transposed = {"0.q", "1.v"}}},
                        Case{"through Identity", {.through_identity = {"0.q", "1.k"}}}}) {
    SCOPED_TRACE(c.name);
    const GraphChanges found =
        changes(export_encoder(base, 2).model, export_encoder(tuned, 2, c.options).model);
    EXPECT_EQ(found.reasons, Texts{});
    EXPECT_EQ(found.notes, Texts{});
  }
}

// Each is a change of chain() after which it computes the same, or more than it did.
TEST_F(GraphChangesTest, FindsNoneWhereTheResultIsTheSame) {
  struct Case {
    const char* name;
    std::function<void(onnx::ModelProto&)> change;
  };
  for (const Case& c : {
           Case{"operands exchanged",
                [](auto& m) {
                  m.mutable_graph()->mutable_node(2)->set_input(0, "bias");
                  m.mutable_graph()->mutable_node(2)->set_input(1, "b");
                }},
           Case{"Identity and Dropout",
                [](auto& m) {
                  add_node(*m.mutable_graph(), "Identity", {"b"}, {"b2"});
                  add_node(*m.mutable_graph(), "Dropout", {"b2"}, {"b3"});
                  m.mutable_graph()->mutable_node(2)->set_input(0, "b3");
                }},
           Case{"a node that nobody needs",
                [](auto& m) { add_node(*m.mutable_graph(), "Tanh", {"a"}, {"unused"}); }},
           Case{"smaller inputs only",
                [](auto& m) {
                  *m.mutable_graph()->mutable_input(0) = value("x", {1, 16});
                }},
           Case{"an input with a default",
                [](auto& m) {
                  *m.mutable_graph()->add_input() = value("bias", {1, 16});
                }},
           Case{"an unmerged LoRA pair",
                [](auto& m) {
                  onnx::GraphProto& graph = *m.mutable_graph();
                  *graph.add_initializer() = test::tensor("A", test::random_matrix(16, 2, 8));
                  *graph.add_initializer() = test::tensor("B", test::random_matrix(2, 16, 9));
                  add_node(graph, "MatMul", {"x", "A"}, {"low"});
                  add_node(graph, "MatMul", {"low", "B"}, {"update"});
                  add_node(graph, "Add", {"a", "update"}, {"sum"});
                  graph.mutable_node(1)->set_input(0, "sum");
                }},
           Case{"a pair whose sum is cast to an output",
                [](auto& m) {
                  onnx::GraphProto& graph = *m.mutable_graph();
                  *graph.add_initializer() = test::tensor("A", test::random_matrix(16, 2, 8));
                  *graph.add_initializer() = test::tensor("B", test::random_matrix(2, 16, 9));
                  graph.mutable_node(3)->set_output(0, "d");
                  add_node(graph, "MatMul", {"c", "A"}, {"low"});
                  add_node(graph, "MatMul", {"low", "B"}, {"update"});
                  add_node(graph, "Add", {"d", "update"}, {"sum"});
                  *add_node(graph, "Cast", {"sum"}, {"y"}).add_attribute() =
                      integer("to", Proto::FLOAT);
                }},
           Case{"producer", [](auto& m) { m.set_producer_name("other"); }},
       }) {
    SCOPED_TRACE(c.name);
    onnx::ModelProto other = chain();
    c.change(other);
    EXPECT_EQ(changes(chain(), other).reasons, Texts{});
  }
}

TEST_F(GraphChangesTest, SaysWhatABaseCannotStandFor) {
  struct Case {
    const char* name;
    std::function<void(onnx::ModelProto&)> change;
    std::vector<std::string> reasons;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"a node more",
            [](auto& m) {
              add_node(*m.mutable_graph(), "Tanh", {"b"}, {"t"}).set_name("tanh");
              m.mutable_graph()->mutable_node(2)->set_input(0, "t");
            },
            {"has 1 Tanh more (first: 'tanh')", "has other inputs of 1 Add (first: 'c')"}},
           {"a node less",
            [](auto& m) { m.mutable_graph()->mutable_node(2)->set_input(0, "a"); },
            {"lacks 1 Softmax (first: 'b')", "has other inputs of 1 Add (first: 'c')"}},
           {"an attribute",
            [](auto& m) {
              *m.mutable_graph()->mutable_node(1)->add_attribute() = integer("axis", 0);
            },
            {"has other attributes in 1 Softmax (first: 'b')"}},
           {"a Cast",
            [](auto& m) {
              *add_node(*m.mutable_graph(), "Cast", {"b"}, {"t"}).add_attribute() =
                  integer("to", Proto::FLOAT16);
              m.mutable_graph()->mutable_node(2)->set_input(0, "t");
            },
            {"has other inputs of 1 Add (first: 'c')"}},
           {"an input more",
            [](auto& m) { *m.mutable_graph()->add_input() = value("z", {2}); },
            {"has input 'z' more: float32[2]"}},
           {"an input of another name",
            [](auto& m) {
              m.mutable_graph()->mutable_input(0)->set_name("z");
              m.mutable_graph()->mutable_node(0)->set_input(0, "z");
            },
            {"has input 'z' more: float32[n,16]", "lacks input 'x'"}},
           {"an output more",
            [](auto& m) {
              *m.mutable_graph()->add_output() = value("a", {-1, 16});
            },
            {"has output 'a' more: float32[n,16]"}},
           {"another shape",
            [](auto& m) {
              *m.mutable_graph()->mutable_output(0) = value("y", {-1, 5});
            },
            {"has output 'y' as float32[n,5], not as float32[n,16]"}},
           {"an output from elsewhere",
            [](auto& m) {
              m.mutable_graph()->mutable_node(3)->set_output(0, "z");
              add_node(*m.mutable_graph(), "Identity", {"c"}, {"y"});
            },
            {"lacks 1 MatMul (first: 'y')", "computes output 'y' from other values"}},
           {"a weight as another type",
            [](auto& m) {
              set_weight(m, 0, test::tensor("w", test::random_matrix(16, 16, 1), Proto::FLOAT16));
            },
            {"has tensors as float16, not as float32 (1, first: 'w')"}}}) {
    SCOPED_TRACE(c.name);
    onnx::ModelProto other = chain();
    c.change(other);
    EXPECT_EQ(changes(chain(), other).reasons, c.reasons);
  }
}

TEST_F(GraphChangesTest, TakesAnOutputOfAnotherNameForTheOneInItsPlace) {
  using Names = std::map<std::string, std::string>;
  onnx::ModelProto base = chain();
  *base.mutable_graph()->add_output() = value("a", {-1, 16});
  const auto rename = [](onnx::ModelProto& model, int node, int output, const std::string& name) {
    const std::string before = model.graph().node(node).output(0);
    model.mutable_graph()->mutable_node(node)->set_output(0, name);
    for (onnx::NodeProto& reader : *model.mutable_graph()->mutable_node()) {
      for (std::string& input : *reader.mutable_input()) input = input == before ? name : input;
    }
    model.mutable_graph()->mutable_output(output)->set_name(name);
  };
  onnx::ModelProto other = base;
  rename(other, 3, 0, "y_2");
  GraphChanges found = changes(base, other);
  EXPECT_EQ(found.reasons, Texts());
  EXPECT_EQ(found.renamed_outputs, (Names{{"y_2", "y"}}));
  // What stands elsewhere, or has a name that the other one has, too, is none of them.
  rename(other, 0, 1, "a_2");
  EXPECT_EQ(changes(base, other).renamed_outputs.size(), 2u);
  other.mutable_graph()->mutable_output()->SwapElements(0, 1);
  EXPECT_EQ(changes(base, other).reasons.size(), 2u);
  other = base;
  other.mutable_graph()->mutable_output()->SwapElements(0, 1);
  EXPECT_EQ(changes(base, other).renamed_outputs, Names());
  EXPECT_EQ(changes(base, other).reasons, Texts());
}

TEST_F(GraphChangesTest, NotesAnOpsetThatDiffersAlone) {
  onnx::ModelProto other = chain();
  other.mutable_opset_import(0)->set_version(18);
  const GraphChanges found = changes(chain(), other);
  EXPECT_EQ(found.reasons, Texts{});
  ASSERT_EQ(found.notes.size(), 1u);
  EXPECT_EQ(found.notes[0].rfind("imports opset 18 of ai.onnx, not ", 0), 0u) << found.notes[0];
}

TEST_F(GraphChangesTest, TakesAnAttributeForTheInputThatItBecame) {
  const auto model = [](const std::function<void(onnx::NodeProto&, onnx::GraphProto&)>& say) {
    onnx::ModelProto proto = chain();
    onnx::NodeProto& node = *proto.mutable_graph()->mutable_node(1);
    node.set_op_type("ReduceMean");
    say(node, *proto.mutable_graph());
    return proto;
  };
  const auto by_attribute = [&](int64_t axis) {
    return model([&](onnx::NodeProto& node, onnx::GraphProto&) {
      onnx::AttributeProto& axes = *node.add_attribute();
      axes.set_name("axes");
      axes.set_type(onnx::AttributeProto::INTS);
      axes.add_ints(axis);
      *node.add_attribute() = integer("keepdims", 1);  // the default
    });
  };
  const auto by_input = [&](int64_t axis) {
    return model([&](onnx::NodeProto& node, onnx::GraphProto& graph) {
      const std::string bytes(reinterpret_cast<const char*>(&axis), sizeof(axis));
      *graph.add_initializer() = test::raw("axes", bytes, Proto::INT64, {1});
      node.add_input("axes");
    });
  };
  EXPECT_EQ(changes(by_attribute(1), by_input(1)).reasons, Texts{});
  EXPECT_EQ(changes(by_input(1), by_attribute(1)).reasons, Texts{});
  EXPECT_EQ(changes(by_attribute(1), by_input(0)).reasons,
            (Texts{"has other inputs of 1 ReduceMean (first: 'b')"}));
  EXPECT_EQ(changes(by_attribute(1), by_attribute(0)).reasons,
            (Texts{"has other attributes in 1 ReduceMean (first: 'b')"}));
  EXPECT_EQ(changes(by_attribute(1), model([](auto&, auto&) {})).reasons,
            (Texts{"has other attributes in 1 ReduceMean (first: 'b')"}));
}

// Exporters write equal tensors once. After training they may be two.
// Of a stored operand transB says how it lies; of a computed one it is part of the result.
TEST_F(GraphChangesTest, TakesTransBForTheLayoutOfStoredOperandsOnly) {
  const auto gemm = [](bool stored, int64_t turned) {
    onnx::ModelProto model = test::empty_model();
    onnx::GraphProto& graph = *model.mutable_graph();
    *graph.add_input() = value("x", {16, 16});
    const test::Matrix w = test::random_matrix(16, 16, 1);
    *graph.add_initializer() = test::tensor("w", stored && turned != 0 ? test::transposed(w) : w);
    add_node(graph, "MatMul", {"x", "w"}, {"a"});
    if (stored) graph.clear_node();
    add_node(graph, "Gemm", {"x", stored ? "w" : "a"}, {"y"});
    *graph.mutable_node(stored ? 0 : 1)->add_attribute() = integer("transB", turned);
    *graph.add_output() = value("y", {16, 16});
    return model;
  };
  EXPECT_EQ(changes(gemm(true, 0), gemm(true, 1)).reasons, Texts());
  EXPECT_NE(changes(gemm(false, 0), gemm(false, 1)).reasons, Texts());
}

TEST_F(GraphChangesTest, SaysThatOneTensorCannotBeTwo) {
  const auto model = [](const test::Matrix& second) {
    onnx::ModelProto proto = chain();
    set_weight(proto, 1, test::tensor("u", second));
    return proto;
  };
  const test::Matrix matrix = test::random_matrix(16, 16, 1);
  onnx::ModelProto tied = model(matrix);
  tied.mutable_graph()->mutable_node(3)->set_input(1, "w");
  EXPECT_EQ(changes(tied, model(matrix)).reasons, Texts{});
  EXPECT_EQ(changes(tied, model(test::random_matrix(16, 16, 7))).reasons,
            (Texts{"has two tensors, 'w' and 'u', in place of 'w'"}));
}

TEST_F(GraphChangesTest, LooksIntoSubgraphs) {
  const auto model = [](bool exchanged) {
    onnx::ModelProto proto = test::empty_model();
    onnx::GraphProto& graph = *proto.mutable_graph();
    *graph.add_input() = value("u", {-1, 16});
    *graph.add_input() = value("v", {-1, 16});
    *graph.add_input() = value("condition", {});
    onnx::NodeProto& branch = add_node(graph, "If", {"condition"}, {"y", "z"});
    branch.set_name("if");
    for (const char* name : {"then_branch", "else_branch"}) {
      onnx::AttributeProto& body = *branch.add_attribute();
      body.set_name(name);
      body.set_type(onnx::AttributeProto::GRAPH);
      for (const char* copied : {exchanged ? "v" : "u", exchanged ? "u" : "v"}) {
        add_node(*body.mutable_g(), "Identity", {copied}, {copied + std::string(name)});
        body.mutable_g()->add_output()->set_name(copied + std::string(name));
      }
    }
    *graph.add_output() = value("y", {-1, 16});
    *graph.add_output() = value("z", {-1, 16});
    return proto;
  };
  EXPECT_EQ(changes(model(false), model(false)).reasons, Texts{});
  EXPECT_EQ(changes(model(false), model(true)).reasons,
            (Texts{"has other inputs of 1 If (first: 'if')"}));
}

}  // namespace
}  // namespace wshare

#include "model/walk.h"

#include <gtest/gtest.h>

#include <set>

#include "model/fresh_names.h"
#include "model/scan.h"
#include "model/uses.h"
#include "support/allocated.h"
#include "support/errors.h"
#include "support/models.h"

namespace wshare::test {
namespace {

using Names = std::vector<std::string>;
using Graph = onnx::GraphProto;

onnx::AttributeProto& add_attribute(onnx::NodeProto& node, const std::string& name) {
  onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  return attribute;
}

Graph& add_branch(Graph& graph, const std::string& output, const std::string& name) {
  return *add_attribute(add_node(graph, "If", {}, {output}), name).mutable_g();
}

// What a walk meets, one line for each.
struct Diary : GraphVisitor {
  Names lines;

  void enter(const WalkPlace<const Graph>& place) {
    lines.push_back("[" + std::string(place.scope) + " " + place.graph->name());
  }
  void node(const onnx::NodeProto& node, const WalkPlace<const Graph>& place) {
    lines.push_back(full_name(place.scope, node.output(0)));
  }
  void after(const onnx::NodeProto& node, const WalkPlace<const Graph>& place) {
    if (has_graphs(node)) lines.push_back("behind " + full_name(place.scope, node.output(0)));
  }
  void leave(const WalkPlace<const Graph>& place) { lines.push_back(place.graph->name() + "]"); }
  void enter_function(const onnx::FunctionProto& function) {
    lines.push_back("[" + function.name());
  }
  void leave_function(const onnx::FunctionProto& function) {
    lines.push_back(function.name() + "]");
  }
};

TEST(WalkModel, MeetsAllGraphsInOrderAndSaysWhereTheyStand) {
  onnx::ModelProto model = empty_model();
  Graph& main = *model.mutable_graph();
  main.set_name("main");
  add_node(main, "Relu", {"x"}, {"r"});
  onnx::NodeProto& node = add_node(main, "If", {"c"}, {"i"});
  Graph& then = *add_attribute(node, "then_branch").mutable_g();
  then.set_name("then");
  add_branch(then, "inner", "body").set_name("body");
  onnx::AttributeProto& list = add_attribute(node, "cases");
  list.add_graphs()->set_name("c0");
  add_node(*list.add_graphs(), "Relu", {"x"}, {"in_list"});
  add_node(main, "Relu", {"i"}, {"last"});
  onnx::FunctionProto& function = *model.add_functions();
  function.set_domain("d");
  function.set_name("f");
  *function.add_node() = node;
  onnx::TrainingInfoProto& training = *model.add_training_info();
  training.mutable_algorithm()->set_name("algorithm");

  Diary diary;
  walk_model(std::as_const(model), diary);
  EXPECT_EQ(diary.lines, (Names{"[ main",
                                "r",
                                "i",
                                "[If#1.then_branch then",
                                "If#1.then_branch/inner",
                                "[If#1.then_branch/If#0.body body",
                                "body]",
                                "behind If#1.then_branch/inner",
                                "then]",
                                "[If#1.cases[0] c0",
                                "c0]",
                                "[If#1.cases[1] ",
                                "If#1.cases[1]/in_list",
                                "]",
                                "behind i",
                                "last",
                                "main]",  //
                                "[f",
                                "function:d:f/i",
                                "[function:d:f/If#0.then_branch then",
                                "function:d:f/If#0.then_branch/inner",
                                "[function:d:f/If#0.then_branch/If#0.body body",
                                "body]",
                                "behind function:d:f/If#0.then_branch/inner",
                                "then]",
                                "[function:d:f/If#0.cases[0] c0",
                                "c0]",
                                "[function:d:f/If#0.cases[1] ",
                                "function:d:f/If#0.cases[1]/in_list",
                                "]",
                                "behind function:d:f/i",
                                "f]",  //
                                "[training#0.algorithm algorithm",
                                "algorithm]"}));
}

TEST(WalkModel, RefusesGraphsThatNoFileCanNest) {
  onnx::ModelProto model = empty_model();
  Graph* graph = model.mutable_graph();
  for (int depth = 0; depth < kDeepestGraph; ++depth) graph = &add_branch(*graph, "y", "body");
  EXPECT_TRUE(onnx::ModelProto().ParseFromString(model.SerializeAsString()));
  EXPECT_NO_THROW(walk_model(model, GraphVisitor()));
  graph = &add_branch(*graph, "y", "body");
  EXPECT_FALSE(onnx::ModelProto().ParseFromString(model.SerializeAsString()));
  EXPECT_EQ(code_of([&] { walk_model(model, GraphVisitor()); }), 4);
}

TEST(VisitTensors, RefusesNamesThatAreRepeatedWithoutEnd) {
  struct Case {
    const char* name;
    std::string op, attribute, output;
    int code;
  };
  const std::string longest(100000, 'n');
  for (const Case& c :
       {Case{"short", "If", "body", "y", 0}, Case{"operator", longest, "b", "y", 5},
        Case{"attribute", "If", longest, "y", 5}, Case{"output", "If", "body", longest, 0}}) {
    SCOPED_TRACE(c.name);
    onnx::ModelProto model = empty_model();
    onnx::NodeProto& node = add_node(*model.mutable_graph(), c.op, {}, {c.output});
    Graph& graph = *add_attribute(node, c.attribute).mutable_g();
    for (int i = 0; i < 1000; ++i) graph.add_initializer()->set_name(std::to_string(i));
    int visited = 0;
    const auto visit = [&] { visit_tensors(model, [&](const TensorSite&) { ++visited; }); };
    EXPECT_EQ(code_of(visit), c.code);
    EXPECT_LE(visited, c.code == 0 ? 1000 : 80);
  }
  onnx::ModelProto list = empty_model();
  onnx::AttributeProto& values =
      add_attribute(add_node(*list.mutable_graph(), "Custom", {}, {"y"}), longest);
  for (int i = 0; i < 1000; ++i) values.add_tensors();
  EXPECT_EQ(code_of([&] { visit_tensors(list, [](const TensorSite&) {}); }), 5);
}

// `count` If nodes beside as many initializers.
onnx::ModelProto many_graphs(int count) {
  onnx::ModelProto model = empty_model();
  Graph& graph = *model.mutable_graph();
  for (int i = 0; i < count; ++i) {
    graph.add_initializer()->set_name("c" + std::to_string(i));
    add_branch(graph, "y" + std::to_string(i), "then_branch").set_name("t");
  }
  return model;
}

TEST(FindUses, NeedsAsMuchAsTheModelHasNotAsItsGraphsSee) {
  const auto cost = [](int count) {
    const onnx::ModelProto model = many_graphs(count);
    return allocated_by([&] { find_uses(model); });
  };
  const uint64_t small = cost(250);
  EXPECT_LT(cost(1000), 6 * small);  // four times the model
}

TEST(FindUses, CopiesNoNameForEachInputOfItsNode) {
  const auto cost = [](size_t length, int inputs) {
    onnx::ModelProto model = empty_model();
    onnx::NodeProto& node = add_node(*model.mutable_graph(), "Add", {}, {std::string(length, 'y')});
    for (int i = 0; i < inputs; ++i) node.add_input("x" + std::to_string(i));
    return allocated_by([&] { find_uses(model); });
  };
  EXPECT_LT(cost(100000, 1000), cost(1, 1000) + 1000000);
}

using Folded = std::set<std::string_view>;

Folded folded_in(const onnx::ModelProto& model) {
  Folded names;
  const GraphUses uses = find_uses(model);
  for (uint32_t i = 0; i < uses.names.size(); ++i) {
    if (uses.values[i].folded) names.insert(uses.names[i]);
  }
  return names;
}

TEST(FindUses, SeesConstantsFromInsideAndForgetsThoseOfAGraphAtItsEnd) {
  onnx::ModelProto model = empty_model();
  Graph& main = *model.mutable_graph();
  main.add_initializer()->set_name("outer");
  main.add_initializer()->set_name("hidden");
  Graph& branch = add_branch(main, "y", "then_branch");
  branch.add_input()->set_name("hidden");  // another value here
  branch.add_initializer()->set_name("inner");
  add_node(branch, "Relu", {"outer"}, {"from_outer"});
  add_node(branch, "Add", {"from_outer", "inner"}, {"b"});
  add_node(branch, "Relu", {"hidden"}, {"not_constant"});
  EXPECT_EQ(folded_in(model), (Folded{"outer", "from_outer", "inner"}));

  add_node(main, "Relu", {"inner"}, {"unknown"});
  add_node(main, "Abs", {"hidden"}, {"z"});
  EXPECT_EQ(folded_in(model), (Folded{"outer", "from_outer", "inner", "hidden"}));
  main.mutable_node()->DeleteSubrange(0, 1);  // the branch: what it defines was never known here
  EXPECT_EQ(folded_in(model), (Folded{"hidden"}));
}

TEST(FreshNames, AreThoseOfNoScopeAndCountFromTwo) {
  onnx::ModelProto model = empty_model();
  Graph& branch = add_branch(*model.mutable_graph(), "y", "then_branch");
  add_node(branch, "Relu", {"x"}, {"w_2"}).set_name("node");
  onnx::FunctionProto& function = *model.add_functions();
  function.add_node()->add_output("in_function");
  FreshNames names(model);
  EXPECT_FALSE(names.is_free("node"));
  EXPECT_EQ(names.make("w"), "w");
  EXPECT_EQ(names.make("w"), "w_3");
  EXPECT_EQ(names.make("w"), "w_4");
  EXPECT_EQ(names.make("in_function"), "in_function_2");
  EXPECT_EQ(names.make("w_3"), "w_3_2");
}

}  // namespace
}  // namespace wshare::test

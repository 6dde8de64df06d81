#include "run/ranges.h"

#include <gtest/gtest.h>

#include <functional>

#include "run/graphs.h"
#include "support/allocated.h"
#include "support/bundle_test.h"

namespace wshare::test {
namespace {

using Limits = std::map<std::string, int64_t>;
using Build = std::function<void(onnx::GraphProto&)>;

void add_table(onnx::GraphProto& graph, const std::string& name,
               const std::vector<int64_t>& shape) {
  size_t count = 1;
  for (const int64_t dim : shape) count *= static_cast<size_t>(dim);
  *graph.add_initializer() = raw(name, floats(count, 1), onnx::TensorProto::FLOAT, shape);
}

onnx::NodeProto& add_gather(onnx::GraphProto& graph, const std::string& table,
                            const std::string& indices, std::optional<int64_t> axis = {}) {
  onnx::NodeProto& node = add_node(graph, "Gather", {table, indices}, {indices + "_rows"});
  if (!axis) return node;
  *node.add_attribute() = integer("axis", *axis);
  return node;
}

Limits limits_of(const Build& build, const std::vector<std::string>& inputs = {"ids"}) {
  onnx::ModelProto model = empty_model();
  build(*model.mutable_graph());
  const std::string bytes = model.SerializeAsString();
  return find_row_limits(std::as_bytes(std::span(bytes)), inputs);
}

void wrap_in_if(onnx::GraphProto& graph, const Build& build) {
  onnx::AttributeProto& branch = *add_node(graph, "If", {"yes"}, {"out"}).add_attribute();
  branch.set_name("then_branch");
  branch.set_type(onnx::AttributeProto::GRAPH);
  branch.mutable_g()->set_name("then");
  build(*branch.mutable_g());
}

TEST(FindRowLimits, FollowsAnInputToTheTablesItSelectsFrom) {
  struct Case {
    const char* name;
    Build build;
    int64_t limit;
  };
  for (const Case& c : {
           Case{"Gather of rows",
                [](auto& graph) {
                  add_table(graph, "t", {7, 3});
                  add_gather(graph, "t", "ids");
                },
                7},
           Case{"axis 1",
                [](auto& graph) {
                  add_table(graph, "t", {7, 3});
                  add_gather(graph, "t", "ids", 1);
                },
                3},
           Case{"axis from the end",
                [](auto& graph) {
                  add_table(graph, "t", {7, 3, 2});
                  add_gather(graph, "t", "ids", -2);
                },
                3},
           Case{"axis outside",
                [](auto& graph) {
                  add_table(graph, "t", {7, 3});
                  add_gather(graph, "t", "ids", -3);
                },
                0},
           Case{"behind Cast and Reshape",
                [](auto& graph) {
                  add_table(graph, "t", {7, 3});
                  add_node(graph, "Cast", {"ids"}, {"wide"});
                  add_node(graph, "Reshape", {"wide", "shape"}, {"flat"});
                  add_gather(graph, "t", "flat");
                },
                7},
           Case{"the smaller of two tables",
                [](auto& graph) {
                  add_table(graph, "t", {7, 3});
                  add_table(graph, "u", {5, 3});
                  add_gather(graph, "t", "ids");
                  add_node(graph, "Cast", {"ids"}, {"wide"});
                  add_gather(graph, "u", "wide");
                },
                5},
           Case{"a table behind DequantizeLinear",
                [](auto& graph) {
                  add_table(graph, "t", {9, 3});
                  add_node(graph, "DequantizeLinear", {"t", "scale"}, {"wide"});
                  add_gather(graph, "wide", "ids");
                },
                9},
           Case{"a table in a Constant",
                [](auto& graph) {
                  add_constant(graph, raw("t", floats(8, 1), onnx::TensorProto::FLOAT, {4, 2}));
                  add_gather(graph, "t", "ids");
                },
                4},
           Case{"in a branch, table outside",
                [](auto& graph) {
                  add_table(graph, "t", {6, 3});
                  wrap_in_if(graph, [](auto& body) { add_gather(body, "t", "ids"); });
                },
                6},
           Case{"in a branch of a branch, table inside",
                [](auto& graph) {
                  wrap_in_if(graph, [](auto& body) {
                    wrap_in_if(body, [](auto& inner) {
                      add_table(inner, "t", {8, 3});
                      add_gather(inner, "t", "ids");
                    });
                  });
                },
                8},
           Case{"the input is what is selected from",
                [](auto& graph) { add_gather(graph, "ids", "which"); }, 0},
           Case{"a node that changes values",
                [](auto& graph) {
                  add_table(graph, "t", {7, 3});
                  add_node(graph, "Add", {"ids", "two"}, {"sum"});
                  add_gather(graph, "t", "sum");
                },
                0},
           Case{"the input is only a shape of Reshape",
                [](auto& graph) {
                  add_table(graph, "t", {7, 3});
                  add_node(graph, "Reshape", {"x", "ids"}, {"flat"});
                  add_gather(graph, "t", "flat");
                },
                0},
       }) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(limits_of(c.build), c.limit == 0 ? Limits{} : (Limits{{"ids", c.limit}}));
  }
}

TEST(FindRowLimits, KnowsTheTablesOfEmbedLayerNormalization) {
  const Limits limits = limits_of(
      [](auto& graph) {
        add_table(graph, "words", {11, 2});
        add_table(graph, "positions", {4, 2});
        add_table(graph, "segments", {2, 2});
        add_node(graph, "EmbedLayerNormalization",
                 {"ids", "segment_ids", "words", "positions", "segments", "gamma", "beta", "mask"},
                 {"embedded"});
      },
      {"ids", "segment_ids", "mask"});
  EXPECT_EQ(limits, (Limits{{"ids", 11}, {"segment_ids", 2}}));
}

TEST(FindRowLimits, EndsWhereNodesGoInCircles) {
  const Limits limits = limits_of([](auto& graph) {
    add_node(graph, "Identity", {"ids"}, {"a"});
    add_node(graph, "Identity", {"a"}, {"ids"});
  });
  EXPECT_EQ(limits, Limits{});
}

TEST(FindRowLimits, RefusesWhatIsNoMessage) {
  const std::string text = "\x3a\xff\xff\xff\xff\x0fno model";
  EXPECT_EQ(code_of([&] { find_row_limits(std::as_bytes(std::span(text)), {"ids"}); }), 4);
}

// A shape of many dimensions goes through many nodes, a limit through many inputs.
TEST(FindRowLimits, TakesNoMoreMemoryThanAFewTimesTheModel) {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  add_table(graph, "0", std::vector<int64_t>(1000, 1));
  graph.mutable_initializer(0)->set_dims(0, 7);
  std::vector<std::string> inputs;
  for (int i = 0; i < 5000; ++i) {
    add_node(graph, "Cast", {std::to_string(i)}, {std::to_string(i + 1)});
    inputs.push_back("ids" + std::to_string(i));
  }
  add_node(graph, "Concat", inputs, {"ids_rows"});
  add_gather(graph, "5000", "ids_rows");
  const std::string bytes = model.SerializeAsString();
  Limits limits;
  const uint64_t allocated =
      allocated_by([&] { limits = find_row_limits(std::as_bytes(std::span(bytes)), inputs); });
  ASSERT_EQ(limits.size(), inputs.size());
  for (const auto& [input, limit] : limits) EXPECT_EQ(limit, 7);
  EXPECT_LT(allocated, 40 * bytes.size());
}

}  // namespace
}  // namespace wshare::test

#include "wshare/inspect.h"

#include <span>

#include "support/bundle_test.h"
#include "util/content_hash.h"

namespace wshare {
namespace {

using test::add_constant;
using test::add_node;
using test::add_used;
using test::hash_of;
using test::noise;
using test::Proto;
using test::raw;

constexpr int kInt4 = 22;  // newer than the headers of Debian's onnx

using Names = std::vector<std::string>;
using Row = std::vector<uint64_t>;

class Inspect : public test::BundleTest {
 protected:
  Inspection look(uint64_t min_bytes = 1024) {
    InspectOptions options;
    options.min_bytes = min_bytes;
    return inspect({(temp_ / "in").string()}, options);
  }
};

// "what: tensors, bytes" for each.
Names texts_of(const std::vector<TensorCount>& counts) {
  Names texts;
  for (const TensorCount& count : counts) {
    texts.push_back(count.what + ": " + std::to_string(count.tensors) + ", " +
                    std::to_string(count.bytes));
  }
  return texts;
}

// "model: scope/tensor" for each.
Names texts_of(const std::vector<TensorUse>& uses) {
  Names texts;
  for (const TensorUse& use : uses) {
    texts.push_back(use.model + ": " + (use.scope.empty() ? "" : use.scope + "/") + use.tensor);
  }
  return texts;
}

TEST_F(Inspect, CountsDuplicatesInsideAModelAndAcrossModels) {
  const std::string trunk = noise(5000, 1), tied = noise(2000, 2);
  add("a.onnx", {raw("trunk", trunk), raw("tied", tied), raw("tied2", tied), raw("bias", "abc")});
  add("b.onnx", {raw("body", trunk), raw("head", noise(3000, 3)), raw("bias", "abc")});
  const Inspection found = look();
  EXPECT_EQ(found.total_bytes, 5000u + 2000 + 2000 + 3 + 5000 + 3000 + 3);
  EXPECT_EQ(found.distinct_bytes, 5000u + 2000 + 3000 + 3);
  EXPECT_EQ(found.shared_bytes, 5000u);
  EXPECT_EQ(found.input_bytes, test::read_file(temp_ / "in/a.onnx").size() +
                                   test::read_file(temp_ / "in/b.onnx").size());
  EXPECT_EQ(found.matrix, (std::vector<Row>{{7000, 5000}, {5000, 8000}}));
  ASSERT_EQ(found.models.size(), 2u);
  EXPECT_EQ(found.models[0].own_bytes, 2000u);
  EXPECT_EQ(found.models[0].shared_bytes, 5000u);
  EXPECT_EQ(found.models[0].repeated_bytes, 2000u);
  EXPECT_EQ(found.models[0].saved_bytes, 2000u + 2500);  // its half of the trunk
  EXPECT_EQ(found.models[1].saved_bytes, 2500u);
  EXPECT_EQ(found.models[0].tensors, 4u);
  EXPECT_EQ(found.models[0].tensor_bytes, 9003u);
  EXPECT_EQ(found.models[1].own_bytes, 3000u);
  EXPECT_EQ(found.models[1].repeated_bytes, 0u);
  ASSERT_EQ(found.duplicates.size(), 2u);  // the largest saving first
  EXPECT_EQ(found.duplicates[0].hash, to_hex(hash_of(trunk)));
  EXPECT_EQ(found.duplicates[0].bytes, 5000u);
  EXPECT_EQ(texts_of(found.duplicates[0].uses), (Names{"a: trunk", "b: body"}));
  EXPECT_EQ(texts_of(found.duplicates[1].uses), (Names{"a: tied", "a: tied2"}));
  EXPECT_EQ(found.duplicates[1].saved(), 2000u);
}

TEST_F(Inspect, OrdersDuplicatesByWhatTheySave) {
  const std::string small = noise(1500, 1), large = noise(4000, 2);
  std::vector<Proto> tensors = {raw("l1", large), raw("l2", large)};
  for (const char* name : {"s1", "s2", "s3", "s4", "s5"}) tensors.push_back(raw(name, small));
  add("a.onnx", tensors);
  const Inspection found = look();
  ASSERT_EQ(found.duplicates.size(), 2u);
  EXPECT_EQ(found.duplicates[0].saved(), 4 * 1500u);
  EXPECT_EQ(found.duplicates[1].saved(), 4000u);
}

TEST_F(Inspect, LeavesOutTensorsBelowMinBytes) {
  add("a.onnx", {raw("w", noise(5000, 1)), raw("v", noise(1500, 2))});
  add("b.onnx", {raw("w", noise(5000, 1)), raw("v", noise(1500, 2))});
  for (const auto& [min_bytes, shared] :
       std::map<uint64_t, uint64_t>{{0, 6500}, {1500, 6500}, {1501, 5000}, {5001, 0}}) {
    SCOPED_TRACE(min_bytes);
    const Inspection found = look(min_bytes);
    EXPECT_EQ(found.shared_bytes, shared);
    EXPECT_EQ(found.matrix[0][1], shared);
    EXPECT_EQ(found.distinct_bytes, 6500u);  // a fact of the models, not of the option
    EXPECT_EQ(found.models[0].left_inline.size(), min_bytes > 1500 ? 1u : 0u);
  }
}

TEST_F(Inspect, SharesTheFrontOfALongerTensor) {
  const std::string positions = noise(8000, 1);
  add("a.onnx", {raw("p", positions)});
  add("b.onnx", {raw("p", positions.substr(0, 3000)), raw("q", positions.substr(0, 2000))});
  add("c.onnx", {raw("p", positions.substr(0, 5000))});
  const Inspection found = look();
  EXPECT_EQ(found.matrix,
            (std::vector<Row>{{8000, 3000, 5000}, {3000, 3000, 3000}, {5000, 3000, 5000}}));
  EXPECT_EQ(found.shared_bytes, 5000u);
  EXPECT_EQ(found.models[0].own_bytes, 3000u);
  EXPECT_EQ(found.models[0].shared_bytes, 5000u);
  EXPECT_EQ(found.models[1].own_bytes, 0u);
  EXPECT_EQ(found.models[1].repeated_bytes, 2000u);  // q lies in p
  // Two thirds of what three have, half of what two have.
  EXPECT_EQ(found.models[0].saved_bytes, 2000u + 1000);
  EXPECT_EQ(found.models[1].saved_bytes, 2000u + 2000);
  EXPECT_EQ(found.models[2].saved_bytes, 2000u + 1000);
  EXPECT_EQ(found.duplicates.size(), 0u);            // no content has two tensors
  EXPECT_EQ(found.distinct_bytes, 8000u + 3000 + 2000 + 5000);
}

TEST_F(Inspect, CountsEachDistinctContentOnceWhereverItStays) {
  const std::string w = noise(2000, 1);
  onnx::ModelProto model = test::model_of({raw("w", w), raw("tiny", "abc"), raw("tiny2", "abc")});
  *model.mutable_graph()->add_initializer() = raw("output", w);  // stays: a graph output
  model.mutable_graph()->add_output()->set_name("output");
  add("a.onnx", model);
  const Inspection found = look();
  EXPECT_EQ(found.total_bytes, 4006u);
  EXPECT_EQ(found.distinct_bytes, 2003u);
  EXPECT_EQ(texts_of(found.models[0].left_inline),
            (Names{"graph-output: 1, 2000", "below-min-bytes: 2, 6"}));
}

TEST_F(Inspect, FindsTransposedTwins) {
  const auto turned = [](const std::string& matrix, size_t rows, size_t cols, size_t element) {
    std::string result;
    for (size_t c = 0; c < cols; ++c) {
      for (size_t r = 0; r < rows; ++r) result += matrix.substr((r * cols + c) * element, element);
    }
    return result;
  };
  const std::string f32 = noise(4 * 30 * 40, 1), f16 = noise(2 * 32 * 32, 2), i4 = noise(1024, 3);
  std::string swapped = f32;
  std::swap_ranges(swapped.begin(), swapped.begin() + 4, swapped.begin() + 4);
  add("a.onnx",
      {raw("embed", f32, Proto::FLOAT, {30, 40}), raw("half", f16, Proto::FLOAT16, {32, 32}),
       raw("int4", i4, kInt4, {32, 64}), raw("row", noise(1200, 4), Proto::FLOAT, {1, 300})});
  add("b.onnx", {raw("head", turned(f32, 30, 40, 4), Proto::FLOAT, {40, 30}),
                 raw("shuffled", turned(swapped, 30, 40, 4), Proto::FLOAT, {40, 30}),
                 raw("half_t", turned(f16, 32, 32, 2), Proto::BFLOAT16, {32, 32}),
                 raw("int4_t", turned(i4, 32, 32, 1), kInt4, {64, 32})});
  const Inspection found = look();
  ASSERT_EQ(found.twins.size(), 2u);  // largest first; types do not matter, only element sizes
  EXPECT_EQ(texts_of({found.twins[0].tensor, found.twins[0].transpose_of}),
            (Names{"b: head", "a: embed"}));
  EXPECT_EQ(texts_of({found.twins[1].tensor, found.twins[1].transpose_of}),
            (Names{"b: half_t", "a: half"}));
  EXPECT_EQ(found.transposed_bytes, f32.size() + f16.size());
  EXPECT_EQ(look(3000).transposed_bytes, f32.size());
}

// One model with a tensor in each home, each read by an operator of its own.
onnx::ModelProto model_of_homes() {
  onnx::ModelProto model = test::empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  *graph.add_initializer() = raw("w", noise(2000, 1));
  *graph.add_initializer() = raw("outer", noise(1900, 2));
  add_constant(graph, raw("c", noise(1800, 3)));
  graph.mutable_node(0)->mutable_attribute(0)->mutable_t()->set_name("");
  add_node(graph, "Neg", {"w"}, {"w_out"});
  onnx::NodeProto& branch = add_node(graph, "If", {"cond"}, {"y"});
  for (const char* name : {"then_branch", "else_branch"}) {
    onnx::AttributeProto& attribute = *branch.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::GRAPH);
    onnx::GraphProto& body = *attribute.mutable_g();
    const bool is_then = std::string(name) == "then_branch";
    *body.add_initializer() = raw("same_name", noise(is_then ? 1700 : 1600, 4));
    add_node(body, is_then ? "Sin" : "Cos", {"same_name"}, {std::string(name) + "_y"});
    if (!is_then) add_node(body, "Tan", {"outer"}, {"outer_y"});
    body.add_output()->set_name(std::string(name) + "_y");
  }
  onnx::AttributeProto& held = *add_node(graph, "ConstantOfShape", {"s"}, {"z"}).add_attribute();
  held.set_name("value");
  held.set_type(onnx::AttributeProto::TENSOR);
  *held.mutable_t() = raw("", "x");
  onnx::FunctionProto& function = *model.add_functions();
  function.set_name("f");
  function.set_domain("d");
  onnx::NodeProto& constant = *function.add_node();
  constant.set_op_type("Constant");
  constant.add_output("inner");
  onnx::AttributeProto& value = *constant.add_attribute();
  value.set_name("value");
  value.set_type(onnx::AttributeProto::TENSOR);
  *value.mutable_t() = raw("", noise(1500, 5));
  onnx::NodeProto& reader = *function.add_node();
  reader.set_op_type("Exp");
  reader.add_input("inner");
  return model;
}

// Who reads a weight behind nodes that hand it on, as exporters write shared and quantised layers.
TEST_F(Inspect, LooksThroughNodesThatHandAWeightOn) {
  onnx::ModelProto model = test::empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  for (const char* name : {"tied", "turned", "int8", "qdq", "left", "product"})
    *graph.add_initializer() =
        raw(name, noise(2000, graph.initializer_size() + 1U), Proto::UINT8, {40, 50});
  *graph.add_initializer() = raw("scale", noise(50, 9), Proto::UINT8, {50});
  add_node(graph, "Identity", {"tied"}, {"a"});
  add_node(graph, "MatMul", {"x", "a"}, {"y1"});
  add_node(graph, "Transpose", {"turned"}, {"b"});
  add_node(graph, "Cast", {"b"}, {"b2"});
  add_node(graph, "Gemm", {"x", "b2"}, {"y2"});
  add_node(graph, "Cast", {"int8"}, {"c"});
  add_node(graph, "Mul", {"c", "scale"}, {"c2"});
  add_node(graph, "Gather", {"c2", "x"}, {"y3"});
  add_node(graph, "DequantizeLinear", {"qdq", "scale"}, {"d"});
  add_node(graph, "Conv", {"x", "d"}, {"y4"});
  add_node(graph, "Cast", {"left"}, {"nobody"});
  add_node(graph, "Mul", {"product", "x"}, {"y5"});
  add("a.onnx", model);
  std::map<std::string, std::string> ops;
  const Inspection inspection = look();
  for (const InspectedTensor& tensor : inspection.models[0].largest) ops[tensor.tensor] = tensor.op;
  EXPECT_EQ(ops, (std::map<std::string, std::string>{{"tied", "MatMul"},
                                                     {"turned", "Gemm"},
                                                     {"int8", "Gather"},
                                                     {"qdq", "Conv"},
                                                     {"left", "Cast"},
                                                     {"product", "Mul"},
                                                     {"scale", "Mul"}}));
}

TEST_F(Inspect, TellsHomeScopeAndFirstReaderOfEachTensor) {
  add("a.onnx", model_of_homes());
  const InspectedModel model = look().models[0];
  Names texts;
  for (const InspectedTensor& tensor : model.largest) {
    texts.push_back(tensor.scope + "|" + tensor.tensor + "|" + tensor.home + "|" + tensor.op);
  }
  EXPECT_EQ(texts, (Names{"|w|initializer|Neg", "|outer|initializer|Tan", "|c|constant|Identity",
                          "If#3.then_branch|same_name|subgraph|Sin",
                          "If#3.else_branch|same_name|subgraph|Cos",
                          "function:d:f|inner|function|Exp", "|value|attribute|ConstantOfShape"}));
  EXPECT_EQ(texts_of(model.by_home),
            (Names{"initializer: 2, 3900", "subgraph: 2, 3300", "constant: 1, 1800",
                   "function: 1, 1500", "attribute: 1, 1"}));
  EXPECT_EQ(texts_of(model.by_scope),
            (Names{": 4, 5701", "If#3.then_branch: 1, 1700", "If#3.else_branch: 1, 1600",
                   "function:d:f: 1, 1500"}));
  EXPECT_EQ(texts_of(model.left_inline), Names{"attribute: 1, 1"});
  EXPECT_EQ(texts_of(model.by_dtype), (Names{"uint8: 7, 10501"}));
  EXPECT_EQ(model.by_op.size(), 7u);
}

TEST_F(Inspect, CountsAnExternalFileOfTwoModelsOnce) {
  test::write_file(temp_ / "in/w.bin", noise(5000, 1));
  add("a.onnx", {test::external("w", 5000, {{"location", "w.bin"}})});
  add("b.onnx", {test::external("w", 3000, {{"location", "./w.bin"}, {"offset", "2000"}})});
  const Inspection found = look();
  const uint64_t a = test::read_file(temp_ / "in/a.onnx").size();
  const uint64_t b = test::read_file(temp_ / "in/b.onnx").size();
  EXPECT_EQ(found.models[0].bytes, a + 5000);
  EXPECT_EQ(found.input_bytes, a + b + 5000);
  ASSERT_EQ(found.models[1].external.size(), 1u);
  EXPECT_EQ(found.models[1].external[0].file, "./w.bin");
  EXPECT_EQ(found.models[1].external[0].bytes, 5000u);
  EXPECT_EQ(found.models[1].largest[0].home, "external");
}

TEST_F(Inspect, ShowsTheLargestTensorsOnly) {
  add("a.onnx", {raw("s", noise(1100, 1)), raw("b2", noise(3000, 2)), raw("b1", noise(3000, 3))});
  add("b.onnx", {raw("s", noise(3000, 2))});
  InspectOptions options;
  options.top = 2;
  const std::vector<InspectedTensor> largest =
      inspect({(temp_ / "in").string()}, options).models[0].largest;
  ASSERT_EQ(largest.size(), 2u);  // of equal size by name
  EXPECT_EQ(largest[0].tensor, "b1");
  EXPECT_EQ(largest[0].also_in, Names{});
  EXPECT_EQ(largest[1].tensor, "b2");
  EXPECT_EQ(largest[1].also_in, Names{"b"});
}

}  // namespace
}  // namespace wshare

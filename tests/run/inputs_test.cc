#include "run/inputs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "run/graphs.h"
#include "support/bundle_test.h"
#include "support/errors.h"

namespace wshare::test {
namespace {

using Type = onnx::TensorProto;

class MakeInputs : public testing::Test {
 protected:
  Inputs make(const onnx::ModelProto& model, const InputOptions& options = {}) {
    const std::string bytes = model.SerializeAsString();
    write_file(temp_ / "m.onnx", bytes);
    return make_inputs({"m", "base"}, session_of(model), temp_ / "m.onnx", options);
  }

  Shapes shapes(const onnx::ModelProto& model, const Shapes& given = {}) {
    const Inputs inputs = make(model, {{}, given});
    Shapes result;
    for (size_t i = 0; i < inputs.names.size(); ++i)
      result[inputs.names[i]] = inputs.values[i].GetTensorTypeAndShapeInfo().GetShape();
    return result;
  }

  void write_input(const std::string& path, const onnx::TensorProto& tensor) {
    write_file(temp_ / path, tensor.SerializeAsString());
  }

  TempFolder temp_;
};

template <typename T>
std::vector<T> values_in(const Ort::Value& value) {
  const T* data = static_cast<const T*>(value.GetTensorRawData());
  return {data, data + value.GetTensorTypeAndShapeInfo().GetElementCount()};
}

TEST_F(MakeInputs, ChoosesFreeDimensions) {
  onnx::ModelProto model = empty_model();
  add_input(model, "ids", Type::INT64, {"batch", "length"});
  add_input(model, "lengths", Type::INT64, {"length"});
  add_input(model, "grid", Type::FLOAT, {"3", "batch", "", "5"});
  add_input(model, "scalar", Type::FLOAT, {});
  EXPECT_EQ(shapes(model),
            (Shapes{{"ids", {1, 8}}, {"lengths", {8}}, {"grid", {3, 1, 8, 5}}, {"scalar", {}}}));
  EXPECT_EQ(shapes(model, {{"ids", {2, 32}}}),
            (Shapes{{"ids", {2, 32}}, {"lengths", {32}}, {"grid", {3, 2, 8, 5}}, {"scalar", {}}}));
}

TEST_F(MakeInputs, TakesWhatIsSaidOfTheModelThenOfItsBaseThenOfAll) {
  onnx::ModelProto model = empty_model();
  for (const char* name : {"x", "y", "z", "tf:0"}) add_input(model, name, Type::FLOAT, {"n"});
  EXPECT_EQ(shapes(model, {{"x", {2}},
                           {"m:x", {3}},
                           {"base:x", {4}},
                           {"y", {5}},
                           {"base:y", {6}},
                           {"other:z", {7}},
                           {"z", {8}},
                           {"tf:0", {9}}}),
            (Shapes{{"x", {3}}, {"y", {6}}, {"z", {8}}, {"tf:0", {9}}}));
}

TEST_F(MakeInputs, GivesAllElementsTheValueThatIsSaid) {
  onnx::ModelProto model = empty_model();
  add_input(model, "rate", Type::INT64, {});
  add_input(model, "speed", Type::FLOAT, {"1"});
  add_input(model, "half", Type::FLOAT16, {"2"});
  add_input(model, "flag", Type::BOOL, {});
  add_input(model, "byte", Type::INT8, {"3"});
  const Inputs inputs = make(model, {.values = {{"rate", "16000"},
                                                {"m:speed", "-1.5e0"},
                                                {"half", "0.5"},
                                                {"flag", "0"},
                                                {"byte", "-128"}}});
  EXPECT_EQ(values_in<int64_t>(inputs.values[0]), std::vector<int64_t>{16000});
  EXPECT_EQ(values_in<float>(inputs.values[1]), std::vector<float>{-1.5F});
  EXPECT_EQ(values_in<uint16_t>(inputs.values[2]), (std::vector<uint16_t>{0x3800, 0x3800}));
  EXPECT_EQ(values_in<uint8_t>(inputs.values[3]), std::vector<uint8_t>{0});
  EXPECT_EQ(values_in<int8_t>(inputs.values[4]), (std::vector<int8_t>{-128, -128, -128}));
  for (const auto& [input, text] : Values{{"rate", "1.5"}, {"byte", "128"}, {"flag", "2"}}) {
    std::string message;
    EXPECT_EQ(code_of(
                  [&, &name = input, &value = text] {
                    make(model, {.values = {{name, value}}});
                  },
                  &message),
              4);
    EXPECT_NE(message.find("'" + input + "': '" + text + "' is no value of its type"), message.npos)
        << message;
  }
}

// A speed in [-1,1] made a model of speech run for 20 s.
TEST_F(MakeInputs, MakesOneFloatAloneOne) {
  onnx::ModelProto model = empty_model();
  add_input(model, "scalar", Type::FLOAT, {});
  add_input(model, "speed", Type::FLOAT, {"1"});
  add_input(model, "pair", Type::FLOAT, {"2"});
  const Inputs inputs = make(model);
  EXPECT_EQ(values_in<float>(inputs.values[0]), std::vector<float>{1});
  EXPECT_EQ(values_in<float>(inputs.values[1]), std::vector<float>{1});
  EXPECT_NE(values_in<float>(inputs.values[2])[0], 1);
}

TEST_F(MakeInputs, AddsUpNamedSums) {
  onnx::ModelProto model = empty_model();
  add_input(model, "mask", Type::INT64, {"batch", "past + 1"});
  add_input(model, "both", Type::INT64, {"batch", "past + length + 2"});
  add_input(model, "past", Type::FLOAT, {"batch", "past"});
  add_input(model, "ids", Type::INT64, {"batch", "length"});
  EXPECT_EQ(shapes(model, {{"ids", {1, 4}}}),
            (Shapes{{"mask", {1, 9}}, {"both", {1, 14}}, {"past", {1, 8}}, {"ids", {1, 4}}}));
}

TEST_F(MakeInputs, TakesSumsThatItCannotAddUpAsNames) {
  onnx::ModelProto model = empty_model();
  add_input(model, "unknown", Type::FLOAT, {"1", "other + 1"});
  add_input(model, "again", Type::FLOAT, {"1", "other + 1"});
  add_input(model, "huge", Type::FLOAT, {"1", "9223372036854775807 + 9223372036854775807"});
  EXPECT_EQ(shapes(model), (Shapes{{"unknown", {1, 8}}, {"again", {1, 8}}, {"huge", {1, 8}}}));
}

TEST_F(MakeInputs, RefusesAShapeThatContradictsTheModel) {
  onnx::ModelProto model = empty_model();
  add_input(model, "x", Type::FLOAT, {"batch", "32"});
  EXPECT_EQ(shapes(model, {{"x", {4, 32}}}), (Shapes{{"x", {4, 32}}}));
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{4, 31}, {4}, {4, 32, 1}, {}}) {
    std::string message;
    EXPECT_EQ(code_of([&] { shapes(model, {{"x", shape}}); }, &message), 4);
    EXPECT_NE(message.find("'x'"), std::string::npos) << message;
    EXPECT_NE(message.find("?x32"), std::string::npos) << message;
  }
}

TEST_F(MakeInputs, MakesTheSameValuesEachTime) {
  onnx::ModelProto model = empty_model();
  add_input(model, "x", Type::FLOAT, {"1", "1000"});
  add_input(model, "y", Type::FLOAT, {"1", "1000"});
  const Inputs once = make(model), again = make(model);
  EXPECT_TRUE(once.made_up);
  EXPECT_EQ(once.names, (std::vector<std::string>{"x", "y"}));
  for (size_t i = 0; i < 2; ++i) EXPECT_EQ(bytes_in(once.values[i]), bytes_in(again.values[i]));
  EXPECT_NE(bytes_in(once.values[0]), bytes_in(once.values[1]));
  // The first values, so that figures of two versions compare: std::mt19937_64(1) >> 11, in 2^-52.
  EXPECT_EQ(values_in<float>(once.values[0]).at(0),
            static_cast<float>(static_cast<double>(2469588189546311528ULL >> 11) * 0x1p-52 - 1.0));
}

TEST_F(MakeInputs, FillsEachTypeWithinItsRange) {
  onnx::ModelProto model = empty_model();
  const std::vector<std::pair<const char*, int>> types = {
      {"float", Type::FLOAT},    {"double", Type::DOUBLE},       {"half", Type::FLOAT16},
      {"brain", Type::BFLOAT16}, {"int8", Type::INT8},           {"uint8", Type::UINT8},
      {"int16", Type::INT16},    {"uint16", Type::UINT16},       {"int32", Type::INT32},
      {"uint32", Type::UINT32},  {"int64", Type::INT64},         {"uint64", Type::UINT64},
      {"flag", Type::BOOL},      {"attention_mask", Type::INT64}};
  for (const auto& [name, type] : types) add_input(model, name, type, {"256"});
  const Inputs inputs = make(model);
  const auto range = [&](size_t i, auto element) {
    auto values = values_in<decltype(element)>(inputs.values.at(i));
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    return std::pair<double, double>(*low, *high);
  };
  for (const auto& [low, high] : {range(0, float{}), range(1, double{})}) {
    EXPECT_GE(low, -1);
    EXPECT_LT(low, -0.9);
    EXPECT_LE(high, 1);
    EXPECT_GT(high, 0.9);
  }
  for (const uint16_t bits : values_in<uint16_t>(inputs.values.at(2)))
    EXPECT_LE(std::fabs(Ort::Float16_t::FromBits(bits).ToFloat()), 1);
  for (const uint16_t bits : values_in<uint16_t>(inputs.values.at(3)))
    EXPECT_LE(std::fabs(Ort::BFloat16_t::FromBits(bits).ToFloat()), 1);
  const std::pair<double, double> bits(0, 1), ones(1, 1);
  EXPECT_EQ(range(4, int8_t{}), bits);
  EXPECT_EQ(range(5, uint8_t{}), bits);
  EXPECT_EQ(range(6, int16_t{}), bits);
  EXPECT_EQ(range(7, uint16_t{}), bits);
  EXPECT_EQ(range(8, int32_t{}), bits);
  EXPECT_EQ(range(9, uint32_t{}), bits);
  EXPECT_EQ(range(10, int64_t{}), bits);
  EXPECT_EQ(range(11, uint64_t{}), bits);
  EXPECT_EQ(range(12, uint8_t{}), ones);
  EXPECT_EQ(range(13, int64_t{}), ones);
}

// `name` selects rows of a table of `rows` rows, after a Cast.
onnx::ModelProto lookup_model(const std::string& name, int type, int64_t rows) {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  set_type(*graph.add_input(), name, type, {"n", "500"});
  *graph.add_initializer() =
      raw("table", floats(static_cast<size_t>(rows), 1), Type::FLOAT, {rows});
  *add_node(graph, "Cast", {name}, {"wide"}).add_attribute() = integer("to", Type::INT64);
  add_node(graph, "Gather", {"table", "wide"}, {"y"});
  set_type(*graph.add_output(), "y", Type::FLOAT, {"n", "500"});
  return model;
}

TEST_F(MakeInputs, KeepsIndicesWithinTheTable) {
  const auto ids = values_in<int64_t>(make(lookup_model("ids", Type::INT64, 300)).values.at(0));
  const auto [low, high] = std::minmax_element(ids.begin(), ids.end());
  EXPECT_GE(*low, 0);
  EXPECT_LT(*high, 300);
  EXPECT_GT(*high, 200);
  // A name with "mask" that selects rows is no mask.
  const auto mask = values_in<int64_t>(make(lookup_model("mask", Type::INT64, 300)).values.at(0));
  EXPECT_GT(*std::max_element(mask.begin(), mask.end()), 1);
  for (const int64_t rows : {200, 1000}) {  // int8 reaches 127 of them; more would be negative
    const auto small = values_in<int8_t>(make(lookup_model("ids", Type::INT8, rows)).values.at(0));
    EXPECT_GE(*std::min_element(small.begin(), small.end()), 0);
    EXPECT_GT(*std::max_element(small.begin(), small.end()), 100);
  }
}

TEST_F(MakeInputs, RefusesInputsThatAreNoNumericTensors) {
  onnx::ModelProto texts = empty_model();
  add_input(texts, "text", Type::STRING, {"2"});
  std::string message, hint;
  EXPECT_EQ(code_of([&] { make(texts); }, &message, &hint), 5);
  EXPECT_NE(message.find("'text'"), std::string::npos) << message;
  EXPECT_NE(hint.find("--inputs"), std::string::npos) << hint;

  onnx::ModelProto sequence = empty_model();
  for (auto* value :
       {sequence.mutable_graph()->add_input(), sequence.mutable_graph()->add_output()}) {
    value->mutable_type()
        ->mutable_sequence_type()
        ->mutable_elem_type()
        ->mutable_tensor_type()
        ->set_elem_type(Type::FLOAT);
  }
  sequence.mutable_graph()->mutable_input(0)->set_name("parts");
  sequence.mutable_graph()->mutable_output(0)->set_name("y");
  add_node(*sequence.mutable_graph(), "Identity", {"parts"}, {"y"});
  EXPECT_EQ(code_of([&] { make(sequence); }, &message), 5);
  EXPECT_NE(message.find("'parts'"), std::string::npos) << message;
}

TEST_F(MakeInputs, ReadsFilesFromEachLayout) {
  onnx::ModelProto model = empty_model();
  add_input(model, "x", Type::FLOAT, {"n"});
  add_input(model, "y", Type::INT64, {});
  float number = 0;
  // From the least to the most special, so that each comes before the ones before it.
  for (const char* layout : {"data/", "data/test_data_set_0/", "data/base/",
                             "data/base/test_data_set_0/", "data/m/", "data/m/test_data_set_0/"}) {
    SCOPED_TRACE(layout);
    number += 1;
    write_input(layout + std::string("input_0.pb"),
                raw("x", raw_of<float>({number}), Type::FLOAT, {1}));
    // A scalar has no dimensions, which raw() cannot say.
    onnx::TensorProto scalar;
    scalar.set_data_type(Type::INT64);
    scalar.set_raw_data(raw_of<int64_t>({7}));
    write_input(layout + std::string("input_1.pb"), scalar);
    const Inputs inputs = make(model, {temp_ / "data", {}});
    EXPECT_FALSE(inputs.made_up);
    EXPECT_EQ(values_in<float>(inputs.values.at(0)), std::vector<float>{number});
    EXPECT_EQ(values_in<int64_t>(inputs.values.at(1)), std::vector<int64_t>{7});
  }
}

TEST_F(MakeInputs, RefusesFilesThatDoNotFit) {
  onnx::ModelProto model = empty_model();
  add_input(model, "x", Type::FLOAT, {"n", "2"});
  const InputOptions options{temp_ / "data", {}};
  fs::create_directories(temp_ / "data");
  std::string message;
  const auto code = [&] { return code_of([&] { make(model, options); }, &message); };
  EXPECT_EQ(code(), 3);
  EXPECT_NE(message.find("input_0"), std::string::npos) << message;
  write_input("data/input_0.pb", raw("x", raw_of<float>({1, 2}), Type::FLOAT, {1, 2}));
  EXPECT_EQ(code(), 0);
  write_input("data/input_0.pb", raw("x", raw_of<int32_t>({1, 2}), Type::INT32, {1, 2}));
  EXPECT_EQ(code(), 4);
  EXPECT_NE(message.find("holds int32, input 'x' is float32"), std::string::npos) << message;
  write_input("data/input_0.pb", raw("x", raw_of<float>({1, 2}), Type::FLOAT, {2, 1}));
  EXPECT_EQ(code(), 4);
  EXPECT_NE(message.find("2x1, the model's is ?x2"), std::string::npos) << message;
  add_input(model, "y", Type::FLOAT, {});
  write_input("data/input_0.pb", raw("x", raw_of<float>({1, 2}), Type::FLOAT, {1, 2}));
  EXPECT_EQ(code(), 3);
  EXPECT_NE(message.find("input_1"), std::string::npos) << message;
}

TEST_F(MakeInputs, MakesUpNoMoreThanAGibibyteUnlessTold) {
  onnx::ModelProto model = empty_model();
  add_input(model, "x", Type::FLOAT, {"1", "1073741824"});
  std::string message, hint;
  EXPECT_EQ(code_of([&] { make(model); }, &message, &hint), 5);
  EXPECT_EQ(message, "input 'x': has shape 1x1073741824, 4.0 GiB; at most 1.0 GiB are made up");
  EXPECT_EQ(hint,
            "--shape gives it another one, or says that this is meant; --inputs gives values");
  onnx::ModelProto free = empty_model();
  add_input(free, "a", Type::INT8, {"536870912"});
  add_input(free, "b", Type::INT8, {"batch", "536870913"});
  EXPECT_EQ(message_of([&] { make(free); }),
            "input 'b': has shape 1x536870913, 512.0 MiB beside 512.0 MiB of other inputs; at most "
            "1.0 GiB are made up");
  onnx::ModelProto endless = empty_model();
  add_input(endless, "x", Type::INT8, {"4294967296", "4294967296"});
  EXPECT_NE(message_of([&] { make(endless); }).find("more than 2^63 bytes"), std::string::npos);
  onnx::ModelProto small = empty_model();
  add_input(small, "x", Type::INT8, {"batch", "length"});
  EXPECT_EQ(make(small, {{}, {{"x", {1, 2}}}}).values.size(), 1u);
}

}  // namespace
}  // namespace wshare::test

// `wshare diff` as users and pipelines see it.

#include <nlohmann/json.hpp>

#include "compare/transformer.h"
#include "support/cli_test.h"

namespace wshare {
namespace {

using nlohmann::json;
using test::encoder_weights;
using test::export_encoder;
using test::Weights;

class DiffCommand : public test::CliTest {
 protected:
  // A base, and a task with two merged pairs and one replaced weight, under shifted names.
  void add_task() {
    Weights weights = encoder_weights(2, 1);
    add("base.onnx", export_encoder(weights, 2).model);
    weights["0.q"] = sum(weights["0.q"], test::low_rank(48, 48, 3, 50, 0.02));
    weights["1.v"] = sum(weights["1.v"], test::low_rank(48, 48, 5, 60, 0.02));
    weights["1.up"] = test::random_matrix(48, 96, 70);
    add("task.onnx", export_encoder(weights, 2, {.first_number = 107}).model);
  }

  int run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "diff");
    return CliTest::run(arguments);
  }
  std::string base() const { return path("in/base.onnx"); }
  std::string task() const { return path("in/task.onnx"); }
};

TEST_F(DiffCommand, ExitsByTheAnswer) {
  add_task();
  test::write_file(temp_ / "in/no.onnx", "no model");
  const std::string none = path("in/none.onnx");
  const std::string no_model = path("in/no.onnx");
  struct Case {
    const char* name;
    std::vector<std::string> arguments;
    int code;
  };
  for (const Case& c :
       {Case{"equal", {base(), base()}, 0}, Case{"different", {base(), task()}, 1},
        Case{"only small ones differ", {base(), base(), "--min-bytes", "100"}, 0},
        Case{"one model", {base()}, 2}, Case{"three models", {base(), base(), base()}, 2},
        Case{"top is no number", {base(), base(), "--top", "x"}, 2},
        Case{"rank 0", {base(), base(), "--max-rank", "0"}, 2}, Case{"missing", {base(), none}, 3},
        Case{"no model", {no_model, base()}, 4}}) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(run(c.arguments), c.code) << err_;
    EXPECT_EQ(err_.empty(), c.code < 2) << err_;
    EXPECT_EQ(out_.empty(), c.code >= 2) << out_;
  }
}

TEST_F(DiffCommand, AnswersInTheFirstLine) {
  add_task();
  ASSERT_EQ(run({base(), task()}), 1);
  const auto first_line = [&] { return out_.substr(0, out_.find('\n')); };
  EXPECT_EQ(first_line().find(
                "36.0 KiB of 161.2 KiB differ (22 %): 2 low_rank (rank 3 to 5), 1 replaced, "),
            0u)
      << out_;
  EXPECT_TRUE(first_line().ends_with("; same graph")) << out_;
  for (const char* text : {"low_rank 3", "onnx::MatMul_102 -> onnx::MatMul_109", "replaced"}) {
    EXPECT_NE(out_.find(text), std::string::npos) << text << " in\n" << out_;
  }
  ASSERT_EQ(run({"old=" + base(), base()}), 0);
  EXPECT_EQ(out_, "same file: 15 tensors (161.2 KiB), 30 nodes\n");
  ASSERT_EQ(run({base(), base(), "--tensors"}), 0);
  EXPECT_NE(out_.find("onnx::MatMul_100"), std::string::npos) << out_;
}

TEST_F(DiffCommand, CallsModelsByTheirNames) {
  add("base.onnx", test::model_of({test::raw("w", std::string(2048, 'a'))}));
  add("task.onnx", test::model_of({test::raw("w", std::string(2048, 'a')),
                                   test::raw("u", std::string(2048, 'b'))}));
  ASSERT_EQ(run({"old=" + base(), "new=" + task()}), 1) << err_;
  EXPECT_TRUE(out_.starts_with("new holds all weights of old (2.0 KiB), and 2.0 KiB more (50 %)"))
      << out_;
  ASSERT_EQ(run({path("in"), task()}), 4);
  EXPECT_NE(err_.find("holds 2 models\nhint: name one file of them\n"), std::string::npos) << err_;
}

TEST_F(DiffCommand, TakesSmallConstantsForNoWeights) {
  add("base.onnx", test::model_of({test::raw("w", std::string(2048, 'a'))}));
  add("task.onnx", test::model_of({test::raw("w", std::string(2048, 'a')),
                                   test::raw("axes", std::string(8, 'b'))}));
  ASSERT_EQ(run({base(), task()}), 1) << err_;
  EXPECT_TRUE(out_.starts_with("same weights (2.0 KiB)")) << out_;
  run({base(), task(), "--json"});
  EXPECT_EQ(json::parse(out_).at("verdict"), "same_weights");
}

// A name that tells tensors apart in its middle is cut elsewhere, and in a pipe nothing is.
TEST_F(DiffCommand, KeepsWhatTellsNamesApart) {
  const std::string front(60, 'f'), back(60, 'b');
  const auto model = [&](char of_weight) {
    return test::model_of({test::raw(front + "_then_" + back, std::string(2048, of_weight)),
                           test::raw(front + "_else_" + back, std::string(4096, of_weight))});
  };
  add("base.onnx", model('a'));
  add("task.onnx", model('b'));
  for (const unsigned columns : {80u, 100u, 200u, 0u}) {
    SCOPED_TRACE(columns);
    std::ostringstream out, err;
    Console console;
    console.out_columns = columns;
    ASSERT_EQ(run_cli({"diff", base(), task()}, out, err, {}, console), 1) << err.str();
    EXPECT_NE(out.str().find("_then_"), std::string::npos) << out.str();
    EXPECT_NE(out.str().find("_else_"), std::string::npos) << out.str();
    EXPECT_EQ(out.str().find(front + "_else_" + back) != std::string::npos,
              columns == 200 || columns == 0)
        << out.str();
    std::istringstream lines(out.str());
    for (std::string line; columns > 0 && std::getline(lines, line);)
      EXPECT_LE(line.size(), columns) << line;
  }
}

TEST_F(DiffCommand, SaysOfLongMetadataWhereItChanges) {
  const auto model = [](const std::string& value) {
    onnx::ModelProto proto = test::model_of({test::raw("w", std::string(2048, 'a'))});
    onnx::StringStringEntryProto& entry = *proto.add_metadata_props();
    entry.set_key("config");
    entry.set_value(value);
    return proto;
  };
  add("base.onnx", model(std::string(500, 'x')));
  add("task.onnx", model(std::string(300, 'x') + "y"));
  ASSERT_EQ(run({base(), task()}), 1);
  EXPECT_EQ(out_,
            "same weights (2.0 KiB); same graph, other metadata\n\n"
            "metadata 'metadata_props.config': 500 bytes -> 301 bytes, alike up to byte 300\n");
}

TEST_F(DiffCommand, TellsNamesOfDimensionsFromDimensions) {
  const auto model = [](const char* batch, int64_t size) {
    onnx::ModelProto proto = test::model_of({test::raw("w", std::string(2048, 'a'))});
    onnx::ValueInfoProto& input = *proto.mutable_graph()->add_input();
    input.set_name("x");
    onnx::TypeProto::Tensor& type = *input.mutable_type()->mutable_tensor_type();
    type.set_elem_type(onnx::TensorProto::FLOAT);
    type.mutable_shape()->add_dim()->set_dim_param(batch);
    type.mutable_shape()->add_dim()->set_dim_value(size);
    return proto;
  };
  add("base.onnx", model("unk__215", 8));
  add("task.onnx", model("unk__214", 8));
  ASSERT_EQ(run({base(), task()}), 1);
  EXPECT_TRUE(
      out_.starts_with("same weights (2.0 KiB); same graph, other names of dimensions of "
                       "inputs\n"))
      << out_;
  add("task.onnx", model("unk__215", 80));
  ASSERT_EQ(run({base(), task()}), 1);
  EXPECT_TRUE(out_.starts_with("same weights (2.0 KiB); same graph, other inputs\n")) << out_;
}

TEST_F(DiffCommand, BeginsWithTheGraphWhereThereAreNoTensors) {
  const auto model = [](const char* op) {
    onnx::ModelProto proto = test::empty_model();
    proto.mutable_graph()->add_input()->set_name("x");
    test::add_node(*proto.mutable_graph(), op, {"x"}, {"y"});
    proto.mutable_graph()->add_output()->set_name("y");
    return proto;
  };
  add("base.onnx", model("Abs"));
  add("task.onnx", model("Exp"));
  ASSERT_EQ(run({base(), task()}), 1);
  EXPECT_TRUE(out_.starts_with(
      "no weights; other graph: 1 node added, 1 removed, 1 rewired\n\nadded  removed"))
      << out_;
}

TEST_F(DiffCommand, WrapsLongNotes) {
  const auto model = [](double first) {
    test::Matrix matrix = test::random_matrix(4000, 4, 1);
    for (const int64_t row : {1000, 1100, 2200, 3300}) {
      for (int64_t step = 0; step < 12; ++step) matrix.at(row + step, step % 4) += first;
    }
    return test::model_of({test::tensor("weight", matrix)});
  };
  add("base.onnx", model(0));
  add("task.onnx", model(1));
  ASSERT_EQ(run({base(), task()}), 1);
  EXPECT_TRUE(out_.starts_with("62.5 KiB of 62.5 KiB differ")) << out_;  // most rows are equal
  EXPECT_NE(out_.find("weight (few rows: 48 of 4000 rows changed"), std::string::npos) << out_;
  std::ostringstream out, err;
  Console console;
  console.out_columns = 80;
  run_cli({"diff", base(), task()}, out, err, {}, console);
  EXPECT_NE(out.str().find("3311)\n"), std::string::npos) << out.str();
  std::istringstream lines(out.str());
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << line;
}

TEST_F(DiffCommand, KeepsLongAndStrangeNamesInShape) {
  const std::string front(150, 'm');
  add("base.onnx", test::model_of({test::raw(front + ".a\n\x1b[2J", "12345678")}));
  add("task.onnx", test::model_of({test::raw(front + ".b", "12345678")}));
  ASSERT_EQ(run({base(), task()}), 1);
  EXPECT_EQ(out_.find('\x1b'), std::string::npos);
  EXPECT_NE(out_.find(".a\\x0a\\x1b[2J"), std::string::npos) << out_;
  EXPECT_NE(out_.find("m.b\n"), std::string::npos) << out_;
}

TEST_F(DiffCommand, PrintsOneObjectWithTheKeysOfTheContract) {
  add_task();
  ASSERT_EQ(run({base(), task(), "--json"}), 1);
  EXPECT_EQ(std::count(out_.begin(), out_.end(), '\n'), 1);
  const json object = json::parse(out_);
  EXPECT_EQ(object.at("schema"), "wshare.diff/1");
  EXPECT_EQ(object.at("equal"), false);
  EXPECT_EQ(object.at("classes").at("low_rank").at("tensors"), 2);
  EXPECT_EQ(object.at("classes").at("low_rank").at("bytes"), 2 * 48 * 48 * 4);
  EXPECT_EQ(object.at("classes").at("removed").at("tensors"), 0);
  std::map<std::string, json> by_name;
  for (const json& tensor : object.at("tensors")) by_name[tensor.at("b").at("tensor")] = tensor;
  EXPECT_EQ(by_name.size(), 15u);
  const json& q = by_name.at("onnx::MatMul_109");
  EXPECT_EQ(q.at("class"), "low_rank");
  EXPECT_EQ(q.at("a").at("tensor"), "onnx::MatMul_102");
  EXPECT_EQ(q.at("a").at("dtype"), "float32");
  EXPECT_EQ(q.at("a").at("shape"), (json{48, 48}));
  EXPECT_EQ(q.at("rank"), 3);
  EXPECT_LT(q.at("relative_error").get<double>(), 1e-6);
  EXPECT_GT(q.at("energy").get<double>(), 0.999);
  EXPECT_GT(q.at("max_abs_error").get<double>(), 0);
  const auto values = q.at("singular_values").get<std::vector<double>>();
  ASSERT_GT(values.size(), 3u);
  EXPECT_GT(values[2], q.at("noise_edge").get<double>());
  EXPECT_LT(values[3], q.at("noise_edge").get<double>());
  EXPECT_NEAR(q.at("relative_change").get<double>(), 0.4, 0.2);
  EXPECT_EQ(object.at("lora").size(), 0u);
  EXPECT_EQ(object.at("graph").at("nodes_a"), 30);
  EXPECT_EQ(object.at("graph").at("operators").size(), 0u);
}

TEST_F(DiffCommand, ShowsAsMuchAsAsked) {
  add_task();
  const auto count = [&](const std::vector<std::string>& arguments) {
    run(arguments);
    return json::parse(out_).at("tensors").size();
  };
  EXPECT_EQ(count({base(), base(), "--json"}), 0u);
  EXPECT_EQ(count({base(), base(), "--json", "--tensors"}), 15u);
  EXPECT_EQ(count({base(), task(), "--json", "--top", "2"}), 2u);
  EXPECT_EQ(count({base(), task(), "--json", "--min-bytes", "1000"}), 13u);
  run({base(), task(), "--json", "--no-svd"});
  EXPECT_EQ(json::parse(out_).at("classes").at("replaced").at("tensors"), 3);
  run({base(), task(), "--json", "--max-rank", "4"});
  EXPECT_EQ(json::parse(out_).at("classes").at("low_rank").at("tensors"), 1);
}

TEST_F(DiffCommand, SaysTheSameOnAnyNumberOfThreads) {
  add_task();
  run({base(), task(), "--json", "-j", "1"});
  const std::string one = out_;
  run({base(), task(), "--json", "-j", "3"});
  EXPECT_EQ(out_, one);
}

}  // namespace
}  // namespace wshare

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

TEST_F(DiffCommand, PrintsWhatDiffersWithinEightyColumns) {
  add_task();
  ASSERT_EQ(run({base(), task()}), 1);
  for (const char* text : {"low_rank", "onnx::MatMul_102 -> onnx::MatMul_109", "replaced",
                           "renamed", "different: 0 of 15 tensors are the same\n"}) {
    EXPECT_NE(out_.find(text), std::string::npos) << text << " in\n" << out_;
  }
  EXPECT_TRUE(out_.ends_with("are the same\n"));
  std::istringstream lines(out_);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << line;

  ASSERT_EQ(run({base(), base()}), 0);
  EXPECT_TRUE(out_.ends_with("equal: 15 tensors, 30 nodes\n")) << out_;
  EXPECT_EQ(out_.find("onnx::MatMul"), std::string::npos) << out_;
  ASSERT_EQ(run({base(), base(), "--tensors"}), 0);
  EXPECT_NE(out_.find("onnx::MatMul_100"), std::string::npos) << out_;
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
  EXPECT_TRUE(out_.starts_with("added  removed  attributes  rewired  operator\n")) << out_;
  EXPECT_TRUE(out_.ends_with("\ndifferent: neither model has tensors\n")) << out_;
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
  EXPECT_NE(out_.find("few rows: 48 of 4000 rows changed\n"), std::string::npos) << out_;
  EXPECT_NE(out_.find("3300 to 3311)\n"), std::string::npos) << out_;
  std::istringstream lines(out_);
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

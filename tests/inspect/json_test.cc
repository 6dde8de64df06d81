// The JSON of `wshare inspect`, against docs/inspect.schema.json.

#include <algorithm>
#include <nlohmann/json.hpp>

#include "inspect/output_fixture.h"
#include "support/json_schema.h"
#include "support/places.h"
#include "wshare/extract_lora.h"

namespace wshare {
namespace {

using nlohmann::json;
using test::Arguments;
using test::noise;
using test::Proto;
using test::raw;
using test::Schema;

class InspectJson : public test::InspectOutput {};

TEST_F(InspectJson, IsTheJsonOfTheSchema) {
  add("a.onnx", {raw("w", noise(5000, 1)), raw("m", "abcdef", Proto::UINT8, {2, 3})});
  add("b.onnx", {raw("w", noise(5000, 1)), raw("m", "adbecf", Proto::UINT8, {3, 2})});
  add("c.onnx", {test::external("e", 2000, {{"location", "e.bin"}})});
  test::write_file(temp_ / "in/e.bin", noise(2000, 2));
  make();
  const json text =
      json::parse(test::read_file(test::fs::path(test::kDocs) / "inspect.schema.json"));
  Schema schema(text);
  const json models = object({"in"}, {"--min-bytes", "1"});
  EXPECT_EQ(schema.problems(models), Arguments{});
  EXPECT_EQ(models.at("duplicates").size(), 1u);
  EXPECT_EQ(models.at("transposed").size(), 1u);
  EXPECT_EQ(models.at("models")[2].at("external")[0].at("file"), "e.bin");
  EXPECT_FALSE(models.contains("bundle"));
  EXPECT_EQ(models.at("findings")[0].at("id"), "WS011");
  const json structure = object({"in"}, {"--no-hash"});
  EXPECT_EQ(schema.problems(structure), Arguments{});
  EXPECT_EQ(structure.at("distinct_bytes"), nullptr);
  EXPECT_EQ(structure.at("predicted_bundle_bytes"), nullptr);
  const json bundle = object({"bundle"});
  EXPECT_EQ(schema.problems(bundle), Arguments{});
  EXPECT_EQ(bundle.at("bundle"), (temp_ / "bundle").string());
  EXPECT_EQ(bundle.at("transposed_bytes"), nullptr);
  // The checker itself can fail.
  json wrong = models;
  wrong["more"] = 1;
  wrong["matrix"][0][0] = -1;
  wrong["duplicates"][0]["hash"] = "0";
  wrong["models"][0].erase("path");
  EXPECT_EQ(schema.problems(wrong).size(), 4u);
}

TEST_F(InspectJson, IsTheJsonOfTheSchemaForTasksAndEstimates) {
  const test::fs::path family = test::fs::path(test::kTestdata) / "t5-lora-merged";
  test::fs::create_directories(temp_ / "in");
  for (const char* file : {"base.onnx", "translate.onnx"}) {
    test::fs::copy_file(family / file, temp_ / "in" / file);
  }
  ExtractOptions options;
  options.base = (family / "base.onnx").string();
  extract_lora(resolve_inputs({(family / "translate.onnx").string()}), temp_ / "bundle", options);
  Schema schema(json::parse(test::read_file(test::fs::path(test::kDocs) / "inspect.schema.json")));
  const json models = object({"in"});
  EXPECT_EQ(schema.problems(models), Arguments{});
  EXPECT_EQ(models.at("extract").at("tasks").size(), 1u);
  EXPECT_EQ(models.at("models")[0].at("freed_bytes"), nullptr);  // no bundle
  const json bundle = object({"bundle"});
  EXPECT_EQ(schema.problems(bundle), Arguments{});
  ASSERT_EQ(bundle.at("tasks").size(), 1u);
  const json& task = bundle.at("tasks")[0];
  EXPECT_EQ(task.at("freed_bytes"),
            task.at("adapter_bytes").get<uint64_t>() + task.at("residual_bytes").get<uint64_t>());
  EXPECT_EQ(bundle.at("models")[0].at("freed_bytes"), nullptr);  // the task needs it
}

TEST_F(InspectJson, IsTheSameForAnyNumberOfThreads) {
  for (const char* name : {"a.onnx", "b.onnx", "c.onnx"}) {
    std::vector<Proto> tensors;
    for (uint32_t i = 0; i < 40; ++i) {
      tensors.push_back(raw("t" + std::to_string(i), noise(1024 + 8 * (i % 20), i % 25),
                            Proto::UINT8, {8, 128 + i % 20}));
    }
    tensors.push_back(raw("own", noise(1500, static_cast<uint32_t>(name[0]))));
    add(name, tensors);
  }
  ASSERT_EQ(run({"in"}, {"--json", "-j", "1"}), 0) << err_;
  const std::string one = out_;
  for (const char* threads : {"2", "7"}) {
    ASSERT_EQ(run({"in"}, {"--json", "-j", threads}), 0) << err_;
    EXPECT_EQ(out_, one);
  }
}

}  // namespace
}  // namespace wshare

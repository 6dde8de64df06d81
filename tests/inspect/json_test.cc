// The JSON of `wshare inspect`, against docs/inspect.schema.json.

#include <algorithm>

#include "inspect/output_fixture.h"

namespace wshare {
namespace {

using nlohmann::json;
using test::Arguments;
using test::noise;
using test::Proto;
using test::raw;

class InspectJson : public test::InspectOutput {};

// What of `value` is not as `schema` says, as "path: problem"; knows the words that
// docs/inspect.schema.json uses.
class Schema {
 public:
  explicit Schema(json root) : root_(std::move(root)) {}

  Arguments problems(const json& value) {
    problems_.clear();
    check(value, root_, "");
    return problems_;
  }

 private:
  void check(const json& value, const json& given, const std::string& at) {
    const json& schema = given.contains("$ref")
                             ? root_.at("$defs").at(given.at("$ref").get<std::string>().substr(8))
                             : given;
    const auto require = [&](bool holds, const std::string& what) {
      if (!holds) problems_.push_back(at + ": " + what);
    };
    if (schema.contains("const")) require(value == schema.at("const"), "const");
    if (schema.contains("enum")) {
      require(std::count(schema.at("enum").begin(), schema.at("enum").end(), value) == 1, "enum");
    }
    if (schema.contains("type")) require(is_of(value, schema.at("type")), "type");
    if (schema.contains("pattern")) {  // the only one in use
      require(schema.at("pattern") == "^[0-9a-f]{32}$" && is_hash(value), "pattern");
    }
    if (schema.contains("minItems")) require(value.size() >= schema.at("minItems"), "minItems");
    if (schema.contains("minProperties")) {
      require(value.size() >= schema.at("minProperties"), "minProperties");
    }
    for (const json& key : schema.value("required", json::array())) {
      require(value.contains(key), "lacks " + key.get<std::string>());
    }
    if (value.is_array()) {
      for (const json& item : value) check(item, schema.at("items"), at + "[]");
    }
    if (!value.is_object()) return;
    for (const auto& [key, each] : value.items()) {
      require(schema.at("properties").contains(key), "has " + key);
      if (schema.at("properties").contains(key)) {
        check(each, schema.at("properties").at(key), at + "." + key);
      }
    }
  }

  static bool is_hash(const json& value) {
    const std::string text = value.get<std::string>();
    return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
  }

  static bool is_of(const json& value, const json& type) {
    if (type.is_array()) {
      return std::any_of(type.begin(), type.end(),
                         [&](const json& each) { return is_of(value, each); });
    }
    return (type == "object" && value.is_object()) || (type == "array" && value.is_array()) ||
           (type == "string" && value.is_string()) || (type == "null" && value.is_null()) ||
           (type == "integer" && value.is_number_integer() && value >= 0);
  }

  json root_;
  Arguments problems_;
};

TEST_F(InspectJson, IsTheJsonOfTheSchema) {
  add("a.onnx", {raw("w", noise(5000, 1)), raw("m", "abcdef", Proto::UINT8, {2, 3})});
  add("b.onnx", {raw("w", noise(5000, 1)), raw("m", "adbecf", Proto::UINT8, {3, 2})});
  add("c.onnx", {test::external("e", 2000, {{"location", "e.bin"}})});
  test::write_file(temp_ / "in/e.bin", noise(2000, 2));
  make();
  const json text =
      json::parse(test::read_file(test::fs::path(WSHARE_DOCS) / "inspect.schema.json"));
  Schema schema(text);
  const json models = object({"in"}, {"--min-bytes", "1"});
  EXPECT_EQ(schema.problems(models), Arguments{});
  EXPECT_EQ(models.at("duplicates").size(), 1u);
  EXPECT_EQ(models.at("transposed").size(), 1u);
  EXPECT_EQ(models.at("models")[2].at("external")[0].at("file"), "e.bin");
  EXPECT_FALSE(models.contains("bundle"));
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

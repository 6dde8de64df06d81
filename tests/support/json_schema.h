#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>
#include <utility>
#include <vector>

namespace wshare::test {

// What of `value` is not as `schema` says, as "path: problem"; knows the words that
// the schemas in docs/ use.
class Schema {
 public:
  explicit Schema(nlohmann::json root) : root_(std::move(root)) {}

  std::vector<std::string> problems(const nlohmann::json& value) {
    problems_.clear();
    check(value, root_, "");
    return problems_;
  }

 private:
  void check(const nlohmann::json& value, const nlohmann::json& given, const std::string& at) {
    const nlohmann::json& schema =
        given.contains("$ref") ? root_.at("$defs").at(given.at("$ref").get<std::string>().substr(8))
                               : given;
    const auto require = [&](bool holds, const std::string& what) {
      if (!holds) problems_.push_back(at + ": " + what);
    };
    if (schema.contains("const")) require(value == schema.at("const"), "const");
    if (schema.contains("enum")) {
      require(std::count(schema.at("enum").begin(), schema.at("enum").end(), value) == 1, "enum");
    }
    if (schema.contains("type")) require(is_of(value, schema.at("type")), "type");
    if (schema.contains("pattern") && value.is_string()) {
      const std::regex pattern(schema.at("pattern").get<std::string>());
      require(std::regex_search(value.get<std::string>(), pattern), "pattern");
    }
    if (schema.contains("minItems")) require(value.size() >= schema.at("minItems"), "minItems");
    if (schema.contains("maxItems")) require(value.size() <= schema.at("maxItems"), "maxItems");
    if (schema.contains("minProperties")) {
      require(value.size() >= schema.at("minProperties"), "minProperties");
    }
    if (value.is_array()) {
      for (const nlohmann::json& item : value) check(item, schema.at("items"), at + "[]");
    }
    if (!value.is_object()) return;
    for (const nlohmann::json& key : schema.value("required", nlohmann::json::array())) {
      require(value.contains(key), "lacks " + key.get<std::string>());
    }
    for (const auto& [key, each] : value.items()) {
      require(schema.at("properties").contains(key), "has " + key);
      if (schema.at("properties").contains(key)) {
        check(each, schema.at("properties").at(key), at + "." + key);
      }
    }
  }

  static bool is_of(const nlohmann::json& value, const nlohmann::json& type) {
    if (type.is_array()) {
      return std::any_of(type.begin(), type.end(),
                         [&](const nlohmann::json& each) { return is_of(value, each); });
    }
    return (type == "object" && value.is_object()) || (type == "array" && value.is_array()) ||
           (type == "string" && value.is_string()) || (type == "null" && value.is_null()) ||
           (type == "number" && value.is_number()) || (type == "boolean" && value.is_boolean()) ||
           (type == "integer" && value.is_number_integer() && value >= 0);
  }

  nlohmann::json root_;
  std::vector<std::string> problems_;
};

}  // namespace wshare::test

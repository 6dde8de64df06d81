#include "format/json_reader.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "wshare/error.h"

namespace wshare {
namespace {

// Returns what is wrong with `text`, "" where nothing is.
std::string fault_of(const std::string& text) {
  try {
    JsonReader json(text);
    json.skip();
    json.finish();
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalid);
    return error.what();
  }
}

TEST(JsonReader, TakesWhatTheStandardAllowsAndNothingElse) {
  const std::vector<std::string> texts = {
      "null", "true", "false", "0", "-0", "-1", "12", "1.5", "1e5", "1E+5", "-1.25e-5", "\"\"",
      "\"a\\n\\u00e9\\ud83d\\ude00\\/\"", "[]", "{}", " [ 1 , 2 ] ", "{\"a\":{\"b\":[null]}}",
      "\"\x7f\"", "\"\xc3\xa9\"", "\"\xf4\x8f\xbf\xbf\"",
      // and what it does not
      "", " ", "nul", "nulll", "tru", "True", "01", "-", "+1", "1.", ".5", "1e", "1e+", "0x1",
      "NaN", "Infinity", "'a'", "\"", "\"\\\"", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"",
      "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"a\nb\"", "\"a\tb\"",
      std::string("\"a\0b\"", 5), "[", "]", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1}", "{",
      "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{\"a\" 1}", "{1:1}", "[] []", "{}x", "/**/1",
      "\xef\xbb\xbf[", "\"\xff\"", "\"\xc0\x80\"", "\"\xc3\"", "\"\xed\xa0\x80\"",
      "\"\xf4\x90\x80\x80\"", "\"\xe2\x82\""};
  for (const std::string& text : texts) {
    SCOPED_TRACE(text);
    EXPECT_EQ(fault_of(text).empty(), nlohmann::json::accept(text));
  }
}

TEST(JsonReader, RefusesEveryTruncation) {
  const std::string text = R"({"a": [1, -2.5e3, "\ud83d\ude00é"], "b": {"c": null, "d": true}})";
  EXPECT_EQ(fault_of(text), "");
  for (size_t size = 0; size < text.size(); ++size) EXPECT_NE(fault_of(text.substr(0, size)), "");
}

TEST(JsonReader, RefusesAKeyThatStandsTwice) {
  EXPECT_NE(fault_of(R"({"a": 1, "a": 1})").find("'a': stands twice"), std::string::npos);
  EXPECT_NE(fault_of(R"({"a": 1, "\u0061": 1})").find("'a': stands twice"), std::string::npos);
  EXPECT_EQ(fault_of(R"({"a": {"a": 1}, "b": [{"a": 1}, {"a": 1}]})"), "");
  std::string many = "{";
  for (int i = 0; i < 40; ++i) many += "\"key " + std::to_string(i) + "\":0,";
  EXPECT_EQ(fault_of(many + "\"other\":0}"), "");
  EXPECT_NE(fault_of(many + "\"key 3\":0}").find("stands twice"), std::string::npos);
  EXPECT_NE(fault_of(many + "\"key 39\":0}").find("stands twice"), std::string::npos);
}

TEST(JsonReader, RefusesNestingOverTheLimit) {
  const auto nested = [](size_t levels) {
    return std::string(levels, '[') + std::string(levels, ']');
  };
  EXPECT_EQ(fault_of(nested(kDeepestJson)), "");
  EXPECT_NE(fault_of(nested(kDeepestJson + 1)).find("nested deeper than 64"), std::string::npos);
  EXPECT_NE(fault_of(std::string(1 << 20, '[')), "");
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  EXPECT_NE(fault_of(objects), "");
}

TEST(JsonReader, ReadsValuesAsWhatTheyAre) {
  JsonReader json(R"({"name": "a\"\\\/\b\f\n\r\téA", "list": [0, 9223372036854775807],
                      "real": [-0.1, 1e-7, 3], "flag": true, "none": null, "unknown": {"x": [{}]}})");
  std::string name;
  std::vector<uint64_t> list;
  std::vector<double> reals;
  bool flag = false, none = false;
  json.object({"name", "list"}, [&](std::string_view key) {
    if (key == "name") name = json.text();
    if (key == "list") json.list([&] { list.push_back(json.number()); });
    if (key == "real") json.list([&] { reals.push_back(json.real()); });
    if (key == "flag") flag = json.flag();
    if (key == "unknown") none = none && json.peek() == '{';
    if (key == "none") none = json.take_null();
  });
  json.finish();
  EXPECT_EQ(name, "a\"\\/\b\f\n\r\té\x41");
  EXPECT_EQ(list, (std::vector<uint64_t>{0, INT64_MAX}));
  EXPECT_EQ(reals, (std::vector<double>{-0.1, 1e-7, 3}));
  EXPECT_TRUE(flag);
  EXPECT_TRUE(none);
}

TEST(JsonReader, RefusesNumbersThatAreNoSizes) {
  for (const char* text : {"-1", "-0", "1.0", "1e2", "9223372036854775808", "18446744073709551616",
                           "\"1\"", "true", "null", "[]", ""}) {
    SCOPED_TRACE(text);
    EXPECT_THROW(JsonReader(text).number(), Error);
  }
  EXPECT_EQ(JsonReader("18446744073709551615").number(UINT64_MAX), UINT64_MAX);
  EXPECT_THROW(JsonReader("1e999").real(), Error);
  EXPECT_THROW(JsonReader("4").number(3), Error);
}

// A hostile value could be of any size and hold control bytes of a terminal.
TEST(JsonReader, NamesTheKeyNeverTheValue) {
  const std::string text = "{\"a\": {\"size\": \"" + std::string(100000, 'x') + "\"}}";
  JsonReader json(text);
  try {
    json.object(
        {}, [&](std::string_view) { json.object({}, [&](std::string_view) { json.number(); }); });
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()), "'size': is no number of 0 to 9223372036854775807");
  }
  EXPECT_LT(
      fault_of("{\"" + std::string(100000, 'k') + "\":1,\"" + std::string(100000, 'k') + "\":1}")
          .size(),
      300U);
}

TEST(JsonReader, SaysWhichKeyIsMissing) {
  JsonReader json(R"({"a": 1})");
  try {
    json.object({"a", "b"}, [](std::string_view) {});
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()), "'b': is missing");
  }
}

TEST(JsonReader, GivesAListAsTextForAnotherReader) {
  JsonReader json(R"({"skipped": [[1, "]\"["], {"a": []}] , "after": 7})");
  std::string list;
  uint64_t after = 0;
  json.object({}, [&](std::string_view key) {
    if (key == "skipped") list = json.raw_list();
    if (key == "after") after = json.number();
  });
  EXPECT_EQ(list, R"([[1, "]\"["], {"a": []}])");
  EXPECT_EQ(after, 7U);
  for (const char* text : {"[", "[\"", "[\"\\", "[\"]", "{}"}) {
    SCOPED_TRACE(text);
    EXPECT_THROW(JsonReader(text).raw_list(), Error);
  }
}

}  // namespace
}  // namespace wshare

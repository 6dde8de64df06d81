#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli.h"
#include "run/graphs.h"
#include "support/bundle_test.h"
#include "support/places.h"

namespace wshare::test {

using nlohmann::json;
using Arguments = std::vector<std::string>;
using Names = std::vector<std::string>;

inline constexpr int64_t kRows = 64, kColumns = 512;

// `wshare run` of a bundle of two models, "a" and "b", that share a weight.
class RunCommand : public BundleTest {
 protected:
  RunCommand() {
    add("a.onnx", matmul_model(kRows, kColumns, floats(kColumns, 2)));
    add("b.onnx", matmul_model(kRows, kColumns, floats(kColumns, 3)));
    make();
  }

  std::string path(const std::string& name) const { return (temp_ / name).string(); }
  std::string a_is(const std::string& file) const { return "a=" + path(file); }

  int run(Arguments arguments, const fs::path& program = kProgram) {
    arguments.insert(arguments.begin(), {"run", path("bundle"), "--repeat=1"});
    return command(arguments, program);
  }

  int command(const Arguments& arguments, const fs::path& program = kProgram) {
    std::ostringstream out, err;
    const int code = run_cli(arguments, out, err, program);
    out_ = out.str();
    err_ = err.str();
    return code;
  }

  json run_json(Arguments arguments, int code = 0) {
    arguments.push_back("--json");
    EXPECT_EQ(run(arguments), code) << err_;
    EXPECT_EQ(std::count(out_.begin(), out_.end(), '\n'), 1) << out_;
    return json::parse(out_);
  }

  // Runs what must be refused with one clear message that contains `text`.
  void expect_refused(const char* name, const Arguments& arguments, int code,
                      const std::string& text) {
    SCOPED_TRACE(name);
    EXPECT_EQ(run(arguments), code) << err_;
    EXPECT_EQ(out_, "");
    EXPECT_TRUE(err_.starts_with("wshare: ")) << err_;
    EXPECT_NE(err_.find(text), std::string::npos) << err_;
    EXPECT_LE(std::count(err_.begin(), err_.end(), '\n'), 2) << err_;  // a message, a hint
  }

  static Names keys(const json& object) {
    Names result;
    for (const auto& [key, value] : object.items()) result.push_back(key);
    return result;  // sorted
  }

  static Names names(const json& list, const char* key) {
    Names result;
    for (const json& each : list) result.push_back(each.at(key));
    return result;
  }

  std::string out_, err_;
};

}  // namespace wshare::test

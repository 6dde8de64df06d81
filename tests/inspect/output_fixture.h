#pragma once

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/cli_test.h"
#include "util/text.h"

namespace wshare::test {

using Arguments = std::vector<std::string>;

// A test of the text or JSON of `wshare inspect`.
class InspectOutput : public CliTest {
 protected:
  // Runs `wshare inspect` with `paths` in the test's folder and further `options`.
  int run(const Arguments& paths, const Arguments& options = {}) {
    Arguments arguments = {"inspect"};
    for (const std::string& each : paths) arguments.push_back(path(each));
    arguments.insert(arguments.end(), options.begin(), options.end());
    return CliTest::run(arguments);
  }

  nlohmann::json object(const Arguments& paths, const Arguments& options = {}) {
    Arguments all = options;
    all.push_back("--json");
    EXPECT_EQ(run(paths, all), 0) << err_;
    EXPECT_EQ(err_, "");
    EXPECT_EQ(std::count(out_.begin(), out_.end(), '\n'), 1);
    return nlohmann::json::parse(out_);
  }

  // What the text begins with; composing the small files of a bundle is not this test's matter.
  std::string files_line(const Arguments& paths, const char* what) {
    const nlohmann::json answer = object(paths);
    const uint64_t before = answer.at("input_bytes"), after = answer.at("predicted_bundle_bytes");
    return std::string(what) + ": " + format_bytes(before) + " -> " + format_bytes(after) + ", " +
           (before >= after ? format_bytes(before - after) + " saved ("
                            : format_bytes(after - before) + " added (") +
           std::to_string(std::lround(
               100.0 * std::fabs(static_cast<double>(before) - static_cast<double>(after)) /
               static_cast<double>(before))) +
           " %)\n";
  }
};

}  // namespace wshare::test

// On a terminal each line of what commands print fits; in a pipe nothing is cut.

#include "archive/family.h"
#include "support/places.h"

namespace wshare::test {
namespace {

class Columns : public CliTest {
 protected:
  // Names that differ at both ends and not in the middle.
  static std::string long_name(char front, int back) {
    return front + std::string(120, 'n') + std::to_string(back);
  }

  // Adds `count` models, each a little further on in its training than the one before.
  void add_models(int count) {
    Values values = weight(60 * 100, 1);
    for (int m = 0; m < count; ++m) {
      add(long_name('a', m) + ".onnx", {floats("w" + std::string(99, 'w') + "0", values, {60, 100}),
                                        raw("shared", noise(5000, 9))});
      values = moved(std::move(values), static_cast<unsigned>(m));
    }
  }

  // Expects all lines of the answer to `arguments` to fit a terminal of 80 columns, and the names
  // in it whole without one, unless no name is told. Returns what it is on the terminal.
  std::string expect_fits(const std::vector<std::string>& arguments, const std::string& name) {
    SCOPED_TRACE(arguments[0]);
    constexpr unsigned kColumns = 80;
    std::ostringstream out, err;
    Console console;
    console.out_columns = kColumns;
    EXPECT_LE(run_cli(arguments, out, err, {}, console), 1) << err.str();
    std::istringstream lines(out.str());
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), kColumns) << line;
    EXPECT_NE(out.str().find("nn...nn"), std::string::npos) << out.str();
    EXPECT_LE(run(arguments), 1) << err_;
    EXPECT_NE(out_.find(name), std::string::npos) << out_;
    EXPECT_EQ(out_.find("nn...nn"), std::string::npos) << out_;
    return out.str();
  }
};

TEST_F(Columns, TablesOfModelsFitATerminal) {
  add_models(3);
  expect_fits({"dedupe", path("in"), "-n"}, long_name('a', 2));
  expect_fits({"dedupe", path("in"), "-n", "--explain"}, long_name('a', 2));
  ASSERT_EQ(run({"dedupe", path("in"), "-o", path("bundle")}), 0) << err_;
  expect_fits({"remove", path("bundle"), long_name('a', 1), long_name('a', 2), "-n"},
              long_name('a', 2));
  const std::string base = long_name('a', 0);
  const std::string table = expect_fits({"archive", path("bundle"), "--base", base, "-n"}, base);
  EXPECT_NE(table.find("nn1"), std::string::npos) << table;  // the ends stay
  EXPECT_NE(table.find("nn2"), std::string::npos) << table;
  ASSERT_EQ(run({"archive", path("bundle"), "--base", base}), 0) << err_;
  expect_fits({"thaw", path("bundle"), long_name('a', 1), "-n"}, long_name('a', 1));
}

TEST_F(Columns, TablesOfTasksAndRepositoriesFitATerminal) {
  const std::string made = std::string(kTestdata) + "/t5-lora/";
  const std::string first = long_name('s', 1), second = long_name('t', 2);
  expect_fits({"extract-lora", first + "=" + made + "summarize.onnx",
               second + "=" + made + "translate.onnx", "--base", made + "base.onnx", "-n"},
              second);
  ASSERT_EQ(run({"dedupe", first + "=" + made + "base.onnx", "-o", path("bundle")}), 0) << err_;
  expect_fits({"export", "triton", path("bundle"), path("models"), "-n"}, first);
}

}  // namespace
}  // namespace wshare::test

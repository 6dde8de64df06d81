#include "run/child.h"

#include <gtest/gtest.h>
#include <onnxruntime_cxx_api.h>

#include <functional>
#include <new>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

#include "run/ask_child.h"
#include "support/bundle_test.h"

namespace wshare::test {
namespace {

ChildResult run_shell(const std::string& script) { return run_child("/bin/sh", {"-c", script}); }

TEST(RunChild, GivesBothStreamsAndTheExitCode) {
  const ChildResult result = run_shell("echo figures; echo words >&2; exit 6");
  EXPECT_EQ(result.out, "figures\n");
  EXPECT_EQ(result.err, "words\n");
  EXPECT_EQ(result.exit_code, 6);
  EXPECT_EQ(run_shell("exit 0").exit_code, 0);
}

TEST(RunChild, PassesArgumentsAsTheyAre) {
  const ChildResult result =
      run_child("/bin/sh", {"-c", "printf '<%s>' \"$@\"", "sh", "a b", "", "$x", "-y=*"});
  EXPECT_EQ(result.out, "<a b><><$x><-y=*>");
}

TEST(RunChild, GivesTheInputOnStdin) {
  const std::string much(300000, 'x');
  EXPECT_EQ(run_child("/bin/sh", {"-c", "cat"}, much).out, much);
  EXPECT_EQ(run_child("/bin/sh", {"-c", "cat"}).out, "");
  EXPECT_EQ(run_child("/bin/sh", {"-c", "exit 5"}, much).exit_code, 5);  // nobody reads it
}

TEST(RunChild, ReadsMoreThanAPipeHoldsFromBothStreams) {
  // Alternating, so that a reader of one stream after the other would wait for ever.
  const ChildResult result = run_shell(
      "i=0; while [ $i -lt 300 ]; do printf '%01000d' 1; printf '%01000d' 2 >&2; i=$((i+1)); done");
  EXPECT_EQ(result.out.size(), 300000u);
  EXPECT_EQ(result.err.size(), 300000u);
  EXPECT_EQ(result.out.back(), '1');
  EXPECT_EQ(result.err.back(), '2');
}

TEST(RunChild, NamesTheSignalThatEndedIt) {
  std::string message, hint;
  EXPECT_EQ(code_of([] { run_shell("kill -SEGV $$"); }, &message, &hint), 6);
  EXPECT_NE(message.find("signal 11 (Segmentation fault)"), std::string::npos) << message;
  EXPECT_EQ(hint, "");
  EXPECT_EQ(code_of([] { run_shell("kill -KILL $$"); }, &message, &hint), 6);
  EXPECT_NE(message.find("signal 9 (Killed)"), std::string::npos) << message;
  EXPECT_NE(hint.find("memory"), std::string::npos) << hint;
}

TEST(RunChild, SaysWhatCannotBeStarted) {
  std::string message;
  EXPECT_EQ(code_of([] { run_child("/no/such/program", {}); }, &message), 6);
  EXPECT_NE(message.find("'/no/such/program'"), std::string::npos) << message;
  EXPECT_NE(message.find("No such file"), std::string::npos) << message;
}

TEST(RunChild, HandsOverLinesOfProgressAsTheyCome) {
  std::vector<std::string> lines;
  const char* script =
      R"(printf '\037one\nerror\n\037tw' >&2; printf 'o\n\037half' >&2; printf '\037out')";
  const ChildResult result = run_child("/bin/sh", {"-c", script}, "",
                                       [&](const std::string& line) { lines.push_back(line); });
  EXPECT_EQ(lines, (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(result.err, "error\n\037half");
  EXPECT_EQ(result.out, "\037out");
  EXPECT_EQ(run_child("/bin/sh", {"-c", script}).err, "error\n\037half");  // nobody listens
}

// A call of ONNX Runtime may fail anywhere, for want of memory: that is its error, no bug of ours.
TEST(AnswerJob, GivesErrorsOfOnnxRuntimeAsSuch) {
  const auto code_after = [](const std::function<void()>& body) {
    std::istringstream in(R"({"job": "fail"})");
    std::ostringstream out, err;
    answer_job({{"fail",
                 [&](const auto&, const TellFn&) -> nlohmann::ordered_json {
                   body();
                   return {};
                 }}},
               in, out, err);
    return nlohmann::json::parse(out.str()).at("error").at("code").get<int>();
  };
  EXPECT_EQ(code_after([] { throw Ort::Exception("no memory", ORT_FAIL); }), 6);
  EXPECT_EQ(code_after([] { throw std::bad_alloc(); }), 3);
  EXPECT_EQ(code_after([] { throw std::logic_error("mine"); }), 70);
}

}  // namespace
}  // namespace wshare::test

// docs/tutorial.md, as a newcomer types it: its commands of wshare and cmp are run in order, on
// small models under the names that it uses, and say what it shows.

#include <sys/wait.h>

#include <cstdlib>

#include "support/cli_test.h"
#include "support/places.h"

namespace wshare::test {
namespace {

struct Step {
  std::string command;
  std::vector<std::string> shown;  // lines of its answer
};

std::vector<Step> steps_of(const std::string& tutorial) {
  std::vector<Step> steps;
  std::istringstream lines(tutorial);
  bool fenced = false, code = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("```")) {
      fenced = !fenced;
      code = fenced && line == "```";
    } else if (code && line.starts_with("$ ")) {
      steps.push_back({line.substr(2), {}});
    } else if (code && !steps.empty()) {
      steps.back().shown.push_back(line);
    }
  }
  return steps;
}

// The small models want no inputs of their own.
std::string without_inputs(std::string command) {
  for (const char* option :
       {" --shape input=1x576", " --shape state=2x1x128", " --value sr=16000"}) {
    const size_t at = command.find(option);
    if (at != std::string::npos) command.erase(at, std::string(option).size());
  }
  return command;
}

// With single spaces, since columns are as wide as their figures.
std::string squeezed(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c != ' ' || (!result.empty() && result.back() != ' ' && result.back() != '\n')) result += c;
  }
  return result;
}

class Tutorial : public CliTest {
 protected:
  // The exit code of `command`, whose answer is then in out_.
  int shell(const std::string& command) {
    write_file(temp_ / "run.sh", "cd '" + temp_.path().string() + "' && PATH='" + path("bin") +
                                     "':\"$PATH\" && " + command + "\n");
    const int status = std::system(
        ("sh '" + path("run.sh") + "' >'" + path("out") + "' 2>'" + path("err") + "'").c_str());
    out_ = read_file(temp_ / "out");
    err_ = read_file(temp_ / "err");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
};

TEST_F(Tutorial, IsTrue) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "A SANITIZER HAS MUCH MEMORY OF ITS OWN: THE TUTORIAL'S TABLES WERE NOT COMPARED";
#endif
  const fs::path family = fs::path(kTestdata) / "t5-seq2seq";
  fs::create_directories(temp_ / "models");
  fs::create_directories(temp_ / "bin");
  fs::create_symlink(kProgram, temp_ / "bin/wshare");
  for (const auto& [small, name] :
       {std::pair("decoder", "silero_vad"), std::pair("encoder", "silero_vad_16k_op15"),
        std::pair("decoder_with_past", "silero_vad_openvino_16k")})
    fs::copy_file(family / (std::string(small) + ".onnx"),
                  temp_ / "models" / (std::string(name) + ".onnx"));
  size_t done = 0;
  for (const Step& step : steps_of(read_file(std::string(kDocs) + "/tutorial.md"))) {
    const std::string command = without_inputs(step.command);
    if (!command.starts_with("wshare ") && !command.starts_with("cmp ")) continue;
#ifndef WSHARE_CLI_RUNTIME
    if (command.starts_with("wshare run ") || command.starts_with("wshare pack ")) continue;
#endif
    SCOPED_TRACE(command);
    ASSERT_EQ(shell(command), command.starts_with("wshare diff ") ? 1 : 0) << err_;
    ++done;
    for (const std::string& line : step.shown) {
      const bool has_figure = line.find_first_of("0123456789") != std::string::npos;
      if (has_figure || line == "..." || line.empty()) continue;
      EXPECT_NE(squeezed(out_).find(squeezed(line)), std::string::npos) << line << "\nin\n" << out_;
    }
  }
  EXPECT_GE(done, 8U);
}

}  // namespace
}  // namespace wshare::test

// Completions, by the shells themselves where these are installed.

#include <array>
#include <cstdio>

#include "support/cli_test.h"
#include "support/places.h"

namespace wshare::test {
namespace {

class Completion : public CliTest {
 protected:
  Completion() {
    for (const char* name : {"first", "second", "a b", "$(touch ran)"})
      add(std::string(name) + ".onnx", {raw("trunk", noise(2000, 1))});
    make();
  }

  static bool has(const std::string& shell) {
    return std::system(("command -v " + shell + " >/dev/null").c_str()) == 0;
  }

  std::string script(const std::string& shell) {
    EXPECT_EQ(run({"completion", shell}), 0) << err_;
    write_file(temp_ / shell, out_);
    return path(shell);
  }

  // What `shell` prints when it runs `text` in the test's folder.
  std::string print(const std::string& shell, const std::string& text) {
    write_file(temp_ / "do", text);
    FILE* pipe =
        popen(("cd '" + temp_.path().string() + "' && " + shell + " do 2>&1").c_str(), "r");
    std::string printed;
    std::array<char, 4096> buffer{};
    for (size_t n; (n = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
      printed.append(buffer.data(), n);
    pclose(pipe);
    return printed;
  }

  // What bash completes the last of `words` to.
  std::string in_bash(const std::string& words) {
    return print("bash", "source '" + script("bash") + "'\ncompopt() { :; }\nCOMP_WORDS=(" +
                             std::string(kProgram) + " " + words +
                             ")\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_wshare\n"
                             "printf '%s|' \"${COMPREPLY[@]}\"\n");
  }

  std::string in_fish(const std::string& line) {
    return print("env HOME=. fish --no-config", "source '" + script("fish") + "'\nset PATH " +
                                                    fs::path(kProgram).parent_path().string() +
                                                    " $PATH\ncomplete -C '" + line + "'\n");
  }
};

TEST_F(Completion, OfBashKnowsCommandsOptionsAndValues) {
  EXPECT_EQ(in_bash("ded"), "dedupe|");
  EXPECT_EQ(in_bash("dedupe --mi"), "--min-bytes|");
  EXPECT_EQ(in_bash("inspect --sort ''"), "bytes|name|");
  EXPECT_EQ(in_bash("inspect --sort = n"), "name|");
  EXPECT_EQ(in_bash("completion ''"), "bash|zsh|fish|");
  EXPECT_EQ(in_bash("help app"), "append|");
  EXPECT_EQ(in_bash("export ''"), "oci|triton|hf|ort-package|");
  EXPECT_EQ(in_bash("export oci bun"), "bundle|");
  EXPECT_EQ(in_bash("export oci bundle layout --model s"), "second|");
  EXPECT_EQ(in_bash("verify bun"), "bundle|");
  EXPECT_EQ(in_bash("dedupe in/fi"), "in/first.onnx|");
}

TEST_F(Completion, OfBashKnowsTheNamesInABundle) {
  EXPECT_EQ(in_bash("restore bundle s"), "second|");
  EXPECT_EQ(in_bash("remove bundle first s"), "second|");
  EXPECT_EQ(in_bash("restore bun"), "bundle|");
  EXPECT_EQ(in_bash("restore bundle a"), "a\\ b|");
}

TEST_F(Completion, OfBashRunsNothingThatANameSays) {
  EXPECT_EQ(in_bash("restore bundle '$'"), "\\$\\(touch\\ ran\\)|");
  EXPECT_FALSE(fs::exists(temp_ / "ran"));
}

TEST_F(Completion, OfFishKnowsCommandsOptionsAndNames) {
  if (!has("fish")) GTEST_SKIP() << "NOT TESTED: no fish";
  EXPECT_TRUE(in_fish("wshare ded").starts_with("dedupe\t")) << in_fish("wshare ded");
  EXPECT_TRUE(in_fish("wshare dedupe --mi").starts_with("--min-bytes\t"));
  EXPECT_EQ(in_fish("wshare inspect --sort n").substr(0, 4), "name");
  EXPECT_NE(in_fish("wshare restore bundle s").find("second"), std::string::npos)
      << in_fish("wshare restore bundle s");
  EXPECT_FALSE(fs::exists(temp_ / "ran"));
}

// zsh completes in a terminal only; there, ^D at the end of a word lists what fits.
TEST_F(Completion, OfZshKnowsCommandsOptionsAndNames) {
  if (!has("zsh")) GTEST_SKIP() << "NOT TESTED: no zsh";
  const std::string front = "zmodload zsh/zpty\nzpty z zsh -f\nzpty -w z \"PS1= PATH=" +
                            fs::path(kProgram).parent_path().string() +
                            ":\\$PATH; autoload -U compinit; compinit -D -u; source '" +
                            script("zsh") +
                            "'; stty cols 200; bindkey '^D' list-choices; echo rea''dy\"\n"
                            "while zpty -r z line; do [[ $line == *ready* ]] && break; done\n";
  const auto listed = [&](const std::string& line, const std::string& text) {
    return print("zsh -f",
                 front + "zpty -w -n z '" + line + "'$'\\x04'\n" +
                     "for i in {1..600}; do while zpty -r -t z part; do all+=$part; done\n"
                     "[[ $all == *" +
                     text +
                     "* ]] && break; sleep 0.1; ((i % 10)) || zpty -w -n z $'\\x04'; done\n"
                     "print -r -- $all; zpty -d z\n");
  };
  for (const auto& [line, text] :
       std::map<std::string, std::string>{{"wshare d", "dedupe"},
                                          {"wshare dedupe --m", "--min-bytes"},
                                          {"wshare restore bundle ", "second"}}) {
    const std::string shown = listed(line, text);
    EXPECT_NE(shown.find(text), std::string::npos) << line << '\n' << shown;
  }
  EXPECT_FALSE(fs::exists(temp_ / "ran"));
}

TEST_F(Completion, GetsNoNamesWhereThereIsNoBundle) {
  EXPECT_EQ(run({"complete-names", path("none")}), 0);
  EXPECT_EQ(out_ + err_, "");
  EXPECT_EQ(run({"complete-names", path("bundle")}), 0);
  EXPECT_EQ(out_, "$(touch ran)\na b\nfirst\nsecond\n");
}

}  // namespace
}  // namespace wshare::test
